//! Files of pretrained models: a folder, or a repository of the Hugging Face Hub through the cache that Python shares.
//!
//! ```text
//!  name ──► folder? ──────────────────────────► its files
//!      └──► repository ──► cached? ───────────► snapshots/<commit>/<file>
//!                             └──► offline? ──► an error that says what to fetch
//!                                     └───────► download, check its SHA-256, then as above
//! ```
//!
//! All files of a repository are of one commit: the one that the cache holds for the revision, otherwise the one that the
//! Hub names when it is first asked.
//!
//! The one file that knows `hf-hub`, which itself reads neither `HF_TOKEN`, `HF_HUB_CACHE` nor `HF_HUB_OFFLINE` and
//! checks no hash.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use data_process::event::{Event, Observer};
use data_process::fault::{Fault, Kind};
use hf_hub::api::sync::{Api, ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};

mod download;
#[cfg(test)]
mod loopback;
mod settings;
#[cfg(test)]
mod tests;

pub use settings::Hub;

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

/// A name that ends so is meant as a file, not as a repository.
const WEIGHT_FILES: [&str; 4] = ["safetensors", "bin", "pt", "pth"];

/// What is known of a file that a model may have.
#[derive(Debug)]
pub enum Lookup {
    /// The model has it, here.
    Found(PathBuf),
    /// The model lacks it.
    Absent,
    /// It is not in the cache and the Hub cannot be asked: why not.
    Unknown(HubError),
}

impl Lookup {
    /// The path of a file that can be done without.
    pub fn found(self) -> Option<PathBuf> {
        match self {
            Self::Found(path) => Some(path),
            Self::Absent | Self::Unknown(_) => None,
        }
    }
}

/// A pretrained model's files.
#[derive(Debug)]
pub struct Repository {
    place: Place,
    /// The files that were given out so far.
    given: RefCell<BTreeMap<String, PathBuf>>,
}

#[derive(Debug)]
enum Place {
    Folder(PathBuf),
    Hub(Box<Remote>),
}

/// A repository of the Hub at one revision.
#[derive(Debug)]
struct Remote {
    hub: Hub,
    name: String,
    /// The branch, tag or commit that is asked for.
    revision: String,
    api: Api,
    /// The commit of all files, once it is known.
    commit: OnceCell<String>,
    /// The files of the commit; asked for once, and only if something is not cached.
    listing: OnceCell<Vec<String>>,
}

impl Hub {
    /// The model called `name`: a folder if there is one, otherwise a repository of the Hub at `revision` ("main" if
    /// none is given). Nothing is fetched yet.
    pub fn repository(&self, name: &str, revision: Option<&str>) -> Result<Repository, HubError> {
        let folder = PathBuf::from(name);
        if folder.is_dir() {
            return Ok(Repository::at(Place::Folder(folder)));
        }
        let weights = folder.extension().is_some_and(|end| WEIGHT_FILES.iter().any(|of| end == *of));
        let path = folder.is_absolute() || name.starts_with(['.', '~']) || name.matches('/').count() > 1;
        if path || weights {
            return Err(HubError::NoFolder(name.to_owned()));
        }
        if !is_repository_name(name) {
            return Err(HubError::Name(name.to_owned()));
        }
        let remote = self.remote(name, revision.unwrap_or("main"))?;
        Ok(Repository::at(Place::Hub(Box::new(remote))))
    }

    fn remote(&self, name: &str, revision: &str) -> Result<Remote, HubError> {
        Ok(Remote {
            hub: self.clone(),
            name: name.to_owned(),
            revision: revision.to_owned(),
            api: self.api(name)?,
            commit: OnceCell::new(),
            listing: OnceCell::new(),
        })
    }

    fn api(&self, name: &str) -> Result<Api, HubError> {
        let builder = ApiBuilder::from_cache(Cache::new(self.cache.clone()))
            .with_endpoint(self.endpoint.clone())
            .with_token(self.token.clone())
            .with_retries(self.retries)
            .with_progress(false)
            .with_user_agent("humea", env!("CARGO_PKG_VERSION"));
        builder.build().map_err(|error| HubError::Unreachable {
            endpoint: self.endpoint.clone(),
            name: name.to_owned(),
            file: String::new(),
            reason: error.to_string(),
        })
    }
}

