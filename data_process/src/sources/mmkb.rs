//! MMKB: FB15K with DB15K or YAGO15K, as their authors publish them (`mniepert/mmkb`).
//!
//! ```text
//! FB15K_EntityTriples.txt       /m/010016 /location/hud_county_place/place /m/010016 .
//! FB15K_NumericalTriples.txt    /m/06rf7⇥<http://rdf.freebase.com/ns/location.location.area>⇥15763.18
//! DB15K_NumericalTriples.txt    <…/Szczecin> <…/utcOffset> "2"^^<http://www.w3.org/2001/XMLSchema#integer> .
//!                               <…/Plato>⇥<…/birthDate>⇥-427-0-0                        (36 lines of DB15K)
//! DB15K_SameAsLink.txt          /m/01m4kpp <SameAs> <http://dbpedia.org/resource/Andy_Griffith> .
//! ```
//!
//! Identifiers are kept as written, angle brackets included. Entities are numbered in the byte order of their
//! identifiers: the image ids and the line order of these files agree between the graphs for nearly every linked pair,
//! and would give the answer away.

use std::path::{Path, PathBuf};

use super::collect::{Growing, Links, kept, known};
use super::lines::{self, Outcome};
use super::literal::Literal;
use super::{FileReport, Loaded, Report, SourceError};
use crate::event::{Event, Observer, Unit};
use crate::pair::{Graph, GraphPair};

/// The public repository that publishes the files.
pub const REPOSITORY: &str = "mniepert/mmkb";
/// The commit whose files are known.
pub const COMMIT: &str = "dc1c89cac110ddbb9944d6ed5ab2b3c2339d320c";

/// Which right graph FB15K is aligned with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pair {
    /// FB15K and DB15K.
    Fb15kDb15k,
    /// FB15K and YAGO15K.
    Fb15kYago15k,
}

impl Pair {
    /// Both pairs.
    pub const ALL: [Self; 2] = [Self::Fb15kDb15k, Self::Fb15kYago15k];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fb15kDb15k => "fb15k-db15k",
            Self::Fb15kYago15k => "fb15k-yago15k",
        }
    }

    /// The names of the left and the right graph, which are also the names of their folders.
    pub const fn graphs(self) -> [&'static str; 2] {
        match self {
            Self::Fb15kDb15k => ["FB15K", "DB15K"],
            Self::Fb15kYago15k => ["FB15K", "YAGO15K"],
        }
    }

    /// The store that is written unless another is named.
    pub const fn default_store(self) -> &'static str {
        match self {
            Self::Fb15kDb15k => "data/fb_db.parquet",
            Self::Fb15kYago15k => "data/fb_yg.parquet",
        }
    }

    /// The five files a pair is read from, relative to the raw folder: triples and numbers of the left graph, of the
    /// right graph, and the links.
    pub fn files(self) -> [String; 5] {
        let [left, right] = self.graphs();
        let of = |graph: &str, kind: &str| format!("{graph}/{graph}_{kind}.txt");
        [
            of(left, "EntityTriples"),
            of(left, "NumericalTriples"),
            of(right, "EntityTriples"),
            of(right, "NumericalTriples"),
            of(right, "SameAsLink"),
        ]
    }
}

impl std::str::FromStr for Pair {
    type Err = UnknownPair;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|pair| pair.name() == name).ok_or_else(|| UnknownPair(name.to_owned()))
    }
}

impl std::fmt::Display for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is not a pair of MMKB.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a pair of MMKB; write fb15k-db15k or fb15k-yago15k")]
pub struct UnknownPair(String);

/// Reads a pair from the folder that holds `FB15K/`, `DB15K/` and `YAGO15K/`. The two graphs are read side by side.
///
/// # Errors
/// If files are missing (all of them are named at once), are not text, have more than one unreadable line in a hundred,
/// or a link names an entity its graph does not have.
pub fn read(raw: &Path, pair: Pair, observer: &dyn Observer) -> Result<Loaded, SourceError> {
    let files = pair.files().map(|file| raw.join(file));
    let bytes = sizes(&files, raw)?;
    observer.on(Event::Started { task: &format!("reading {pair}"), total: Some(bytes), unit: Unit::Bytes });
    let loaded = read_files(&files, pair, observer);
    observer.on(Event::Finished);
    loaded
}

