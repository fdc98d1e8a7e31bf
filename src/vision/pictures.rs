//! Which image file belongs to which entity: by an index file, or by the file's name. Never by position or number.
//!
//! With an index, a file is known by its name without extension (`FBIMG00001`). Without one, a file or the folder it is
//! in is named after the entity: its identifier with `/` written as `.`, `_` or `%2F` (`m.01abc`), or the last part of an
//! IRI (`Mickey_Rooney`), where that is unambiguous.

use std::collections::btree_map::{BTreeMap, Entry};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use data_process::fault::{Fault, Kind};
use data_process::vectors::{Coverage, Entities, Index};

/// Extensions of files that are looked at.
const EXTENSIONS: [&str; 9] = ["jpg", "jpeg", "png", "gif", "bmp", "webp", "tif", "tiff", "jpe"];

/// Folders below which no images are looked for any more.
const DEEPEST: usize = 16;

/// What can be wrong with a folder of images.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PictureError {
    /// The folder cannot be read.
    #[error("cannot read the folder of images {}: {source}; --images names folders", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There are no images.
    #[error("{}: no images in it ({})", path.display(), EXTENSIONS.join(", "))]
    None {
        /// The folder.
        path: PathBuf,
    },
    /// No image belongs to an entity.
    #[error(
        "none of the {files} images belongs to an entity: there are files such as {} and entities such as {}; an index \
         file (`--index`) with lines `entity TAB image` connects the two", example.display(), entities.join(", ")
    )]
    NothingMatched {
        /// Images found.
        files: usize,
        /// One of them.
        example: PathBuf,
        /// A few entities.
        entities: Vec<String>,
    },
}

impl Fault for PictureError {
    fn kind(&self) -> Kind {
        match self {
            Self::Folder { .. } => Kind::Input,
            Self::None { .. } | Self::NothingMatched { .. } => Kind::Data,
        }
    }
}

/// The images of a store's entities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pictures {
    /// Store id and file, ids strictly increasing.
    pub files: Vec<(u32, PathBuf)>,
    /// What was left over; `present` counts images, whether or not they can be decoded.
    pub coverage: Coverage,
}

/// Finds the image of each entity; where there are several the first wins (index order, otherwise path order). Of two
/// folders with an index each, the first is of the left graph and the second of the right.
///
/// # Errors
/// If a folder cannot be read, or holds no image of any entity.
pub fn find(folders: &[PathBuf], entities: &Entities, indexes: &[Index]) -> Result<Pictures, PictureError> {
    let (mut files, mut ends) = (Vec::new(), vec![0]);
    for folder in folders {
        let before = files.len();
        list(folder, DEEPEST, &mut files)?;
        files[before..].sort_unstable();
        if files.len() == before {
            return Err(PictureError::None { path: folder.clone() });
        }
        ends.push(files.len());
    }
    let mut found = Found { chosen: BTreeMap::new(), coverage: Coverage::default() };
    match (ends.as_slice(), indexes) {
        (_, []) => found.by_name(&files, entities),
        ([_, middle, _], [_, _]) => {
            let (left, right) = files.split_at(*middle);
            found.by_index(left, entities, &indexes[..1], Some(0));
            found.by_index(right, entities, &indexes[1..], Some(1));
        }
        _ => found.by_index(&files, entities, indexes, None),
    }
    if found.chosen.is_empty() {
        let example = files.first().cloned().unwrap_or_default();
        return Err(PictureError::NothingMatched { files: files.len(), example, entities: entities.examples() });
    }
    Ok(found.finish(entities))
}

fn list(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), PictureError> {
    let wrong = |source| PictureError::Folder { path: folder.to_owned(), source };
    for entry in std::fs::read_dir(folder).map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        if path.is_dir() {
            if depth > 0 {
                list(&path, depth - 1, files)?;
            }
        } else if is_image(&path) {
            files.push(path);
        }
    }
    Ok(())
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known))
}

struct Found {
    chosen: BTreeMap<u32, PathBuf>,
    coverage: Coverage,
}

impl Found {
    fn choose(&mut self, id: u32, file: &Path) {
        match self.chosen.entry(id) {
            Entry::Vacant(slot) => {
                slot.insert(file.to_owned());
            }
            Entry::Occupied(_) => self.coverage.duplicates += 1,
        }
    }

    /// `side` is the graph that all these files are of, if they are of one.
    fn by_index(&mut self, files: &[PathBuf], entities: &Entities, indexes: &[Index], side: Option<usize>) {
        let mut named: HashMap<&str, &PathBuf> = HashMap::new();
        for file in files.iter().rev() {
            for name in [file.file_stem(), file.file_name()].into_iter().flatten().filter_map(|name| name.to_str()) {
                named.insert(name, file);
            }
        }
        let mut used = HashSet::new();
        for (entity, key) in indexes.iter().flat_map(|index| &index.pairs) {
            let Some(file) = named.get(&**key) else {
                self.coverage.missing += 1;
                continue;
            };
            for id in entities.by_name(entity, side) {
                used.insert(*file);
                self.choose(id, file);
            }
        }
        self.coverage.unmatched += files.iter().filter(|file| !used.contains(file)).count();
    }

