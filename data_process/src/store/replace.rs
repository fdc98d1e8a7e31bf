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
#[derive(Debug)]
pub(super) struct Turn {
    path: PathBuf,
    /// The store that lay there.
    found: Option<File>,
    _lock: Lock,
}

impl Turn {
    /// Waits until no other writer is at work on what lies at `path`; there may be nothing yet. Of a link, what it leads
    /// to is meant: the link stays.
    pub(super) fn take(path: &Path) -> Result<Self, StoreError> {
        let is_link = fs::symlink_metadata(path).is_ok_and(|about| about.is_symlink());
        let real = if is_link && path.exists() { fs::canonicalize(path) } else { Ok(path.to_owned()) };
        let opened = |source| StoreError::Open { path: path.to_owned(), source };
        let path = real.map_err(opened)?;
        let lock = Lock::take(&path)?;
        let found = if path.exists() { Some(File::open(&path).map_err(opened)?) } else { None };
        Ok(Self { path, found, _lock: lock })
    }

    /// The name.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes sure that what is about to be replaced is what was found: what somebody who takes no turns (`mv`) put in its
    /// place stays.
    fn confirm(&self) -> Result<(), StoreError> {
        let failed = |source| StoreError::Write { path: self.path.clone(), source };
        let stays = match self.found.as_ref().filter(|_| self.path.exists()) {
            Some(found) => !same(found, &self.path).map_err(failed)?,
            None => false,
        };
        if stays { Err(StoreError::Replaced { path: self.path.clone() }) } else { Ok(()) }
    }
}

/// A locked file beside a name, `.pair.parquet.lock`, which is gone when it is dropped. Not the store itself: over NFS what is
/// locked must be open for writing, and a folder cannot be.
#[derive(Debug)]
struct Lock {
    place: PathBuf,
    _file: File,
}

impl Lock {
    fn take(path: &Path) -> Result<Self, StoreError> {
        Self::take_by(path, File::try_lock)
    }

    /// [`Self::take`] with another way of trying, for the test of a file system that has no locks.
    fn take_by(path: &Path, attempt: fn(&File) -> Result<(), TryLockError>) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Lock { path: path.to_owned(), source };
        let place = aside::lock_of(path);
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        loop {
            let opened = options.open(&place);
            let file = opened.map_err(|source| StoreError::Write { path: path.to_owned(), source })?;
            match attempt(&file) {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    log::warn!("waiting for another process that is writing {}", path.display());
                    file.lock().map_err(failed)?;
                }
                Err(TryLockError::Error(source)) => {
                    fs::remove_file(&place).ok();
                    return Err(failed(source));
                }
            }
            // Whoever had it has removed it: another may have been made and locked since.
            if same(&file, &place).map_err(failed)? {
                return Ok(Self { place, _file: file });
            }
        }
    }
}

impl Drop for Lock {
    /// Removes it while it is still locked. Where [`same`] cannot tell one file from another it must stay.
    fn drop(&mut self) {
        if cfg!(unix) {
            fs::remove_file(&self.place).ok();
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
        let Self { file, turn } = self;
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
        let Self { folder, turn } = self;
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

/// Swaps two names, in one step where the system and the file system have one.
fn exchange(new: &Path, old: &Path) -> io::Result<()> {
    exchange_by(new, old, in_one_step)
}

/// [`exchange`] with another way of doing it in one step, for the test of a file system that has none.
fn exchange_by(new: &Path, old: &Path, in_one_step: fn(&Path, &Path) -> io::Result<()>) -> io::Result<()> {
    match in_one_step(new, old) {
        // What NFS and some FUSE file systems say, and kernels that know no such thing.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            in_three_steps(new, old)
        }
        outcome => outcome,
    }
}

#[cfg(target_os = "linux")]
fn in_one_step(new: &Path, old: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, new, CWD, old, RenameFlags::EXCHANGE)?)
}

#[cfg(not(target_os = "linux"))]
fn in_one_step(_new: &Path, _old: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// For a moment nothing has the name; if the second step fails, the old store gets it back.
fn in_three_steps(new: &Path, old: &Path) -> io::Result<()> {
    let aside = new.with_extension("old");
    fs::rename(old, &aside)?;
    if let Err(error) = fs::rename(new, old) {
        fs::rename(aside, old)?;
        return Err(error);
    }
    fs::rename(aside, new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store_in(folder: &tempfile::TempDir) -> PathBuf {
        let path = folder.path().join("pair.parquet");
        fs::write(&path, "").unwrap();
        path
    }

    #[test]
    fn a_file_system_without_locks_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = store_in(&folder);
        let refuse = |_: &File| Err(TryLockError::Error(io::ErrorKind::Unsupported.into()));
        let error = Lock::take_by(&path, refuse).unwrap_err();
        assert!(matches!(error, StoreError::Lock { .. }), "{error}");
        assert!(error.to_string().contains("pair.parquet") && error.to_string().contains("local disk"), "{error}");
        assert!(Lock::take(&path).is_ok());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no lock stays behind");
    }

    /// Over NFS only what is open for writing can be locked: there, this is a lock on bytes, which is refused otherwise.
    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_locked_may_be_written_to() {
        let folder = tempfile::tempdir().unwrap();
        for path in [store_in(&folder), folder.path().to_owned(), folder.path().join("nothing yet")] {
            let writable = |mut file: &File| io::Write::write_all(&mut file, b"x").map_err(TryLockError::Error);
            assert!(Lock::take_by(&path, writable).is_ok(), "{}", path.display());
        }
    }

    #[test]
    fn a_lock_that_was_removed_while_it_was_waited_for_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = store_in(&folder);
        let first = Lock::take(&path).unwrap();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| Lock::take(&path).unwrap());
            std::thread::sleep(std::time::Duration::from_millis(50));
            assert!(!second.is_finished());
            drop(first);
            let second = second.join().unwrap();
            assert!(second.place.exists(), "a new one, which others see");
        });
    }

    #[test]
    fn a_file_system_that_swaps_in_no_single_step_swaps_in_three() {
        let folder = tempfile::tempdir().unwrap();
        let [new, old] = ["new", "old"].map(|name| folder.path().join(name));
        for kind in [io::ErrorKind::InvalidInput, io::ErrorKind::Unsupported] {
            fs::create_dir_all(new.join("new part")).unwrap();
            fs::create_dir_all(old.join("old part")).unwrap();
            let refuse: fn(&Path, &Path) -> io::Result<()> = match kind {
                io::ErrorKind::InvalidInput => |_, _| Err(io::ErrorKind::InvalidInput.into()),
                _ => |_, _| Err(io::ErrorKind::Unsupported.into()),
            };
            exchange_by(&new, &old, refuse).unwrap();
            assert!(old.join("new part").exists() && new.join("old part").exists());
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
            for path in [&new, &old] {
                fs::remove_dir_all(path).unwrap();
            }
        }
        // The new one is not there: the old one stays.
        fs::create_dir(&old).unwrap();
        assert!(in_three_steps(&new, &old).is_err());
        assert!(old.exists());
    }
}
