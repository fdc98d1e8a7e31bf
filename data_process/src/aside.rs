//! Files that are written aside and take their name once they are whole.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile, TempDir, TempPath};

/// How temporary files end.
const SUFFIX: &str = ".tmp";

/// Makes temporary files that may be read by whoever may read the user's other new files: they are to become results, and
/// tempfile's own are for the user alone.
fn builder<'a>() -> Builder<'a, 'static> {
    let mut builder = Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder
}

/// A new file beside `path`, to be given its name by [`publish`]; removed when dropped, and by the next one of this name
/// if the process is killed.
///
/// # Errors
/// If the folder cannot be written to.
pub fn beside(path: &Path) -> io::Result<NamedTempFile> {
    let prefix = prefix(path);
    sweep(folder(path), &prefix);
    loop {
        let file = builder().prefix(&prefix).suffix(SUFFIX).tempfile_in(folder(path))?;
        if claim(file.as_file(), file.path())? {
            return Ok(file);
        }
    }
}

/// Marks what was just made as in use. Not if somebody who sweeps was there between its making and this: it is then removed,
/// or about to be.
fn claim(made: &File, path: &Path) -> io::Result<bool> {
    match made.try_lock() {
        Err(TryLockError::WouldBlock) => Ok(false),
        // A file system without locks is one where nobody sweeps.
        Ok(()) | Err(TryLockError::Error(_)) => same(made, path),
    }
}