fn read_files(files: &[PathBuf; 5], pair: Pair, observer: &dyn Observer) -> Result<Loaded, SourceError> {
    let [left_triples, left_numbers, right_triples, right_numbers, links] = files;
    let [left_name, right_name] = pair.graphs();
    let (left, right) = rayon::join(
        || graph(left_name, left_triples, left_numbers, observer),
        || graph(right_name, right_triples, right_numbers, observer),
    );
    let ((left, left_reports), (right, right_reports)) = (left?, right?);
    let (links, links_report) = same_as(links, &left, &right, observer)?;
    let links = links.into_iter().collect();
    let files = left_reports.into_iter().chain(right_reports).chain([links_report]).collect();
    Ok(Loaded { pair: GraphPair { left, right, links }, report: Report { files } })
}

/// The size of all files together, or the error that names each missing one.
fn sizes(files: &[PathBuf], raw: &Path) -> Result<u64, SourceError> {
    let missing: Vec<PathBuf> = files.iter().filter(|file| !file.is_file()).cloned().collect();
    if missing.is_empty() {
        return Ok(files.iter().filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum());
    }
    let advice = format!(
        "the text files are published in the public repository {REPOSITORY} on GitHub (commit {COMMIT}); \
         `humea prep mmkb --download` fetches them into {raw}, or copy its folders FB15K, DB15K and YAGO15K there, \
         or say with --raw where they are. Image vectors (`*_ImageData.h5`) are published by the authors apart from \
         that; `humea import-vectors` adds them to a finished store.",
        raw = raw.display()
    );
    Err(SourceError::Missing { files: missing, advice })
}

fn graph(
    name: &str,
    triples: &Path,
    numbers: &Path,
    observer: &dyn Observer,
) -> Result<(Graph, [FileReport; 2]), SourceError> {
    let mut growing = Growing::new(name);
    let triples = lines::read(triples, observer, |line| Ok(take_triple(&mut growing, line.text)))?;
    let numbers = lines::read(numbers, observer, |line| Ok(take_number(&mut growing, line.text)))?;
    Ok((growing.sorted()?, [triples, numbers]))
}

/// What a triple must look like.
const TRIPLE: &str = "expected `head relation tail .`, separated by single spaces";
/// What a numerical triple must look like.
const NUMBER: &str = "expected `entity<TAB>attribute<TAB>value` or `entity attribute \"value\"^^<datatype> .`";
/// What a link must look like.
const LINK: &str = "expected `left <SameAs> right .`, separated by single spaces";

fn take_triple(growing: &mut Growing, line: &str) -> Outcome {
    match statement(line) {
        Some((head, relation, tail)) if !tail.contains(' ') => growing.triple(head, relation, tail),
        _ => Outcome::Unreadable(TRIPLE),
    }
}

fn take_number(growing: &mut Growing, line: &str) -> Outcome {
    let Some((entity, attribute, literal)) = number(line) else { return Outcome::Unreadable(NUMBER) };
    let entity = growing.entity(entity);
    growing.fact(entity, attribute, literal)
}

/// The three parts of `head relation rest .`; the rest may hold spaces.
fn statement(line: &str) -> Option<(&str, &str, &str)> {
    let (head, rest) = line.strip_suffix(" .")?.split_once(' ')?;
    let (relation, tail) = rest.split_once(' ')?;
    let whole = ![head, relation, tail].iter().any(|part| part.is_empty() || part.contains('\t'));
    whole.then_some((head, relation, tail))
}

fn number(line: &str) -> Option<(&str, &str, Literal<'_>)> {
    let Some((entity, rest)) = line.split_once('\t') else {
        let (entity, attribute, value) = statement(line)?;
        return Some((entity, attribute, Literal::quoted(value)?));
    };
    let (attribute, value) = rest.split_once('\t')?;
    let whole = !entity.is_empty() && !attribute.is_empty() && !value.is_empty() && !value.contains('\t');
    whole.then_some((entity, attribute, Literal::plain(value)))
}

fn same_as(
    path: &Path,
    left: &Graph,
    right: &Graph,
    observer: &dyn Observer,
) -> Result<(Links, FileReport), SourceError> {
    let mut links = Links::default();
    let report = lines::read(path, observer, |line| {
        let Some((head, "<SameAs>", tail)) = statement(line.text) else { return Ok(Outcome::Unreadable(LINK)) };
        let link = (known(left, head, path, line.number)?, known(right, tail, path, line.number)?);
        Ok(kept(links.insert(link)))
    })?;
    Ok((links, report))
}

#[cfg(test)]
pub(super) mod tests;
