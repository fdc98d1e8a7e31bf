//! Published splits: which links train, validate and test, as files of links.
//!
//! A folder holds `train_links`, `valid_links` and `test_links` (OpenEA's `721_5fold/1`), or `sup_ent_ids` and
//! `ref_ent_ids` (DBP15K's `0_3`); a single file holds the train links, and every other link tests. A line is
//! `left⇥right`: identifiers, or ids of the `ent_ids_1/2` that lie in the folder or in the one above it.

use std::path::{Path, PathBuf};

use rustc_hash::FxHashMap;

use super::collect::kept;
use super::id_files::Ids;
use super::{SourceError, tables};
use crate::event::{Observer, Silent};
use crate::pair::{Names, Side};
use crate::split::Split;

/// The file names of each part, best known first.
const TRAIN: [&str; 3] = ["train_links", "sup_ent_ids", "sup_pairs"];
const VALIDATION: [&str; 2] = ["valid_links", "valid_ent_ids"];
const TEST: [&str; 3] = ["test_links", "ref_ent_ids", "ref_pairs"];

/// Reads a published split of a store's links; `uris` are the store's identifiers, the first `left` of them left ones,
/// and `links` its links as `[left id, right id]`. Links of the store that the split does not mention are in no part,
/// unless the split is a single file.
///
/// # Errors
/// If files are missing or malformed, or a line is not a link of the store or was in a part already.
pub fn read(path: &Path, uris: &[Box<str>], left: usize, links: &[[u32; 2]]) -> Result<Split, SourceError> {
    let positions = links.iter().enumerate().map(|(position, &link)| (link, position)).collect();
    let mut reading = Reading { lookup: Lookup::new(path, uris, left)?, positions, taken: vec![false; links.len()] };
    if path.is_file() {
        let train = reading.part(path)?;
        let test = (0..links.len()).filter(|&position| !reading.taken[position]).collect();
        return Ok(Split { train, validation: Vec::new(), test });
    }
    let [train, validation, test] = [&TRAIN[..], &VALIDATION, &TEST].map(|names| first_of(path, names));
    let (Some(train), Some(test)) = (train, test) else { return Err(missing(path)) };
    Ok(Split {
        train: reading.part(&train)?,
        validation: validation.map_or_else(|| Ok(Vec::new()), |file| reading.part(&file))?,
        test: reading.part(&test)?,
    })
}

fn first_of(folder: &Path, names: &[&str]) -> Option<PathBuf> {
    names.iter().map(|name| folder.join(name)).find(|file| file.is_file())
}

fn missing(folder: &Path) -> SourceError {
    let files = [TRAIN[0], TEST[0]].map(|name| folder.join(name)).to_vec();
    let advice = "a published split is a folder with train_links and test_links (and valid_links), such as OpenEA's \
                  721_5fold/1, or with sup_ent_ids and ref_ent_ids; or one file of train links."
        .to_owned();
    SourceError::Missing { files, advice }
}

/// The parts as they are read.
struct Reading<'a> {
    lookup: Lookup<'a>,
    /// The position of each link of the store.
    positions: FxHashMap<[u32; 2], usize>,
    /// The positions that are in a part already.
    taken: Vec<bool>,
}

impl Reading<'_> {
    fn part(&mut self, path: &Path) -> Result<Vec<usize>, SourceError> {
        let mut part = Vec::new();
        let report = tables::texts(path, &Silent, |line, [l, r]| {
            let link = [self.lookup.find(Side::Left, l, path, line)?, self.lookup.find(Side::Right, r, path, line)?];
            let Some(&position) = self.positions.get(&link) else {
                return Err(SourceError::NotALink { path: path.to_owned(), line, link: format!("{l} and {r}") });
            };
            if std::mem::replace(&mut self.taken[position], true) {
                return Err(SourceError::Doubled {
                    path: path.to_owned(),
                    line,
                    what: format!("the link of {l} and {r}"),
                });
            }
            part.push(position);
            Ok(kept(true))
        })?;
        if report.unreadable > 0 {
            return Err(SourceError::BrokenSplit { report });
        }
        Ok(part)
    }
}

/// From an entity as a split writes it to its id in the store.
struct Lookup<'a> {
    by_uri: [FxHashMap<&'a str, u32>; 2],
    /// For splits written in ids: the names behind them, left and right.
    by_id: Option<[(Ids, Names); 2]>,
}