/// Whether a path still names an open file or folder.
#[cfg(unix)]
pub(crate) fn same(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let key = |about: fs::Metadata| (about.dev(), about.ino());
    match fs::metadata(path) {
        Ok(about) => Ok(key(about) == key(file.metadata()?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(not(unix))]
pub(crate) fn same(_file: &File, _path: &Path) -> io::Result<bool> {
    Ok(true)
}

/// Makes a file durable and gives it its name, which may be taken.
///
/// # Errors
/// If the disk refuses.
pub fn publish(file: NamedTempFile, path: &Path) -> io::Result<()> {
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    sync_folder(folder(path))
}

/// Gives a file new contents, whole or not at all.
///
/// # Errors
/// If the disk refuses; the old file, if any, is then untouched.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_with(path, |file| file.write_all(bytes))
}

/// The same for what is written piece by piece. `write` is given the open file, not its name: what it writes is then what is
/// made durable.
///
/// # Errors
/// If `write` fails or the disk refuses; the old file, if any, is then untouched.
pub fn replace_with(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let mut file = beside(path)?;
    write(file.as_file_mut())?;
    publish(file, path)
}

/// A new folder under a temporary name; removed when dropped, and by the next one of this name if the process is killed.
#[derive(Debug)]
pub struct Folder {
    folder: TempDir,
    /// Marks it as in use, see `sweep`.
    _lock: File,
}

impl Folder {
    /// Makes it beside `path`, for what is to take its name.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub fn beside(path: &Path) -> io::Result<Self> {
        Self::within(folder(path), &prefix(path))
    }

    /// Makes it in another folder; its name begins with `prefix`.
    pub(crate) fn within(within: &Path, prefix: &OsStr) -> io::Result<Self> {
        sweep(within, prefix);
        let mut builder = Builder::new();
        builder.prefix(prefix).suffix(SUFFIX);
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
        loop {
            let folder = builder.tempdir_in(within)?;
            let lock = match File::open(folder.path()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                lock => lock?,
            };
            if claim(&lock, folder.path())? {
                return Ok(Self { folder, _lock: lock });
            }
        }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Lets it stay.
    pub(crate) fn keep(self) -> PathBuf {
        self.folder.keep()
    }
}

/// Gives a durable file another name, which must be free.
///
/// # Errors
/// If the name is taken, or the disk refuses.
pub fn publish_new(file: &Path, path: &Path) -> io::Result<()> {
    TempPath::try_from_path(file)?.persist_noclobber(path).map_err(|error| error.error)?;
    sync_folder(folder(path))
}

/// The folder a path lies in.
pub fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// `.name.`, with which temporary files of a result begin.
fn prefix(path: &Path) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(path.file_name().unwrap_or_default());
    prefix.push(".");
    prefix
}

/// Where the lock of those lies who write what has this name.
pub(crate) fn lock_of(path: &Path) -> PathBuf {
    let mut name = prefix(path);
    name.push("lock");
    folder(path).join(name)
}

/// Removes temporary files of killed writers: those nobody holds locked.
fn sweep(folder: &Path, prefix: &OsStr) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let ours = name.as_encoded_bytes().starts_with(prefix.as_encoded_bytes())
            && name.as_encoded_bytes().ends_with(SUFFIX.as_bytes());
        // What is not ours is not opened either: it may be a pipe, which would wait for a writer.
        let left = ours.then(|| File::open(entry.path()).ok()).flatten();
        let Some(left) = left.filter(|left| left.try_lock().is_ok()) else { continue };
        log::debug!("removing {}, left by a writer that was killed", entry.path().display());
        let whole = entry.path();
        drop(if whole.is_dir() { fs::remove_dir_all(whole) } else { fs::remove_file(whole) });
        // Locked until here, so that a writer that has only just made it sees that it is taken from it.
        drop(left);
    }
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_or_not_at_all() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("figures.json");
        replace(&path, b"old").unwrap();
        let half = |file: &mut File| file.write_all(b"ne").and(Err(io::Error::other("full")));
        assert_eq!(replace_with(&path, half).unwrap_err().to_string(), "full");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_result_has_the_rights_of_any_new_file() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
        let (plain, result) = (folder.path().join("plain"), folder.path().join("result"));
        fs::write(&plain, "").unwrap();
        let mut written = None;
        let number = |about: fs::Metadata| (about.dev(), about.ino());
        replace_with(&result, |file| file.metadata().map(|about| written = Some(number(about)))).unwrap();
        assert_eq!(mode(&result), mode(&plain));
        assert_eq!(written, Some(number(result.metadata().unwrap())), "the file that was written");
    }

    #[test]
    fn what_a_killed_run_left_is_removed_and_what_is_being_written_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result");
        let (_, left) = beside(&path).unwrap().keep().unwrap();
        let other = folder.path().join(".another.abc.tmp");
        fs::write(&other, "").unwrap();
        let first = beside(&path).unwrap();
        let second = beside(&path).unwrap();
        assert!(!left.exists());
        assert!(other.exists() && first.path().exists() && second.path().exists());
        assert_eq!(first.path().parent(), path.parent());
        let left = Folder::beside(&path).unwrap().keep();
        let third = Folder::beside(&path).unwrap();
        assert!(!left.exists() && first.path().exists() && third.path().exists());
    }

    #[test]
    fn what_somebody_sweeps_before_it_is_marked_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made");
        let made = File::create(&path).unwrap();
        assert!(claim(&made, &path).unwrap());
        made.unlock().unwrap();
        let sweeper = File::open(&path).unwrap();
        sweeper.try_lock().unwrap();
        assert!(!claim(&made, &path).unwrap(), "about to be removed");
        fs::remove_file(&path).unwrap();
        drop(sweeper);
        assert!(!claim(&made, &path).unwrap(), "removed");
        fs::write(&path, "another's").unwrap();
        assert!(!claim(&made, &path).unwrap(), "its name is another's");
    }

    /// Many writers of one name, each of which sweeps for the others.
    #[test]
    fn what_is_being_written_is_there_until_it_is_published() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("result");
        let write = || {
            for _ in 0..50 {
                publish(beside(&path).unwrap(), &path).unwrap();
                let folder = Folder::beside(&path).unwrap();
                fs::write(folder.path().join("part"), "").unwrap();
            }
        };
        std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(write))));
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_name_that_is_taken_stays_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result");
        let aside = Folder::beside(&path).unwrap();
        let whole = aside.path().join("whole");
        for expected in [None, Some(io::ErrorKind::AlreadyExists)] {
            fs::write(&whole, "ours").unwrap();
            assert_eq!(publish_new(&whole, &path).err().map(|error| error.kind()), expected);
            fs::write(&path, "theirs").unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "theirs");
    }
}
