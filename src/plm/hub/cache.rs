//! A repository in the cache that Python shares: which commit it holds, which files, and which ones the repository is known to lack.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use hf_hub::Repo;

use super::{HubError, Lookup, Remote};

impl Remote {
    /// What the cache knows of a file.
    pub(super) fn in_cache(&self, file: &str) -> Result<Option<Lookup>, HubError> {
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
    pub(super) fn reference(&self, revision: &str) -> PathBuf {
        self.folder().join("refs").join(revision)
    }

    /// The commit that the cache holds for the revision; a full commit hash stands for itself.
    pub(super) fn cached_commit(&self) -> Option<String> {
        let named = fs::read_to_string(self.reference(&self.revision)).ok().map(|commit| commit.trim().to_owned());
        let itself = || self.folder().join("snapshots").join(&self.revision).is_dir().then(|| self.revision.clone());
        named.filter(|commit| !commit.is_empty()).or_else(itself)
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

    pub(super) fn remember_absent(&self, file: &str) {
        let Some(commit) = self.commit() else { return };
        if let Err(error) = write_below(&self.absence_mark(commit, file), "") {
            log::debug!("cannot note that {} has no {file}: {error}", self.name);
        }
    }

    /// As Python does, for branches and tags.
    pub(super) fn remember_commit(&self, commit: &str) -> io::Result<()> {
        if commit == self.revision { Ok(()) } else { write_below(&self.reference(&self.revision), commit) }
    }
}

/// Writes a small file, and the folders above it.
fn write_below(path: &Path, text: &str) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::write(path, text)
}
