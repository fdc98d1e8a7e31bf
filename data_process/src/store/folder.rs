//! The files of a store, opened as they lay there at one moment: a folder may be exchanged for another meanwhile.

use std::ffi::OsStr;
use std::fs::{self, DirEntry, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use indexmap::IndexSet;

use super::StoreError;
use super::part::Part;
use crate::aside::same;
use crate::schema;

/// How often a folder that is exchanged while it is opened is opened anew.
const ATTEMPTS: usize = 20;

/// The files of a store, all open, and whether they lie in a folder.
pub(super) fn open(path: &Path) -> Result<(bool, Vec<Part>), StoreError> {
    open_by(path, Part::open)
}

/// [`open`] with another way of opening a part, for the test of a folder that is exchanged meanwhile.
fn open_by(
    path: &Path,
    mut open_part: impl FnMut(&Path, usize) -> Result<Part, StoreError>,
) -> Result<(bool, Vec<Part>), StoreError> {
    let failed = |source| StoreError::Open { path: path.to_owned(), source };
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            log::debug!("{} was replaced while it was opened; once more", path.display());
            thread::sleep(Duration::from_millis(1));
        }
        let before = match Found::at(path) {
            // Where names are not swapped in one step, there is nothing for a moment.
            Err(error) if attempt > 0 && error.kind() == io::ErrorKind::NotFound => continue,
            before => before.map_err(failed)?,
        };
        let parts = open_parts(path, before.folder, &mut open_part);
        // A single file is what it was, whatever has its name by now.
        if (parts.is_ok() && !before.folder) || before.is_still_at(path).map_err(failed)? {
            return Ok((before.folder, parts?));
        }
    }
    Err(StoreError::Replaced { path: path.to_owned() })
}

/// What lay at a path at a moment. It is held open, so that nothing new can be taken for it.
struct Found {
    held: Option<File>,
    folder: bool,
}

impl Found {
    fn at(path: &Path) -> io::Result<Self> {
        // Elsewhere a folder cannot be opened.
        let held = if cfg!(unix) { Some(File::open(path)?) } else { None };
        let about = held.as_ref().map_or_else(|| fs::metadata(path), File::metadata)?;
        Ok(Self { held, folder: about.is_dir() })
    }

    fn is_still_at(&self, path: &Path) -> io::Result<bool> {
        self.held.as_ref().map_or(Ok(true), |held| same(held, path))
    }
}

fn open_parts(
    path: &Path,
    folder: bool,
    open_part: &mut impl FnMut(&Path, usize) -> Result<Part, StoreError>,
) -> Result<Vec<Part>, StoreError> {
    let files = if folder { part_files(path)? } else { vec![path.to_owned()] };
    let mut parts: Vec<Part> = Vec::with_capacity(files.len());
    let mut entities = 0;
    for file in &files {
        let part = open_part(file, entities).map_err(|error| of_many(error, path, files.len()))?;
        if let Some(first) = parts.first() {
            same_columns(first, &part)?;
        }
        entities += part.rows;
        parts.push(part);
    }
    Ok(parts)
}

/// A store holds all its files open, which a process may not do with any number of them.
fn of_many(error: StoreError, path: &Path, parts: usize) -> StoreError {
    match error {
        StoreError::Open { source, .. } | StoreError::Read { source, .. } if too_many_are_open(&source) => {
            StoreError::TooManyFiles { path: path.to_owned(), parts, source }
        }
        other => other,
    }
}

#[cfg(unix)]
fn too_many_are_open(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error())
}

#[cfg(not(unix))]
fn too_many_are_open(_error: &io::Error) -> bool {
    false
}

/// The parts in a folder, in order.
pub(super) fn part_files(path: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let entries = fs::read_dir(path).map_err(|source| StoreError::Open { path: path.to_owned(), source })?;
    let part = |entry: DirEntry| is_part(&entry.file_name()).then(|| entry.path());
    let mut files: Vec<PathBuf> = entries.flatten().filter_map(part).collect();
    files.sort_unstable();
    if files.is_empty() { Err(StoreError::NoParts { path: path.to_owned() }) } else { Ok(files) }
}

