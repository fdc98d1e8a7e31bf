//! What every `humea prep …` writes: one store, and a summary of what went into it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use data_process::fault::{Fault, Kind};
use data_process::sources::Loaded;
use data_process::store::{self, Column, NewVectors, Origin};

use crate::cli::exit::Failure;

/// Why a store cannot be written where it was asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum OutputError {
    /// Something is there already.
    #[error(
        "{0} exists already, with whatever columns were added to it; --force replaces it, --out names another place"
    )]
    Exists(PathBuf),
    /// The folder it should lie in cannot be made.
    #[error("cannot make the folder {path}: {source}; --out names another place")]
    Folder {
        /// The folder.
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
pub(super) struct Place(PathBuf);

impl Place {
    /// Checks before any work is done that nothing is there, unless it may be replaced.
    pub(super) fn claim(path: PathBuf, force: bool) -> Result<Self, OutputError> {
        if !force && path.exists() {
            return Err(OutputError::Exists(path));
        }
        Ok(Self(path))
    }

    /// Writes the store in one step, so that an old one is there until the new one is whole; prints the summary.
    pub(super) fn write(&self, loaded: &Loaded, maker: &str) -> Result<(), Failure> {
        self.write_with::<NewVectors<'_>>(loaded, &[], &loaded.report.origin(maker))
    }

    /// Like [`Self::write`], with vector columns and a word on where everything comes from.
    #[expect(clippy::print_stdout, reason = "the summary is the command's result")]
    pub(super) fn write_with<C: Column>(&self, loaded: &Loaded, vectors: &[C], origin: &Origin) -> Result<(), Failure> {
        let folder = self.0.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(|source| OutputError::Folder { path: folder.to_owned(), source })?;
        store::write_with(&self.0, &loaded.pair, vectors, origin)?;
        print!("{}", loaded.summary());
        println!("wrote {}", self.0.display());
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
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let place = Place::claim(folder.path().join("file/store.parquet"), false).unwrap();
        let failure = place.write(&Loaded::default(), "test").unwrap_err();
        assert!(failure.chain().contains("cannot make the folder"), "{}", failure.chain());
    }
}
