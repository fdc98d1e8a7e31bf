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
//! The one place that knows `hf-hub`, which itself reads neither `HF_TOKEN`, `HF_HUB_CACHE` nor `HF_HUB_OFFLINE` and
//! checks no hash.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;

use data_process::event::{Event, Observer};
use hf_hub::api::sync::{Api, ApiBuilder, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};

mod cache;
mod download;
mod error;
#[cfg(test)]
mod loopback;
mod settings;
#[cfg(test)]
mod tests;

pub use error::HubError;
pub use settings::Hub;

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

    /// The commit of all files, once the cache or the Hub has named it.
    fn commit(&self) -> Option<&str> {
        if self.commit.get().is_none() {
            // It stays what it is now, whatever others write into the cache meanwhile.
            let commit = self.cached_commit()?;
            return Some(self.commit.get_or_init(|| commit));
        }
        self.commit.get().map(String::as_str)
    }

    /// What the Hub is asked for: the commit, or, while that is not known, the revision.
    fn wanted(&self) -> &str {
        self.commit().unwrap_or(&self.revision)
    }

    fn at(&self, revision: &str) -> ApiRepo {
        self.api.repo(Repo::with_revision(self.name.clone(), RepoType::Model, revision.to_owned()))
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
}