impl<'a> Lookup<'a> {
    fn new(path: &Path, uris: &'a [Box<str>], left: usize) -> Result<Self, SourceError> {
        let numbered = |from: usize, uris: &'a [Box<str>]| {
            uris.iter().enumerate().map(|(row, uri)| (&**uri, (from + row) as u32)).collect()
        };
        let by_uri = [numbered(0, &uris[..left]), numbered(left, &uris[left..])];
        let folders = path.ancestors().take(3).filter(|folder| folder.is_dir());
        let both = |folder: &Path| ["ent_ids_1", "ent_ids_2"].map(|name| folder.join(name));
        let Some(files) = folders.map(both).find(|files| files.iter().all(|file| file.is_file())) else {
            return Ok(Self { by_uri, by_id: None });
        };
        let [left, right] = &files;
        Ok(Self { by_uri, by_id: Some([named("left", left, &Silent)?, named("right", right, &Silent)?]) })
    }

    fn find(&self, side: Side, entity: &str, path: &Path, line: u64) -> Result<u32, SourceError> {
        if let Some(&id) = self.by_uri[side as usize].get(entity) {
            return Ok(id);
        }
        let unknown = || SourceError::UnknownEntity {
            path: path.to_owned(),
            line,
            graph: format!("the store's {} graph", ["left", "right"][side as usize]),
            entity: entity.to_owned(),
        };
        let (Some(both), Ok(id)) = (&self.by_id, entity.parse()) else { return Err(unknown()) };
        let (ids, names) = &both[side as usize];
        let name = &names[ids.get(id, path, line)? as usize];
        self.by_uri[side as usize].get(&**name).copied().ok_or_else(unknown)
    }
}

fn named(graph: &str, path: &Path, observer: &dyn Observer) -> Result<(Ids, Names), SourceError> {
    Ids::read(graph, path, observer).map(|(ids, names, _)| (ids, names))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Three left entities, three right ones, three links, out of order.
    fn split_of(files: &[(&str, &str)], path: &str) -> Result<Split, SourceError> {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("1")).unwrap();
        for (name, content) in files {
            fs::write(folder.path().join(name), content).unwrap();
        }
        let uris = ["a", "b", "c", "x", "y", "z"].map(Box::from);
        read(&folder.path().join(path), &uris, 3, &[[2, 5], [0, 3], [1, 4]])
    }

    #[test]
    fn a_folder_of_named_links_gives_their_positions() {
        let files = [("1/train_links", "a\tx\n"), ("1/valid_links", "c\tz\n"), ("1/test_links", "b\ty\n")];
        let split = split_of(&files, "1").unwrap();
        assert_eq!(split, Split { train: vec![1], validation: vec![0], test: vec![2] });
    }

    #[test]
    fn ids_are_looked_up_in_the_folder_above() {
        let files = [
            ("ent_ids_1", "10\ta\n11\tb\n12\tc\n"),
            ("ent_ids_2", "20\tx\n21\ty\n22\tz\n"),
            ("1/sup_ent_ids", "12\t22\n"),
            ("1/ref_ent_ids", "11\t21\n10\t20\n"),
        ];
        let split = split_of(&files, "1").unwrap();
        assert_eq!(split, Split { train: vec![0], validation: vec![], test: vec![2, 1] });
        assert_eq!(split_of(&files, "1/sup_ent_ids").unwrap().test, [1, 2]);
    }

    #[test]
    fn a_single_file_is_the_train_part_and_the_rest_tests() {
        let split = split_of(&[("train", "b\ty\n")], "train").unwrap();
        assert_eq!(split, Split { train: vec![2], validation: vec![], test: vec![0, 1] });
    }

    #[test]
    fn a_split_of_other_links_is_refused() {
        let refused = |train: &str| split_of(&[("train", train)], "train").unwrap_err();
        assert!(matches!(refused("a\ty\n"), SourceError::NotALink { line: 1, .. }));
        assert!(matches!(refused("a\tx\nq\ty\n"), SourceError::UnknownEntity { line: 2, .. }));
        assert!(matches!(refused("a\tx\na\tx\n"), SourceError::Doubled { line: 2, .. }));
        assert!(matches!(refused("x\ta\n"), SourceError::UnknownEntity { line: 1, .. }));
    }

    #[test]
    fn a_line_that_cannot_be_read_is_not_passed_over() {
        let uris: Vec<Box<str>> = (0..400).map(|row| format!("e{row}").into()).collect();
        let links: Vec<[u32; 2]> = (0..200).map(|row| [row, row + 200]).collect();
        let lines: Vec<String> = links.iter().map(|[left, right]| format!("e{left}\te{right}")).collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        let split_of = |text: String| {
            fs::write(file.path(), text).unwrap();
            read(file.path(), &uris, 200, &links)
        };
        assert_eq!(split_of(lines.join("\n")).unwrap().train.len(), 200);
        let error = split_of(lines.join("\n").replacen('\t', " ", 1)).unwrap_err();
        assert!(matches!(&error, SourceError::BrokenSplit { report } if report.unreadable == 1), "{error}");
    }

    #[test]
    fn a_link_in_two_parts_is_refused() {
        let error = split_of(&[("1/train_links", "a\tx\n"), ("1/test_links", "b\ty\na\tx\n")], "1").unwrap_err();
        assert!(matches!(error, SourceError::Doubled { line: 2, .. }), "{error}");
    }

    #[test]
    fn a_folder_without_parts_is_told_what_they_are_called() {
        let error = split_of(&[("1/train_links", "a\tx\n")], "1").unwrap_err();
        assert!(matches!(&error, SourceError::Missing { .. }) && error.to_string().contains("test_links"), "{error}");
    }
}
