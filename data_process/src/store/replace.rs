//! Nothing is written in place: a store is written beside its name, synced, and takes the name in one step. Whoever had
//! the old one open keeps it. Two writers take turns.

use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::StoreError;
use super::folder::is_part;
use crate::aside::{self, folder as folder_of, same, sync_folder};

/// A writer's turn at a name: while it lasts, no other writer gives the name to anything.
///
/// The store that lies there is locked (no lock file stays behind).
#[derive(Debug)]
pub(super) struct Turn {
    path: PathBuf,
    lock: Option<File>,
}

impl Turn {
    /// Waits until no other writer is at work on what lies at `path`; there may be nothing yet. Of a link, what it leads
    /// to is meant: the link stays.
    pub(super) fn take(path: &Path) -> Result<Self, StoreError> {
        let is_link = fs::symlink_metadata(path).is_ok_and(|about| about.is_symlink());
        let real = if is_link && path.exists() { fs::canonicalize(path) } else { Ok(path.to_owned()) };
        let path = real.map_err(|source| StoreError::Open { path: path.to_owned(), source })?;
        let lock = if path.exists() { Some(lock(&path)?) } else { None };
        Ok(Self { path, lock })
    }

    /// The name.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes sure that what is about to be replaced is what was locked. What appeared where nothing was is waited for;
    /// what somebody who takes no turns (`mv`) put in place of the locked store stays.
    fn confirm(&mut self) -> Result<(), StoreError> {
        let failed = |source| StoreError::Lock { path: self.path.clone(), source };
        match &self.lock {
            _ if !self.path.exists() => {}
            None => self.lock = Some(lock(&self.path)?),
            Some(locked) if same(locked, &self.path).map_err(failed)? => {}
            Some(_) => return Err(StoreError::Replaced { path: self.path.clone() }),
        }
        Ok(())
    }
}

/// Locks an existing store against other writers until the returned file is dropped; waits for its turn. When it was
/// replaced while we waited, the new one is locked.
fn lock(path: &Path) -> Result<File, StoreError> {
    lock_by(path, File::try_lock)
}

/// [`lock`] with another way of trying, for the test of a file system that has no locks.
fn lock_by(path: &Path, attempt: fn(&File) -> Result<(), TryLockError>) -> Result<File, StoreError> {
    let failed = |source| StoreError::Lock { path: path.to_owned(), source };
    loop {
        let file = File::open(path).map_err(|source| StoreError::Open { path: path.to_owned(), source })?;
        match attempt(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                log::warn!("waiting for another process that is writing {}", path.display());
                file.lock().map_err(failed)?;
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        if same(&file, path).map_err(failed)? {
            return Ok(file);
        }
    }
}

/// A new file that will take a name.
#[derive(Debug)]
pub(super) struct Pending {
    file: NamedTempFile,
    turn: Turn,
}

impl Pending {
    /// Creates it beside the name, and removes what killed writers left there.
    pub(super) fn new(turn: Turn) -> Result<Self, StoreError> {
        let path = turn.path();
        let file = aside::beside(path).map_err(|source| StoreError::Write { path: path.to_owned(), source })?;
        Ok(Self { file, turn })
    }

    /// Where it lies until it is published.
    pub(super) fn place(&self) -> &Path {
        self.file.path()
    }

    /// The file to write to.
    pub(super) fn file(&mut self) -> &mut File {
        self.file.as_file_mut()
    }

    /// Makes it durable and gives it its name.
    pub(super) fn publish(self) -> Result<(), StoreError> {
        let Self { file, mut turn } = self;
        turn.confirm()?;
        let path = turn.path();
        let ready = || {
            file.as_file().sync_all()?;
            if let Some(rights) = rights_of_file(path) {
                file.as_file().set_permissions(rights)?;
            }
            file.persist(path).map_err(|error| error.error).map(drop)
        };
        ready().map_err(|source| StoreError::Write { path: path.to_owned(), source })?;
        sync_folder(folder_of(path)).map_err(|source| StoreError::Unsettled { path: path.to_owned(), source })
    }
}

/// The rights of the old file of a name, if it is a file: a folder's are not a file's.
fn rights_of_file(path: &Path) -> Option<Permissions> {
    fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|old| old.permissions())
}

