//! Predicted pairs as Parquet, CSV or N-Triples; the file appears whole or not at all.

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use data_process::aside;
use data_process::fault::{Fault, Kind};
use data_process::sources::rdf;
use data_process::tables::{self, Cells, Column, TableError};

use super::{Calibration, Pair};

/// The forms a prediction can take, by the ending of the file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `.parquet`
    Parquet,
    /// `.csv`
    Csv,
    /// `.nt`: one `owl:sameAs` per pair, of entities named as `humea store export --format nt` names them.
    NTriples,
}

/// What can go wrong with writing predictions.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The ending is none of the three.
    #[error("{path}: the name must end in .parquet, .csv or .nt", path = path.display())]
    Ending {
        /// The file.
        path: PathBuf,
    },
    /// The table cannot be written.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The folder it should lie in cannot be made.
    #[error("cannot make the folder {path}: {source}; --out names another place", path = path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write {path}: {source}; --out names another place", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Fault for WriteError {
    fn kind(&self) -> Kind {
        match self {
            Self::Ending { .. } => Kind::Configuration,
            Self::Table(error) => error.kind(),
            Self::Folder { .. } | Self::File { .. } => Kind::Output,
        }
    }
}

impl Format {
    /// The format of a file, by its name.
    ///
    /// # Errors
    /// If the ending is none of the three.
    pub fn of(path: &Path) -> Result<Self, WriteError> {
        match path.extension().and_then(|end| end.to_str()) {
            Some("parquet") => Ok(Self::Parquet),
            Some("csv") => Ok(Self::Csv),
            Some("nt") => Ok(Self::NTriples),
            _ => Err(WriteError::Ending { path: path.to_owned() }),
        }
    }
}

/// What is to be written.
#[derive(Clone, Copy, Debug)]
pub struct Predictions<'a> {
    /// The pairs, best first.
    pub pairs: &'a [Pair],
    /// How scores become confidences; without one there are none.
    pub calibration: Option<Calibration>,
    /// Entity identifiers by store id.
    pub uris: &'a [Box<str>],
}

/// Makes the folder of a file that is to be written, and tries to write there: a long time passes until it is.
///
/// # Errors
/// If the ending is unknown or the disk refuses.
pub fn claim(path: &Path) -> Result<(), WriteError> {
    Format::of(path)?;
    let refused = |kind: ErrorKind| WriteError::File { path: path.to_owned(), source: kind.into() };
    if path.is_dir() {
        return Err(refused(ErrorKind::IsADirectory));
    }
    let folder = aside::folder(path);
    std::fs::create_dir_all(folder).map_err(|source| WriteError::Folder { path: folder.to_owned(), source })?;
    // The error's own words name a temporary file.
    aside::beside(path).map_err(|error| refused(error.kind()))?;
    Ok(())
}

/// Writes predictions in the format the file's name asks for.
///
/// # Errors
/// If the ending is unknown or the disk refuses.
pub fn write(path: &Path, predictions: Predictions<'_>) -> Result<(), WriteError> {
    match Format::of(path)? {
        Format::Parquet => Ok(tables::write(path, &columns(predictions))?),
        Format::Csv => replace(path, |file| csv_rows(file, predictions)),
        Format::NTriples => replace(path, |file| {
            predictions.pairs.iter().try_for_each(|pair| {
                let [left, right] = [pair.left, pair.right].map(|id| &predictions.uris[id as usize]);
                file.write_all(rdf::same_as(left, right).as_bytes())
            })
        }),
    }
}

impl Predictions<'_> {
    fn confidence(&self, pair: &Pair) -> f64 {
        self.calibration.map_or(f64::NAN, |curve| curve.confidence(pair.score))
    }
}

fn columns(predictions: Predictions<'_>) -> [Column; 6] {
    let ids = |of: fn(&Pair) -> u32| Cells::Ids(predictions.pairs.iter().map(of).collect());
    let uris = |of: fn(&Pair) -> u32| {
        Cells::Texts(predictions.pairs.iter().map(|pair| predictions.uris[of(pair) as usize].to_string()).collect())
    };
    let numbers = |of: &dyn Fn(&Pair) -> f64| Cells::Numbers(predictions.pairs.iter().map(of).collect());
    [
        Column { name: "left", cells: ids(|pair| pair.left) },
        Column { name: "right", cells: ids(|pair| pair.right) },
        Column { name: "left_uri", cells: uris(|pair| pair.left) },
        Column { name: "right_uri", cells: uris(|pair| pair.right) },
        Column { name: "score", cells: numbers(&|pair| f64::from(pair.score)) },
        Column { name: "confidence", cells: numbers(&|pair| predictions.confidence(pair)) },
    ]
}

fn csv_rows(file: &mut dyn std::io::Write, predictions: Predictions<'_>) -> std::io::Result<()> {
    let mut rows = csv::Writer::from_writer(file);
    rows.write_record(["left", "right", "left_uri", "right_uri", "score", "confidence"])?;
    for pair in predictions.pairs {
        let (left, right) = (&predictions.uris[pair.left as usize], &predictions.uris[pair.right as usize]);
        let confidence = predictions.confidence(pair);
        let confidence = if confidence.is_nan() { String::new() } else { format!("{confidence:.4}") };
        let [l, r] = [pair.left, pair.right].map(|id| id.to_string());
        rows.write_record([l.as_str(), &r, left, right, &pair.score.to_string(), &confidence])?;
    }
    rows.flush()
}

