//! What every `humea prep …` writes: one store, and a summary of what went into it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use data_process::aside;
use data_process::fault::{Fault, Kind};
use data_process::sources::Loaded;
use data_process::store::{self, Column, NewVectors, Origin, StoreError};

use crate::cli::exit::Failure;
use crate::cli::stdout;

/// Why a store cannot be written where it was asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum OutputError {
    /// Something is there already.
    #[error(
        "{0} exists already, with whatever columns were added to it; --force replaces it, --out names another place"
    )]
    Exists(PathBuf),
    /// A folder is there.
    #[error("{0} is a folder, perhaps a store in parts, which one file does not replace; --out names another place")]
    IsFolder(PathBuf),
    /// The folder it should lie in cannot be made.
    #[error("cannot make the folder {path}: {source}; --out names another place")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The store cannot be written there.
    #[error("cannot write {path}: {source}; --out names another place")]
    Write {
        /// The store.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Fault for OutputError {
    fn kind(&self) -> Kind {
        Kind::Output
    }
}

/// A place where a store may be written: free, or given up by the user.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    force: bool,
}

impl Place {
    /// Checks before any work is done that nothing is there, unless it may be replaced.
    pub(super) fn claim(path: PathBuf, force: bool) -> Result<Self, OutputError> {
        if path.is_dir() {
            return Err(OutputError::IsFolder(path));
        }
        if !force && path.exists() {
            return Err(OutputError::Exists(path));
        }
        Ok(Self { path, force })
    }

    /// Writes the store in one step, so that an old one is there until the new one is whole, and leaves alone what has come
    /// there since, unless it may be replaced; prints the summary.
    pub(super) fn write(&self, loaded: &Loaded, maker: &str) -> Result<(), Failure> {
        self.write_with::<NewVectors<'_>>(loaded, &[], &loaded.report.origin(maker))
    }

    /// Like [`Self::write`], with vector columns and a word on where everything comes from.
    pub(super) fn write_with<C: Column>(&self, loaded: &Loaded, vectors: &[C], origin: &Origin) -> Result<(), Failure> {
        let folder = aside::folder(&self.path);
        fs::create_dir_all(folder).map_err(|source| OutputError::Folder { path: folder.to_owned(), source })?;
        self.fill(|path| store::write_with(path, &loaded.pair, vectors, origin))?;
        Ok(stdout::line(format_args!("{}wrote {}", loaded.summary(), self.path.display()))?)
    }

    /// Writes aside what must not replace anything: the place was free when the work began, which is long ago.
    fn fill(&self, write: impl FnOnce(&Path) -> Result<(), StoreError>) -> Result<(), Failure> {
        if self.force {
            return Ok(write(&self.path)?);
        }
        let failed = |source| OutputError::Write { path: self.path.clone(), source };
        let aside = aside::Folder::beside(&self.path).map_err(failed)?;
        let whole = aside.path().join("store.parquet");
        write(&whole)?;
        aside::publish_new(&whole, &self.path).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => OutputError::Exists(self.path.clone()),
            _ => failed(source),
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_only_replaced_when_asked_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.parquet");
        assert!(Place::claim(path.clone(), false).is_ok());
        fs::write(&path, "old").unwrap();
        let error = Place::claim(path.clone(), false).unwrap_err();
        assert!(matches!(error, OutputError::Exists(_)) && error.to_string().contains("--force"), "{error}");
        assert!(Place::claim(path, true).is_ok());
    }

    #[test]
    fn what_came_there_while_the_source_was_read_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.parquet");
        for (force, replaced) in [(false, false), (true, true)] {
            let place = Place::claim(path.clone(), force).unwrap();
            fs::write(&path, "theirs").unwrap();
            assert_eq!(place.write(&Loaded::default(), "test").is_ok(), replaced);
            assert_eq!(fs::read(&path).unwrap() != b"theirs", replaced);
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
            fs::remove_file(&path).unwrap();
        }
        let error = Place::claim(folder.path().to_owned(), true).unwrap_err();
        assert!(matches!(error, OutputError::IsFolder(_)), "{error}");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let place = Place::claim(folder.path().join("file/store.parquet"), false).unwrap();
        let failure = place.write(&Loaded::default(), "test").unwrap_err();
        assert!(failure.chain().contains("cannot make the folder"), "{}", failure.chain());
    }

    #[test]
    fn a_name_under_which_nothing_can_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let name = "a".repeat(300);
        for force in [false, true] {
            let failure =
                Place::claim(folder.path().join(&name), force).unwrap().write(&Loaded::default(), "test").unwrap_err();
            assert!(failure.chain().contains(&name), "{}", failure.chain());
        }
    }
}