/// "name" or "owner/name" of letters, digits, `-`, `_` and `.`.
fn is_repository_name(name: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with(['.', '-'])
            && !part.contains("--")
            && !part.contains("..")
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    name.split('/').count() <= 2 && name.split('/').all(part)
}

impl Repository {
    fn at(place: Place) -> Self {
        Self { place, given: RefCell::default() }
    }

    /// The path of a file that must be there, fetched if need be.
    pub fn get(&self, file: &str, observer: &dyn Observer) -> Result<PathBuf, HubError> {
        match self.find(file, observer)? {
            Lookup::Found(path) => Ok(path),
            Lookup::Unknown(reason) => Err(reason),
            Lookup::Absent => Err(self.lacks(file.to_owned())),
        }
    }

    fn lacks(&self, file: String) -> HubError {
        match &self.place {
            Place::Folder(folder) => HubError::NotInFolder { folder: folder.clone(), file },
            Place::Hub(remote) => {
                HubError::NotInRepository { name: remote.name.clone(), revision: remote.wanted().to_owned(), file }
            }
        }
    }

    /// A file that the model may have, fetched if need be.
    pub fn find(&self, file: &str, observer: &dyn Observer) -> Result<Lookup, HubError> {
        let lookup = match &self.place {
            Place::Folder(folder) => {
                let path = folder.join(file);
                if path.is_file() { Lookup::Found(path) } else { Lookup::Absent }
            }
            Place::Hub(remote) => remote.find(file, observer)?,
        };
        if let Lookup::Found(path) = &lookup {
            self.given.borrow_mut().insert(file.to_owned(), path.clone());
        }
        Ok(lookup)
    }

    /// The files that were given out so far, by name: what has been read of the model.
    pub fn given(&self) -> BTreeMap<String, PathBuf> {
        self.given.borrow().clone()
    }

    /// The first of several files that the model may have. It lacks them all only if that is known of each.
    pub fn find_first(&self, files: &[&str], observer: &dyn Observer) -> Result<Lookup, HubError> {
        let mut unknown = None;
        for file in files {
            match self.find(file, observer)? {
                found @ Lookup::Found(_) => return Ok(found),
                Lookup::Unknown(reason) => _ = unknown.get_or_insert(reason),
                Lookup::Absent => {}
            }
        }
        Ok(unknown.map_or(Lookup::Absent, Lookup::Unknown))
    }

    /// The commit that all files belong to; `None` for a folder, and where neither the cache nor the Hub has said yet.
    pub fn commit(&self) -> Option<String> {
        match &self.place {
            Place::Folder(_) => None,
            Place::Hub(remote) => remote.commit().map(str::to_owned),
        }
    }

    /// The folder, or the name of the repository.
    pub fn name(&self) -> String {
        match &self.place {
            Place::Folder(folder) => folder.display().to_string(),
            Place::Hub(remote) => remote.name.clone(),
        }
    }
}

impl Remote {
    fn find(&self, file: &str, observer: &dyn Observer) -> Result<Lookup, HubError> {
        if let Some(known) = self.in_cache(file)? {
            return Ok(known);
        }
        if self.hub.offline {
            return Ok(Lookup::Unknown(self.offline(file)));
        }
        match self.listing(file) {
            Ok(files) if files.iter().any(|name| name == file) => self.download(file, observer).map(Lookup::Found),
            Ok(_) => {
                self.remember_absent(file);
                Ok(Lookup::Absent)
            }
            // A model that is in the cache stays usable without a network.
            Err(reason @ HubError::Unreachable { .. }) => {
                if self.commit().is_some() {
                    let (endpoint, name) = (&self.hub.endpoint, &self.name);
                    let note = format!("{endpoint} cannot be reached: whether {name} has {file} is not known");
                    observer.on(Event::Note(&note));
                }
                Ok(Lookup::Unknown(reason))
            }
            Err(error) => Err(error),
        }
    }

    /// What the cache knows of a file.
    fn in_cache(&self, file: &str) -> Result<Option<Lookup>, HubError> {
        let Some(commit) = self.commit() else { return Ok(None) };
        if let Some(path) = self.cached(commit, file)? {
            return Ok(Some(Lookup::Found(path)));
        }
        Ok(self.absence_mark(commit, file).is_file().then_some(Lookup::Absent))
    }

