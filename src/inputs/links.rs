//! Which links train, validate and test, and links read from a file.

use std::collections::HashSet;
use std::path::Path;

use data_process::sources::published;
use data_process::split::{self, Rate, Share, Split};
use data_process::store::Structure;
use data_process::tables::{self, Cells, Column, TableError};
use data_process::vectors::npy;

use super::InputsError;

/// A link as store ids, `[left, right]`.
pub type Link = [u32; 2];

/// Fewer links than this can neither train nor be ranked.
const LEAST: usize = 2;

/// The links of a run. Those of the store are in one list each; what a file adds to `train` may be in `test` as well, since
/// a pseudo-label may be right, but never in `validation`, which chooses the epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// The seeds, and what a file adds to them.
    pub train: Vec<Link>,
    /// Seeds held out to choose the epoch; empty where nothing is chosen.
    pub validation: Vec<Link>,
    /// Links only ever scored.
    pub test: Vec<Link>,
}

impl Links {
    /// Splits the links of a store as the published runs do; a share of the train part is held out if one is asked for.
    ///
    /// # Errors
    /// If there are no links, or too few.
    pub fn split(structure: &Structure, seed: u32, rate: Rate, held_out: Option<Share>) -> Result<Self, InputsError> {
        let split = split::seeded(structure.links.len(), seed, rate, held_out.unwrap_or_default());
        Self::of(&structure.links, &split, held_out)
    }

    /// Splits the links of a store as files say; `uris` are the store's. Without a validation part among the files, a
    /// share of the train part is held out if one is asked for.
    ///
    /// # Errors
    /// If the files cannot be read or do not fit the store, or a part is too small.
    pub fn published(
        path: &Path,
        structure: &Structure,
        uris: &[Box<str>],
        held_out: Option<Share>,
    ) -> Result<Self, InputsError> {
        let split = published::read(path, uris, structure.left, &structure.links)?;
        Self::of(&structure.links, &split.hold_out(held_out.unwrap_or_default()), held_out)
    }

    fn of(all: &[Link], parts: &Split, held_out: Option<Share>) -> Result<Self, InputsError> {
        if all.is_empty() {
            return Err(InputsError::NoLinks);
        }
        let links = |part: &[usize]| part.iter().map(|position| all[*position]).collect::<Vec<_>>();
        let split = Self { train: links(&parts.train), validation: links(&parts.validation), test: links(&parts.test) };
        if split.train.len() < LEAST || split.test.len() < LEAST {
            let (train, test) = (split.train.len(), split.test.len());
            return Err(InputsError::TooFewLinks { links: all.len(), train, test, least: LEAST });
        }
        match held_out {
            Some(part) if split.validation.is_empty() => {
                Err(InputsError::NoValidation { seeds: split.train.len(), part: part.get() })
            }
            _ => Ok(split),
        }
    }

    /// Adds training links, each once, and none of those held out for validation; says how many were held out.
    pub fn add_training(&mut self, further: &[Link]) -> usize {
        let mut known: HashSet<Link> = self.train.iter().chain(&self.validation).copied().collect();
        self.train.extend(further.iter().filter(|link| known.insert(**link)));
        count_in(&self.validation, further)
    }

    /// Writes the three lists into a folder, each a Parquet file.
    ///
    /// # Errors
    /// If one cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), TableError> {
        let side = |links: &[Link], side: usize| Cells::Ids(links.iter().map(|link| link[side]).collect());
        for (name, links) in PARTS.into_iter().zip([&self.train, &self.validation, &self.test]) {
            let columns =
                [Column { name: "left", cells: side(links, 0) }, Column { name: "right", cells: side(links, 1) }];
            tables::write(&folder.join(name), &columns)?;
        }
        Ok(())
    }

    /// Reads what [`Self::write`] wrote, for a store of so many `entities`, the first `left` of them left ones.
    ///
    /// # Errors
    /// If a file is missing or damaged.
    pub fn read(folder: &Path, left: usize, entities: usize) -> Result<Self, InputsError> {
        let [train, validation, test] = PARTS.map(|name| {
            let path = folder.join(name);
            let links = tables::read_pairs(&path).map_err(|error| of_table(&path, error))?;
            on_their_sides(&path, links, left, entities)
        });
        Ok(Self { train: train?, validation: validation?, test: test? })
    }

    /// How many test links are trained on: those a file of further links holds.
    pub fn trained_and_tested(&self) -> usize {
        count_in(&self.test, &self.train)
    }
}