/// Whether a file in a folder is one of the store's by its name.
pub(super) fn is_part(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("part-") && name.ends_with(".parquet")
}

fn same_columns(first: &Part, part: &Part) -> Result<(), StoreError> {
    let describe = |part: &Part| -> IndexSet<String> {
        let fields = part.schema.fields().iter();
        fields.map(|field| format!("`{}` {}", field.name(), schema::type_name(field.data_type()))).collect()
    };
    let (expected, found) = (describe(first), describe(part));
    let missing = expected.difference(&found).next().map(|column| format!("it lacks {column}"));
    match missing.or_else(|| found.difference(&expected).next().map(|column| format!("it also has {column}"))) {
        None => Ok(()),
        Some(difference) => {
            Err(StoreError::PartsDiffer { path: part.path.clone(), first: first.path.clone(), difference })
        }
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::{small_pair, temporary};
    use crate::store::{split, write};

    /// Two stores of three parts, the right one's last part two rows longer, as they are told apart here.
    fn two_folders(folder: &Path, path: &Path) -> [PathBuf; 2] {
        let mut pair = small_pair();
        ["one", "other"].map(|name| {
            write(path, &pair, &[]).unwrap();
            pair.right.entities.extend(["z", "zz"].map(Box::from));
            let parts = folder.join(name);
            split(path, &parts, 3.try_into().unwrap()).unwrap();
            parts
        })
    }

    #[test]
    fn a_folder_exchanged_while_it_is_opened_is_opened_anew() {
        let (folder, path) = temporary();
        let [one, other] = two_folders(folder.path(), &path);
        let gone = folder.path().join("gone");
        // Before any of its parts is opened, the folder makes way for the other one, whose parts are whole as well.
        for at in 0..3 {
            let mut opened = 0;
            let (_, parts) = open_by(&one, |file, first| {
                if opened == at {
                    fs::rename(&one, &gone).unwrap();
                    fs::rename(&other, &one).unwrap();
                    fs::rename(&gone, &other).unwrap();
                }
                opened += 1;
                Part::open(file, first)
            })
            .unwrap();
            let rows: usize = parts.iter().map(|part| part.rows).sum();
            assert_eq!(rows, if at % 2 == 0 { 9 } else { 7 }, "the folder that is there now");
        }
    }

    #[test]
    fn a_part_that_vanishes_with_its_folder_is_looked_for_in_the_next_one() {
        let (folder, path) = temporary();
        let [one, other] = two_folders(folder.path(), &path);
        let mut removed = false;
        let (_, parts) = open_by(&one, |file, first| {
            if !std::mem::replace(&mut removed, true) {
                fs::remove_dir_all(&one).unwrap();
                fs::rename(&other, &one).unwrap();
                fs::remove_file(file).unwrap();
                fs::copy(&path, file).unwrap();
                fs::remove_file(one.join("part-00001.parquet")).unwrap();
                fs::remove_file(one.join("part-00002.parquet")).unwrap();
            }
            Part::open(file, first)
        })
        .unwrap();
        assert_eq!(parts.len(), 1);
    }

    #[test]
    fn a_folder_that_never_stays_is_given_up() {
        let (folder, path) = temporary();
        let [one, other] = two_folders(folder.path(), &path);
        let gone = folder.path().join("gone");
        let error = open_by(&one, |file, first| {
            fs::rename(&one, &gone).unwrap();
            fs::rename(&other, &one).unwrap();
            fs::rename(&gone, &other).unwrap();
            Part::open(file, first)
        })
        .unwrap_err();
        assert!(matches!(error, StoreError::Replaced { .. }), "{error}");
    }
}