    fn by_name(&mut self, files: &[PathBuf], entities: &Entities) {
        let names = spellings(entities);
        for file in files {
            let parts = [file.file_stem(), file.parent().and_then(Path::file_name)];
            let id = parts.into_iter().flatten().find_map(|part| *names.get(part.to_str()?)?);
            match id {
                Some(id) => self.choose(id, file),
                None => self.coverage.unmatched += 1,
            }
        }
    }

    fn finish(self, entities: &Entities) -> Pictures {
        let left = self.chosen.range(..entities.sides()[0] as u32).count();
        let present = [left, self.chosen.len() - left];
        let coverage = Coverage { present, entities: entities.sides(), ..self.coverage };
        Pictures { files: self.chosen.into_iter().collect(), coverage }
    }
}

/// Every way a file may spell an entity; `None` where two entities would be spelt alike.
fn spellings(entities: &Entities) -> HashMap<String, Option<u32>> {
    let mut spellings = HashMap::new();
    let mut add = |spelling: String, id: u32| {
        let known = spellings.entry(spelling).or_insert(Some(id));
        if *known != Some(id) {
            *known = None;
        }
    };
    for (id, name) in entities.names().enumerate() {
        let (id, plain) = (id as u32, name.trim_start_matches('/'));
        for written in [".", "_", "%2F", "__"] {
            add(plain.replace('/', written), id);
        }
        if let Some((_, last)) = plain.rsplit_once(['/', '#']) {
            add(last.to_owned(), id);
        }
    }
    spellings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entities() -> Entities {
        let names =
            ["/m/01abc", "/m/02x", "<http://x/Ada>", "<http://x/Bob>", "<http://y/Bob>"].map(Into::into).to_vec();
        Entities::new(names, 2, ["L".into(), "R".into()])
    }

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"").unwrap();
        }
        folder
    }

    fn names(pictures: &Pictures) -> Vec<(u32, String)> {
        let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
        pictures.files.iter().map(|(id, path)| (*id, name(path))).collect()
    }

    #[test]
    fn files_and_folders_are_named_after_entities() {
        let folder =
            folder(&["m.01abc.jpg", "m.02x/2.JPG", "m.02x/1.png", "Ada.gif", "Bob.png", "notes.txt", "other.png"]);
        let found = find(&[folder.path().to_owned()], &entities(), &[]).unwrap();
        assert_eq!(names(&found), [(0, "m.01abc.jpg".into()), (1, "1.png".into()), (2, "Ada.gif".into())]);
        // Two entities are called Bob, so the file is nobody's.
        let expected = Coverage { present: [2, 1], entities: [2, 3], duplicates: 1, unmatched: 2, missing: 0 };
        assert_eq!(found.coverage, expected);
    }

    #[test]
    fn an_index_decides_and_numbers_do_not() {
        let folder = folder(&["IMG1.jpg", "IMG2.jpg", "IMG3.jpg"]);
        let pair = |entity: &str, key: &str| (entity.into(), key.into());
        let pairs = vec![
            pair("http://y/Bob", "IMG1"),
            pair("/m/01abc", "IMG2.jpg"),
            pair("/m/01abc", "IMG1"),
            pair("/m/02x", "IMG9"),
        ];
        let found = find(&[folder.path().to_owned()], &entities(), &[Index { pairs }]).unwrap();
        assert_eq!(names(&found), [(0, "IMG2.jpg".into()), (4, "IMG1.jpg".into())]);
        let expected = Coverage { present: [1, 1], entities: [2, 3], duplicates: 1, unmatched: 1, missing: 1 };
        assert_eq!(found.coverage, expected);
    }

    #[test]
    fn two_folders_that_number_alike_are_told_apart_by_their_indexes() {
        let (left, right) = (folder(&["1.jpg"]), folder(&["1.jpg"]));
        let folders = [left.path().to_owned(), right.path().to_owned()];
        let index = |entity: &str| Index { pairs: vec![(entity.into(), "1".into())] };
        let found = find(&folders, &entities(), &[index("/m/02x"), index("http://x/Ada")]).unwrap();
        assert_eq!(found.files, [(1, folders[0].join("1.jpg")), (2, folders[1].join("1.jpg"))]);
        assert_eq!(found.coverage.unmatched, 0);
    }

    #[test]
    fn folders_without_use_are_told_apart() {
        let find = |path: &Path| find(&[path.to_owned()], &entities(), &[]).unwrap_err();
        assert!(matches!(find(Path::new("/no/such")), PictureError::Folder { .. }));
        assert!(matches!(find(folder(&["a.txt"]).path()), PictureError::None { .. }));
        assert!(matches!(find(folder(&["zzz.png"]).path()), PictureError::NothingMatched { files: 1, .. }));
    }
}