/// The files of a run's links.
const PARTS: [&str; 3] = ["train.parquet", "validation.parquet", "test.parquet"];

/// How many of some links are among others.
fn count_in(links: &[Link], others: &[Link]) -> usize {
    let others: HashSet<&Link> = others.iter().collect();
    links.iter().filter(|link| others.contains(link)).count()
}

/// Reads links from `.npy` (a two-column array of whole numbers), `.parquet`, or text (tab, comma or space separated).
///
/// # Errors
/// If the file cannot be read, is malformed, or joins entities that are not on opposite sides of the store.
pub fn read(path: &Path, left: usize, entities: usize) -> Result<Vec<Link>, InputsError> {
    let links = match path.extension().and_then(|end| end.to_str()) {
        Some("parquet") => tables::read_pairs(path).map_err(|error| of_table(path, error))?,
        Some("npy") => array(path)?,
        _ => text(&bytes(path)?).map_err(|message| malformed(path, message))?,
    };
    if links.is_empty() {
        return Err(malformed(path, "no links in it".to_owned()));
    }
    on_their_sides(path, links, left, entities)
}

fn on_their_sides(path: &Path, links: Vec<Link>, left: usize, entities: usize) -> Result<Vec<Link>, InputsError> {
    let wrong = |[l, r]: &Link| *l as usize >= left || (*r as usize) < left || *r as usize >= entities;
    match links.iter().position(wrong) {
        None => Ok(links),
        Some(at) => Err(InputsError::WrongSides {
            path: path.to_owned(),
            number: at + 1,
            left: links[at][0],
            right: links[at][1],
            first_right: left,
            entities,
        }),
    }
}

fn of_table(path: &Path, error: TableError) -> InputsError {
    match error {
        TableError::Open { path, source } => InputsError::ReadLinks { path, source },
        TableError::Parquet { source, .. } => malformed(path, source.to_string()),
        TableError::Columns { found, .. } => malformed(path, found),
        other => malformed(path, other.to_string()),
    }
}

fn malformed(path: &Path, message: String) -> InputsError {
    InputsError::Links { path: path.to_owned(), message }
}

fn bytes(path: &Path) -> Result<Vec<u8>, InputsError> {
    std::fs::read(path).map_err(|source| InputsError::ReadLinks { path: path.to_owned(), source })
}

fn array(path: &Path) -> Result<Vec<Link>, InputsError> {
    let id = |number: i64| u32::try_from(number).map_err(|_| malformed(path, format!("{number} is not an id")));
    npy::read_pairs(path)?.into_iter().map(|[left, right]| Ok([id(left)?, id(right)?])).collect()
}

fn text(bytes: &[u8]) -> Result<Vec<Link>, String> {
    // Spreadsheets begin their files with a byte-order mark.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|_| "not text".to_owned())?;
    let mut links = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let fields = || line.split(['\t', ',', ' ']).map(str::trim).filter(|field| !field.is_empty());
        let mut ids = fields().map(str::parse);
        match (ids.next(), ids.next()) {
            (Some(Ok(left)), Some(Ok(right))) => links.push([left, right]),
            // A heading is no link; but what begins like an id is one that cannot be read.
            _ if number == 0 && !fields().any(|field| field.starts_with(|first: char| first.is_ascii_digit())) => {}
            _ => return Err(format!("line {}: {line:?} is not two ids", number + 1)),
        }
    }
    Ok(links)
}