/// A new folder that will take a name.
#[derive(Debug)]
pub(super) struct PendingFolder {
    folder: aside::Folder,
    turn: Turn,
}

impl PendingFolder {
    /// Creates it beside the name, and removes what killed writers left there.
    pub(super) fn new(turn: Turn) -> Result<Self, StoreError> {
        let path = turn.path();
        only_parts(path)?;
        let folder =
            aside::Folder::beside(path).map_err(|source| StoreError::Write { path: path.to_owned(), source })?;
        Ok(Self { folder, turn })
    }

    /// Writes one of its files, with the rights of the old one of this name, and makes it durable.
    pub(super) fn part(
        &self,
        name: impl AsRef<Path>,
        write: impl FnOnce(&mut File) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let failed = |source| StoreError::Write { path: self.turn.path.clone(), source };
        let (new, old) = (self.folder.path().join(&name), self.turn.path.join(name));
        let mut file = File::create_new(new).map_err(failed)?;
        write(&mut file)?;
        if let Some(rights) = rights_of_file(&old) {
            file.set_permissions(rights).map_err(failed)?;
        }
        file.sync_all().map_err(failed)
    }

    /// Gives it its name; an old store of that name is removed.
    pub(super) fn publish(self) -> Result<(), StoreError> {
        let Self { folder, mut turn } = self;
        turn.confirm()?;
        let path = turn.path();
        only_parts(path)?;
        let ready = || {
            if path.is_dir() {
                fs::set_permissions(folder.path(), fs::metadata(path)?.permissions())?;
            }
            sync_folder(folder.path())?;
            if path.exists() { exchange(folder.path(), path) } else { fs::rename(folder.path(), path) }
        };
        ready().map_err(|source| StoreError::Write { path: path.to_owned(), source })?;
        let settle = || {
            sync_folder(folder_of(path))?;
            remove(&folder.keep())
        };
        settle().map_err(|source| StoreError::Unsettled { path: path.to_owned(), source })
    }
}

/// Removes an old store, if there was one.
fn remove(old: &Path) -> io::Result<()> {
    if old.is_dir() {
        return fs::remove_dir_all(old);
    }
    if old.exists() { fs::remove_file(old) } else { Ok(()) }
}

/// A folder is replaced as a whole, so there must be nothing in it but parts: the rest would be lost.
fn only_parts(path: &Path) -> Result<(), StoreError> {
    if !path.is_dir() {
        return Ok(());
    }
    let opened = |source| StoreError::Open { path: path.to_owned(), source };
    let mut others = Vec::new();
    for entry in fs::read_dir(path).map_err(opened)? {
        let entry = entry.map_err(opened)?;
        if !is_part(&entry.file_name()) || entry.path().is_dir() {
            others.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    others.sort_unstable();
    if others.is_empty() { Ok(()) } else { Err(StoreError::NotParts { path: path.to_owned(), others }) }
}

/// Swaps two names in one step.
#[cfg(target_os = "linux")]
fn exchange(new: &Path, old: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, new, CWD, old, RenameFlags::EXCHANGE)?)
}

/// Swaps two names in three steps: other systems have no single one.
#[cfg(not(target_os = "linux"))]
fn exchange(new: &Path, old: &Path) -> io::Result<()> {
    let aside = new.with_extension("old");
    fs::rename(old, &aside)?;
    fs::rename(new, old)?;
    fs::rename(aside, new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_without_locks_is_named() {
        let (folder, file) = (tempfile::tempdir().unwrap(), "pair.parquet");
        let path = folder.path().join(file);
        fs::write(&path, "").unwrap();
        let refuse = |_: &File| Err(TryLockError::Error(io::ErrorKind::Unsupported.into()));
        let error = lock_by(&path, refuse).unwrap_err();
        assert!(matches!(error, StoreError::Lock { .. }), "{error}");
        assert!(error.to_string().contains(file), "{error}");
        assert!(lock(&path).is_ok());
    }
}