    fn folder(&self) -> PathBuf {
        let repo = Repo::model(self.name.clone());
        self.hub.cache.join(repo.folder_name())
    }

    /// Where the cache keeps the commit of a revision.
    fn reference(&self, revision: &str) -> PathBuf {
        self.folder().join("refs").join(revision)
    }

    /// The commit of all files, once the cache or the Hub has named it.
    fn commit(&self) -> Option<&str> {
        if self.commit.get().is_none() {
            // It stays what it is now, whatever others write into the cache meanwhile.
            let commit = self.cached_commit()?;
            return Some(self.commit.get_or_init(|| commit));
        }
        self.commit.get().map(String::as_str)
    }

    /// The commit that the cache holds for the revision; a full commit hash stands for itself.
    fn cached_commit(&self) -> Option<String> {
        let named = fs::read_to_string(self.reference(&self.revision)).ok().map(|commit| commit.trim().to_owned());
        let itself = || self.folder().join("snapshots").join(&self.revision).is_dir().then(|| self.revision.clone());
        named.filter(|commit| !commit.is_empty()).or_else(itself)
    }

    /// What the Hub is asked for: the commit, or, while that is not known, the revision.
    fn wanted(&self) -> &str {
        self.commit().unwrap_or(&self.revision)
    }

    fn at(&self, revision: &str) -> ApiRepo {
        self.api.repo(Repo::with_revision(self.name.clone(), RepoType::Model, revision.to_owned()))
    }

    fn cached(&self, commit: &str, file: &str) -> Result<Option<PathBuf>, HubError> {
        let path = self.folder().join("snapshots").join(commit).join(file);
        match fs::metadata(&path) {
            Ok(found) if found.len() == 0 => Err(HubError::Cache { path, reason: "it is empty".to_owned() }),
            Ok(_) => Ok(Some(path)),
            Err(_) if path.is_symlink() && self.hub.offline => {
                Err(HubError::Cache { path, reason: "the blob it links to is gone".to_owned() })
            }
            Err(_) => {
                // A link to a blob that is gone: with a network it is simply fetched again.
                if path.is_symlink() {
                    fs::remove_file(&path).map_err(|source| self.cannot_write(source))?;
                }
                Ok(None)
            }
        }
    }

    /// Python leaves an empty file where it learnt that a repository lacks one; so do we.
    fn absence_mark(&self, commit: &str, file: &str) -> PathBuf {
        self.folder().join(".no_exist").join(commit).join(file)
    }

    fn remember_absent(&self, file: &str) {
        let Some(commit) = self.commit() else { return };
        if let Err(error) = write_below(&self.absence_mark(commit, file), "") {
            log::debug!("cannot note that {} has no {file}: {error}", self.name);
        }
    }

    /// The files of the commit; the Hub says which one that is where the cache does not.
    fn listing(&self, file: &str) -> Result<&[String], HubError> {
        if let Some(files) = self.listing.get() {
            return Ok(files);
        }
        let info = self.at(self.wanted()).info().map_err(|error| self.explain(error, file, true))?;
        if self.commit().is_none() {
            self.remember_commit(&info.sha).map_err(|source| self.cannot_write(source))?;
            self.commit.get_or_init(|| info.sha);
        }
        Ok(self.listing.get_or_init(|| info.siblings.into_iter().map(|sibling| sibling.rfilename).collect()))
    }

    /// As Python does, for branches and tags.
    fn remember_commit(&self, commit: &str) -> io::Result<()> {
        if commit == self.revision { Ok(()) } else { write_below(&self.reference(&self.revision), commit) }
    }

    fn offline(&self, file: &str) -> HubError {
        HubError::Offline {
            name: self.name.clone(),
            revision: self.revision.clone(),
            file: file.to_owned(),
            cache: self.hub.cache.clone(),
        }
    }

    fn cannot_write(&self, source: io::Error) -> HubError {
        HubError::Write { cache: self.hub.cache.clone(), source }
    }

    /// Says in words what hf-hub's error means; `whole` if the repository itself was asked for, not a file of it.
    fn explain(&self, error: ApiError, file: &str, whole: bool) -> HubError {
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

/// Writes a small file, and the folders above it.
fn write_below(path: &Path, text: &str) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::write(path, text)
}
