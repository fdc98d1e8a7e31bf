//! The id-file layout of DBP15K, and of the MMKB folders other projects have converted to it.
//!
//! | file | line | |
//! |---|---|---|
//! | `ent_ids_1`, `ent_ids_2` | `id⇥entity` | needed |
//! | `triples_1`, `triples_2` | `head id⇥relation id⇥tail id` | needed |
//! | `ill_ent_ids`, or both `sup_ent_ids` and `ref_ent_ids` | `left id⇥right id` | needed |
//! | `training_attrs_1`, `training_attrs_2` (or `.gz`) | `entity⇥attribute⇥attribute…` | if there |
//! | `rel_ids_1`, `rel_ids_2`, or one `rel_ids` | `id⇥relation` | if there; else a relation is named by its id |
//!
//! Entities are numbered in the order of their ids, so that vectors keyed by id keep their meaning; where the left ids
//! are 0, 1, 2, … and the right ones follow them, an entity's id in the store is its id in the files.
//! The tables are read by Polars; the attribute lines, which have as many fields as they like, by hand.

use std::path::{Path, PathBuf};

use rustc_hash::FxHashMap;

use super::collect::{Growing, Links, kept};
use super::lines::{self, Outcome};
use super::literal::Literal;
use super::{FileReport, Loaded, Report, SourceError, tables};
use crate::event::{Event, Observer, Unit};
use crate::pair::{Graph, GraphPair, Names};

/// Reads a folder in the id-file layout.
///
/// # Errors
/// If files are missing (all are named at once) or malformed, or a line names an id that `ent_ids_*` does not have.
pub fn read(folder: &Path, observer: &dyn Observer) -> Result<Loaded, SourceError> {
    let files = Files::find(folder)?;
    observer.on(Event::Started {
        task: &format!("reading {}", folder.display()),
        total: Some(files.bytes()),
        unit: Unit::Bytes,
    });
    let loaded = read_files(&files, folder, observer);
    observer.on(Event::Finished);
    loaded
}

fn read_files(files: &Files, folder: &Path, observer: &dyn Observer) -> Result<Loaded, SourceError> {
    let [left_name, right_name] = graph_names(folder);
    let (left, right) =
        rayon::join(|| side(&left_name, &files.left, observer), || side(&right_name, &files.right, observer));
    let (left, right) = (left?, right?);
    let mut reports = [left.reports, right.reports].concat();
    let mut links = Links::default();
    for path in &files.links {
        reports.push(tables::numbers(path, observer, |line, [l, r]| {
            let link = (left.ids.get(l, path, line)?, right.ids.get(r, path, line)?);
            Ok(kept(links.insert(link)))
        })?);
    }
    let links = links.into_iter().collect();
    Ok(Loaded { pair: GraphPair { left: left.graph, right: right.graph, links }, report: Report { files: reports } })
}

/// The two parts of a folder's name where it has two (`zh_en`, `FB15K_DB15K`), else `left` and `right`.
fn graph_names(folder: &Path) -> [String; 2] {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    match name.split(['_', '-']).collect::<Vec<_>>()[..] {
        [left, right] if !left.is_empty() && !right.is_empty() && left != right => [left.to_owned(), right.to_owned()],
        _ => ["left".to_owned(), "right".to_owned()],
    }
}

/// The files of a folder, each known to be there.
struct Files {
    left: SideFiles,
    right: SideFiles,
    links: Vec<PathBuf>,
}

struct SideFiles {
    entities: PathBuf,
    triples: PathBuf,
    attributes: Option<PathBuf>,
    relations: Option<PathBuf>,
}

impl Files {
    fn find(folder: &Path) -> Result<Self, SourceError> {
        let mut missing: Vec<PathBuf> = ["ent_ids_1", "ent_ids_2", "triples_1", "triples_2"]
            .map(|name| folder.join(name))
            .into_iter()
            .filter(|file| !file.is_file())
            .collect();
        let links = links(folder).unwrap_or_else(|file| {
            missing.push(file);
            Vec::new()
        });
        if missing.is_empty() {
            return Ok(Self { left: SideFiles::of(folder, 1), right: SideFiles::of(folder, 2), links });
        }
        let advice = "the id-file layout has ent_ids_1/2 (id⇥entity), triples_1/2 (head⇥relation⇥tail, as ids) and \
                      ill_ent_ids, or sup_ent_ids and ref_ent_ids (left id⇥right id); the DBP15K archives and the \
                      converted MMKB folders hold them. Is this the folder the files lie in? Folders with rel_triples_1 \
                      and ent_links are read with --layout openea."
            .to_owned();
        Err(SourceError::Missing { files: missing, advice })
    }

    fn bytes(&self) -> u64 {
        let sides = [&self.left, &self.right];
        let of_sides = sides.into_iter().flat_map(|side| {
            [Some(&side.entities), Some(&side.triples), side.attributes.as_ref(), side.relations.as_ref()]
        });
        let all = of_sides.flatten().chain(&self.links);
        all.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
    }
}