fn replace(path: &Path, fill: impl FnOnce(&mut dyn std::io::Write) -> std::io::Result<()>) -> Result<(), WriteError> {
    let failed = |source| WriteError::File { path: path.to_owned(), source };
    let write = |file: &mut std::fs::File| {
        let mut buffer = std::io::BufWriter::new(file);
        fill(&mut buffer)?;
        buffer.flush()
    };
    aside::replace_with(path, write).map_err(failed)
}

#[cfg(test)]
mod tests {
    use data_process::event::Silent;
    use data_process::pair::{Graph, GraphPair, Names};

    use super::*;

    #[test]
    fn the_three_forms_hold_the_same_pairs() {
        let uris: Vec<Box<str>> = ["/m/01", "<http://dbpedia.org/resource/A_(b),_c>"].map(Box::from).into();
        let pairs = [Pair { left: 0, right: 1, score: 0.5 }];
        let predictions = Predictions { pairs: &pairs, calibration: None, uris: &uris };
        let folder = tempfile::tempdir().unwrap();
        let read = |name: &str| {
            write(&folder.path().join(name), predictions).unwrap();
            std::fs::read_to_string(folder.path().join(name)).unwrap_or_default()
        };
        assert!(read("p.csv").contains("0,1,/m/01,\"<http://dbpedia.org/resource/A_(b),_c>\",0.5,\n"));
        let nt = "<urn:humea:/m/01> <http://www.w3.org/2002/07/owl#sameAs> <http://dbpedia.org/resource/A_(b),_c> .\n";
        assert_eq!(read("p.nt"), nt);
        write(&folder.path().join("p.parquet"), predictions).unwrap();
        assert_eq!(tables::read_pairs(&folder.path().join("p.parquet")).unwrap(), [[0, 1]]);
    }

    #[test]
    fn predictions_are_links_between_the_graphs_as_a_store_exports_them() {
        let names = |names: &[&str]| -> Names { names.iter().map(|name| (*name).into()).collect() };
        let graph = |name: &str, entities| Graph { name: name.to_owned(), entities, ..Graph::default() };
        let left = graph("my left", names(&["/m/01", "3 a{b}", "_:b1"]));
        let right = graph("R", names(&["/m/01", "<http://x/a b>", "http://x/\u{e9}"]));
        let uris: Vec<Box<str>> = left.entities.iter().chain(&right.entities).cloned().collect();
        let pairs = [[0, 3], [1, 4], [2, 5]].map(|[left, right]| Pair { left, right, score: 0.5 });
        let predictions = Predictions { pairs: &pairs, calibration: None, uris: &uris };
        let folder = tempfile::tempdir().unwrap();
        let exported = rdf::export(&GraphPair { left, right, links: Vec::new() }, folder.path()).unwrap();
        let links = folder.path().join("p.nt");
        write(&links, predictions).unwrap();
        let source = rdf::Source { left: exported.left, right: exported.right, links: Some(links), use_labels: false };
        let back = rdf::read(&source, &Silent).unwrap().pair;
        let name = |graph: &Graph, entity: u32| graph.entities[entity as usize].clone();
        let links: Vec<_> =
            back.links.iter().map(|(left, right)| [name(&back.left, *left), name(&back.right, *right)]).collect();
        assert_eq!(
            links,
            [["/m/01", "/m/01"], ["3 a{b}", "http://x/a b"], ["_:b1", "http://x/\u{e9}"]]
                .map(|link| link.map(Box::<str>::from))
        );
    }

    #[test]
    fn a_place_is_made_before_the_work_or_refused() {
        let place = tempfile::tempdir().unwrap();
        let made = place.path().join("made/p.csv");
        claim(&made).unwrap();
        assert_eq!(std::fs::read_dir(place.path().join("made")).unwrap().count(), 0, "nothing but the folder");
        std::fs::create_dir(&made).unwrap();
        let taken = claim(&made).unwrap_err();
        assert!(matches!(taken, WriteError::File { .. }) && taken.to_string().contains("--out"), "{taken}");
        std::fs::write(place.path().join("file"), "").unwrap();
        let below = claim(&place.path().join("file/p.csv")).unwrap_err();
        assert!(matches!(below, WriteError::Folder { .. }) && below.to_string().contains("--out"), "{below}");
        assert!(matches!(claim(Path::new("p.txt")), Err(WriteError::Ending { .. })));
    }

    #[test]
    fn an_unknown_ending_or_folder_is_refused() {
        assert!(matches!(Format::of(Path::new("pairs.xlsx")), Err(WriteError::Ending { .. })));
        let none = Predictions { pairs: &[], calibration: None, uris: &[] };
        assert!(matches!(write(Path::new("no/such/folder/p.nt"), none), Err(WriteError::File { .. })));
        assert!(matches!(write(Path::new("no/such/folder/p.parquet"), none), Err(WriteError::Table(_))));
    }
}