#[cfg(test)]
mod tests {
    use data_process::fault::{Fault, Kind};

    use super::*;

    fn structure(links: usize) -> Structure {
        let links = (0..links as u32).map(|link| [link, 100 + link]).collect();
        Structure { left: 100, entities: 200, links, ..Structure::default() }
    }

    fn share(share: f64) -> Share {
        share.try_into().unwrap()
    }

    fn rate(rate: f64) -> Rate {
        rate.try_into().unwrap()
    }

    fn read_as(name: &str, bytes: &[u8]) -> Result<Vec<Link>, InputsError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        read(&path, 100, 200)
    }

    fn npy_file(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        numpy_file(&format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n"), data)
    }

    fn numpy_file(header: &str, data: &[u8]) -> Vec<u8> {
        [b"\x93NUMPY\x01\x00".as_slice(), &(header.len() as u16).to_le_bytes(), header.as_bytes(), data].concat()
    }

    #[test]
    fn the_parts_are_disjoint_and_no_links_or_too_few_are_errors() {
        let links = Links::split(&structure(100), 42, rate(0.2), Some(share(0.25))).unwrap();
        assert_eq!((links.train.len(), links.validation.len(), links.test.len()), (15, 5, 80));
        let none = Links::split(&structure(0), 42, rate(0.2), None);
        assert!(matches!(none, Err(InputsError::NoLinks)));
        let few = Links::split(&structure(5), 42, rate(0.2), None);
        assert!(matches!(few, Err(InputsError::TooFewLinks { train: 1, test: 4, .. })));
        for part in [0.0, 0.1] {
            let unchosen = Links::split(&structure(20), 42, rate(0.2), Some(share(part)));
            assert!(matches!(unchosen, Err(InputsError::NoValidation { seeds: 4, .. })), "{part}");
        }
    }

    #[test]
    fn a_published_split_is_read_and_must_fit_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, lines: &str| std::fs::write(folder.path().join(name), lines).unwrap();
        write("train_links", "e3\te103\ne1\te101\ne0\te100\ne4\te104\n");
        write("test_links", "e2\te102\ne5\te105\n");
        let uris: Vec<Box<str>> = (0..200).map(|id| format!("e{id}").into()).collect();
        let half = Some(share(0.5));
        let links = Links::published(folder.path(), &structure(100), &uris, half).unwrap();
        assert_eq!(links.train, [[3, 103], [1, 101]]);
        assert_eq!(links.validation, [[0, 100], [4, 104]]);
        assert_eq!(links.test, [[2, 102], [5, 105]]);
        write("valid_links", "e6\te106\n");
        let links = Links::published(folder.path(), &structure(100), &uris, half).unwrap();
        assert_eq!((links.train.len(), links.validation), (4, vec![[6, 106]]));
        write("train_links", "e1\te102\n");
        let error = Links::published(folder.path(), &structure(100), &uris, half).unwrap_err();
        assert!(matches!(&error, InputsError::Split(_)) && error.to_string().contains("train_links:1"), "{error}");
    }

    #[test]
    fn further_links_come_once_never_from_validation_and_those_that_are_tested_are_counted() {
        let mut links = Links { train: vec![[1, 101]], validation: vec![[3, 103]], test: vec![[4, 104], [5, 105]] };
        assert_eq!(links.trained_and_tested(), 0);
        let held_out = links.add_training(&[[1, 101], [2, 102], [2, 102], [3, 103], [4, 104], [3, 103]]);
        assert_eq!(links.train, [[1, 101], [2, 102], [4, 104]]);
        assert_eq!((held_out, links.trained_and_tested()), (1, 1));
    }

    #[test]
    fn the_links_of_a_run_come_back_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let links = Links { train: vec![[2, 102], [1, 101]], validation: vec![], test: vec![[4, 104]] };
        links.write(folder.path()).unwrap();
        assert_eq!(Links::read(folder.path(), 100, 200).unwrap(), links);
        assert!(matches!(Links::read(folder.path(), 100, 104), Err(InputsError::WrongSides { .. })));
        std::fs::write(folder.path().join("test.parquet"), "garbage").unwrap();
        assert!(matches!(Links::read(folder.path(), 100, 200), Err(InputsError::Links { .. })));
        std::fs::remove_file(folder.path().join("train.parquet")).unwrap();
        assert!(matches!(Links::read(folder.path(), 100, 200), Err(InputsError::ReadLinks { .. })));
        assert!(links.write(Path::new("no/such/folder")).is_err());
    }

    #[test]
    fn text_and_numpy_files_are_read() {
        assert_eq!(read_as("l.tsv", b"left\tright\n1\t101\n2\t102\n").unwrap(), [[1, 101], [2, 102]]);
        assert_eq!(read_as("l.csv", b"1,101\n").unwrap(), [[1, 101]]);
        assert_eq!(read_as("l.csv", b"\xef\xbb\xbf1,101\n2,102\n").unwrap(), [[1, 101], [2, 102]]);
        assert_eq!(read_as("l.csv", b"\xef\xbb\xbfleft,right\n2,102\n").unwrap(), [[2, 102]]);
        let ids: Vec<u8> = [3_i64, 103, 4, 104].into_iter().flat_map(i64::to_le_bytes).collect();
        assert_eq!(read_as("l.npy", &npy_file("<i8", "(2, 2)", &ids)).unwrap(), [[3, 103], [4, 104]]);
        let ids: Vec<u8> = [3_i32, 103].into_iter().flat_map(i32::to_le_bytes).collect();
        assert_eq!(read_as("l.npy", &npy_file("<i4", "(1, 2)", &ids)).unwrap(), [[3, 103]]);
        let columns: Vec<u8> = [3_i64, 4, 103, 104].into_iter().flat_map(i64::to_le_bytes).collect();
        let transposed = numpy_file("{'descr': '<i8', 'fortran_order': True, 'shape': (2, 2), }\n", &columns);
        assert_eq!(read_as("l.npy", &transposed).unwrap(), [[3, 103], [4, 104]]);
    }

    #[test]
    fn what_is_no_list_of_links_is_refused() {
        assert!(matches!(read(Path::new("no/such.tsv"), 1, 2), Err(InputsError::ReadLinks { .. })));
        for text in ["1 101\nx y\n", "1;101\n2;102\n", "1;101\n2 102\n", "left 101\n2 102\n"] {
            assert!(matches!(read_as("l.tsv", text.as_bytes()), Err(InputsError::Links { .. })), "{text}");
        }
        let error = read_as("l.npy", b"garbage").unwrap_err();
        assert!(matches!(error, InputsError::Array(_)) && error.kind() == Kind::Data, "{error}");
        let error = read(Path::new("no/such.npy"), 1, 2).unwrap_err();
        assert!(matches!(error, InputsError::Array(_)) && error.kind() == Kind::Input, "{error}");
        let huge = "(4611686018427387904, 2)";
        for (descr, shape, data) in
            [("<f4", "(1, 2)", [0; 8]), ("<i4", "(1, 3)", [0; 8]), ("<i8", "(1, 2)", [0; 8]), ("<i4", huge, [0; 8])]
        {
            assert!(matches!(read_as("l.npy", &npy_file(descr, shape, &data)), Err(InputsError::Array(_))));
        }
        let negative = read_as("l.npy", &npy_file("<i4", "(1, 2)", &[255; 8]));
        assert!(matches!(negative, Err(InputsError::Links { .. })));
        assert!(matches!(read_as("l.tsv", b"1 101\n101 1\n"), Err(InputsError::WrongSides { number: 2, .. })));
        for (name, bytes) in [("l.parquet", &b"garbage"[..]), ("l.tsv", b""), ("l.tsv", b"left right\n")] {
            assert!(matches!(read_as(name, bytes), Err(InputsError::Links { .. })), "{name}");
        }
    }
}