impl SideFiles {
    fn of(folder: &Path, number: u8) -> Self {
        let name = |stem: &str| format!("{stem}_{number}");
        let first = |names: &[&str]| present(folder, names).into_iter().next();
        Self {
            entities: folder.join(name("ent_ids")),
            triples: folder.join(name("triples")),
            attributes: first(&[&name("training_attrs"), &format!("{}.gz", name("training_attrs"))]),
            relations: first(&[&name("rel_ids"), "rel_ids"]),
        }
    }
}

/// The files of links, or the one that is missing: without its test half a published split would lose most of its links.
fn links(folder: &Path) -> Result<Vec<PathBuf>, PathBuf> {
    let whole = folder.join("ill_ent_ids");
    if whole.is_file() {
        return Ok(vec![whole]);
    }
    let [train, test] = ["sup_ent_ids", "ref_ent_ids"].map(|name| folder.join(name));
    match (train.is_file(), test.is_file()) {
        (true, true) => Ok(vec![train, test]),
        (true, false) => Err(test),
        (false, true) => Err(train),
        (false, false) => Err(whole),
    }
}

fn present(folder: &Path, names: &[&str]) -> Vec<PathBuf> {
    names.iter().map(|name| folder.join(name)).filter(|file| file.is_file()).collect()
}

/// The entity number behind each id of one graph.
pub(super) struct Ids {
    graph: String,
    numbers: FxHashMap<u32, u32>,
}

impl Ids {
    /// Reads an `ent_ids` file; the names come back in the order of their ids.
    pub(super) fn read(
        graph: &str,
        path: &Path,
        observer: &dyn Observer,
    ) -> Result<(Self, Names, FileReport), SourceError> {
        let (by_id, report) = named_ids(path, observer)?;
        let (mut ids, mut names) = (Self { graph: graph.to_owned(), numbers: FxHashMap::default() }, Names::default());
        for (id, (line, name)) in by_id {
            let (number, new) = names.insert_full(name.clone());
            if !new {
                return Err(SourceError::Doubled { path: path.to_owned(), line, what: name.into() });
            }
            ids.numbers.insert(id, number as u32);
        }
        Ok((ids, names, report))
    }

    /// The number behind an id, or an error that names the file and line that ask for it.
    pub(super) fn get(&self, id: u32, path: &Path, line: u64) -> Result<u32, SourceError> {
        self.numbers.get(&id).copied().ok_or_else(|| SourceError::UnknownEntity {
            path: path.to_owned(),
            line,
            graph: self.graph.clone(),
            entity: format!("with the id {id}"),
        })
    }
}

type NamedIds = std::collections::BTreeMap<u32, (u64, Box<str>)>;

/// Reads `id⇥name` lines: each id with the line it stands on and its name, in the order of the ids.
fn named_ids(path: &Path, observer: &dyn Observer) -> Result<(NamedIds, FileReport), SourceError> {
    let mut by_id = NamedIds::new();
    let report = tables::texts(path, observer, |line, [id, name]| {
        let Ok(id) = id.parse::<u32>() else { return Ok(Outcome::Unreadable("expected `id<TAB>name`")) };
        match by_id.get(&id) {
            None => {
                by_id.insert(id, (line, name.into()));
                Ok(Outcome::Kept)
            }
            Some((_, same)) if **same == *name => Ok(Outcome::Repeated),
            Some(_) => Err(SourceError::Doubled { path: path.to_owned(), line, what: format!("the id {id}") }),
        }
    })?;
    Ok((by_id, report))
}

/// One graph, its ids and what became of its files.
struct ReadSide {
    graph: Graph,
    ids: Ids,
    reports: Vec<FileReport>,
}

fn side(name: &str, files: &SideFiles, observer: &dyn Observer) -> Result<ReadSide, SourceError> {
    let (ids, entities, report) = Ids::read(name, &files.entities, observer)?;
    // The published program, whose layout this is, counts a relation or an attribute as often as a file names it.
    let mut growing = Growing::with_entities(name, entities).keeping_repeats();
    let mut reports = vec![report];
    let mut relations = NamedIds::new();
    if let Some(path) = &files.relations {
        let (named, report) = named_ids(path, observer)?;
        relations = named;
        reports.push(report);
    }
    reports.push(tables::numbers(&files.triples, observer, |line, [head, relation, tail]| {
        let (head, tail) = (ids.get(head, &files.triples, line)?, ids.get(tail, &files.triples, line)?);
        Ok(match relations.get(&relation) {
            Some((_, name)) => growing.edge(head, name, tail),
            None => growing.edge(head, &relation.to_string(), tail),
        })
    })?);
    if let Some(path) = &files.attributes {
        reports.push(lines::read(path, observer, |line| Ok(take_attributes(&mut growing, line.text)))?);
    }
    Ok(ReadSide { graph: growing.in_order()?, ids, reports })
}

/// A line names an entity and its attributes; the layout has no values.
fn take_attributes(growing: &mut Growing, line: &str) -> Outcome {
    let mut fields = line.split('\t');
    let Some(entity) = fields.next().and_then(|entity| growing.find(entity)) else {
        return Outcome::Unreadable("the line's first field is not an entity of this graph");
    };
    let mut new = false;
    for attribute in fields.filter(|attribute| !attribute.is_empty()) {
        new |= growing.fact(entity, attribute, Literal::plain("")) == Outcome::Kept;
    }
    kept(new)
}

#[cfg(test)]
pub(super) mod tests;
