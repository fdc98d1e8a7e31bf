//! Why a file of a model is not to be had, and what hf-hub's errors mean.

use std::io;
use std::path::PathBuf;

use data_process::fault::{Fault, Kind};
use hf_hub::api::sync::ApiError;

use super::Remote;

/// Why a file of a model is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// A path that is no folder.
    #[error("there is no {0}; name a folder with a model, or a repository of the Hub such as bert-base-uncased")]
    NoFolder(String),
    /// A name that no repository can have.
    #[error("{0:?} is neither a folder nor a name a repository can have (\"name\" or \"owner/name\")")]
    Name(String),
    /// The folder lacks a file.
    #[error("the folder {folder} has no {file}; is it the folder of a pretrained model?")]
    NotInFolder {
        /// The folder.
        folder: PathBuf,
        /// The file.
        file: String,
    },
    /// The repository lacks a file.
    #[error("the repository {name} (revision {revision}) has no {file}")]
    NotInRepository {
        /// The repository.
        name: String,
        /// The revision.
        revision: String,
        /// The file.
        file: String,
    },
    /// There is no such repository, or no such revision of it.
    #[error("the Hub at {endpoint} has no {name} with a revision {revision}; check the name and --revision")]
    NotFound {
        /// Where it was asked for.
        endpoint: String,
        /// The repository.
        name: String,
        /// The revision.
        revision: String,
    },
    /// The repository wants a token, or another one.
    #[error(
        "the Hub refuses {name} (HTTP {status}): it does not exist, is private, or its licence must be accepted on its \
         page; then set HF_TOKEN to a token that may read it{}", if *.token { " (the one given may not)" } else { "" }
    )]
    Refused {
        /// The repository.
        name: String,
        /// 401 or 403.
        status: u16,
        /// Whether a token was sent.
        token: bool,
    },
    /// The Hub answers with an error.
    #[error("the Hub at {endpoint} answers {name}/{file} with HTTP {status}; try again later")]
    Server {
        /// Where it was asked for.
        endpoint: String,
        /// The repository.
        name: String,
        /// The file.
        file: String,
        /// The status.
        status: u16,
    },
    /// The Hub cannot be reached.
    #[error(
        "cannot reach the Hub at {endpoint} for {name}/{file}: {reason}; without a network, fetch the model elsewhere \
         (`hf download {name}`) and name its folder instead"
    )]
    Unreachable {
        /// Where it was asked for.
        endpoint: String,
        /// The repository.
        name: String,
        /// The file.
        file: String,
        /// What happened.
        reason: String,
    },
    /// `HF_HUB_OFFLINE` is set and the file is not cached.
    #[error(
        "{name}/{file} (revision {revision}) is not in the cache {cache} and HF_HUB_OFFLINE is set; where there is a \
         network run `hf download {name} --revision {revision}`, or unset HF_HUB_OFFLINE"
    )]
    Offline {
        /// The repository.
        name: String,
        /// The revision.
        revision: String,
        /// The file.
        file: String,
        /// The cache.
        cache: PathBuf,
    },
    /// What arrived is not what the Hub says it is.
    #[error("{path} arrived damaged (SHA-256 {found} where the Hub says {expected}) and was removed; run again")]
    Damaged {
        /// The blob.
        path: PathBuf,
        /// Its hash.
        found: String,
        /// The hash it should have.
        expected: String,
    },
    /// The cache holds a link to a file that is gone, or a half-written one.
    #[error("the cached file {path} is damaged ({reason}); remove it and run again")]
    Cache {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// No space left for the download.
    #[error("no space left in {cache} for {name}/{file}; free some, or set HF_HOME to a larger disk")]
    DiskFull {
        /// The cache.
        cache: PathBuf,
        /// The repository.
        name: String,
        /// The file.
        file: String,
    },
    /// The cache cannot be written or read.
    #[error("cannot use the model cache {cache}: {source}; set HF_HOME to a folder that can be written")]
    Write {
        /// The cache.
        cache: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process is fetching the same file.
    #[error("{0} is locked: another process is fetching the same file; wait for it and run again")]
    Locked(PathBuf),
    /// There is no home folder to put a cache in.
    #[error("no cache folder for models: neither HF_HUB_CACHE, HF_HOME nor HOME is set; set HF_HOME")]
    NoHome,
}

impl Fault for HubError {
    fn kind(&self) -> Kind {
        match self {
            Self::NoFolder(_) | Self::NotInFolder { .. } | Self::Cache { .. } => Kind::Input,
            Self::Name(_) | Self::NoHome => Kind::Configuration,
            Self::DiskFull { .. } | Self::Write { .. } => Kind::Output,
            Self::NotInRepository { .. }
            | Self::NotFound { .. }
            | Self::Refused { .. }
            | Self::Server { .. }
            | Self::Unreachable { .. }
            | Self::Offline { .. }
            | Self::Damaged { .. }
            | Self::Locked(_) => Kind::Network,
        }
    }
}

impl Remote {
    pub(super) fn offline(&self, file: &str) -> HubError {
        HubError::Offline {
            name: self.name.clone(),
            revision: self.revision.clone(),
            file: file.to_owned(),
            cache: self.hub.cache.clone(),
        }
    }

    pub(super) fn cannot_write(&self, source: io::Error) -> HubError {
        HubError::Write { cache: self.hub.cache.clone(), source }
    }

    /// Says in words what hf-hub's error means; `whole` if the repository itself was asked for, not a file of it.
    pub(super) fn explain(&self, error: ApiError, file: &str, whole: bool) -> HubError {
        let (name, file) = (self.name.clone(), file.to_owned());
        let (endpoint, revision) = (self.hub.endpoint.clone(), self.wanted().to_owned());
        match error {
            ApiError::TooManyRetries(last) => self.explain(*last, &file, whole),
            ApiError::LockAcquisition(path) => HubError::Locked(path),
            ApiError::IoError(error) => self.explain_io(error, file),
            ApiError::RequestError(error) => match *error {
                ureq::Error::StatusCode(404) if whole => HubError::NotFound { endpoint, name, revision },
                ureq::Error::StatusCode(404) => HubError::NotInRepository { name, revision, file },
                ureq::Error::StatusCode(status @ (401 | 403)) => {
                    HubError::Refused { name, status, token: self.hub.token.is_some() }
                }
                ureq::Error::StatusCode(status) => HubError::Server { endpoint, name, file, status },
                other => HubError::Unreachable { endpoint, name, file, reason: other.to_string() },
            },
            other => HubError::Unreachable { endpoint, name, file, reason: other.to_string() },
        }
    }

    /// An input/output error is the disk's, or, while a body is being read, the network's.
    fn explain_io(&self, error: io::Error, file: String) -> HubError {
        let (name, cache) = (self.name.clone(), self.hub.cache.clone());
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => HubError::DiskFull { cache, name, file },
            io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::AlreadyExists
            | io::ErrorKind::NotFound => HubError::Write { cache, source: error },
            _ => {
                let endpoint = self.hub.endpoint.clone();
                HubError::Unreachable { endpoint, name, file, reason: error.to_string() }
            }
        }
    }
}
