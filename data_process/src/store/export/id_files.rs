//! The graphs in the id-file layout of DBP15K.
//!
//! Ids count over both graphs together, as programs of this layout do: an entity's is its id in the store, and relations
//! of one name share a number.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::pair::{Fact, Graph, GraphPair, Names};
use crate::store::StoreError;

/// Files that may be missing, so that none of them need be empty: readers refuse an empty file.
const OPTIONAL: [&str; 2] = ["rel_ids", "training_attrs"];

/// Writes into a folder that will be known as `name`, and gives what the layout has no place for.
pub(super) fn write(pair: &GraphPair, folder: &Path, name: &Path) -> Result<Vec<String>, StoreError> {
    let graphs = [&pair.left, &pair.right];
    graphs.into_iter().flat_map(|graph| [&graph.entities, &graph.relations, &graph.attributes]).try_for_each(check)?;
    let written = files(pair, folder).and_then(|()| drop_empty(folder, name));
    let empty = written.map_err(|source| StoreError::Write { path: name.to_owned(), source })?;
    Ok(lost(graphs).into_iter().chain(empty).collect())
}

/// A name must be one field of one line.
fn check(names: &Names) -> Result<(), StoreError> {
    let breaks = |name: &str| name.is_empty() || name.contains(['\t', '\n', '\r', '\0']);
    match names.iter().find(|name| breaks(name)) {
        Some(name) => Err(StoreError::LayoutName { name: name.to_string() }),
        None => Ok(()),
    }
}

fn files(pair: &GraphPair, folder: &Path) -> io::Result<()> {
    let left = pair.left.entities.len();
    let mut relations = Names::default();
    for (graph, first, suffix) in [(&pair.left, 0, "1"), (&pair.right, left, "2")] {
        let numbers = graph.relations.iter().map(|name| relations.insert_full(name.clone()).0).collect::<Vec<_>>();
        graph_files(graph, first, &numbers, |stem| folder.join(format!("{stem}_{suffix}")))?;
    }
    let links = pair.links.iter().map(|(one, other)| format!("{one}\t{}", *other as usize + left));
    lines(&folder.join("ill_ent_ids"), links)
}

fn graph_files(graph: &Graph, first: usize, relations: &[usize], file: impl Fn(&str) -> PathBuf) -> io::Result<()> {
    let entities = graph.entities.iter().enumerate().map(|(at, name)| format!("{}\t{name}", first + at));
    lines(&file("ent_ids"), entities)?;
    let named = relations.iter().zip(&graph.relations).map(|(number, name)| format!("{number}\t{name}"));
    lines(&file("rel_ids"), named)?;
    let id = |entity: u32| entity as usize + first;
    let relation = |number: u32| relations[number as usize];
    let triples = graph.triples.iter().map(|t| format!("{}\t{}\t{}", id(t.head), relation(t.relation), id(t.tail)));
    lines(&file("triples"), triples)?;
    let mut attributes = vec![String::new(); graph.entities.len()];
    for fact in &graph.facts {
        let name = graph.attributes.get_index(fact.attribute as usize).map_or("", AsRef::as_ref);
        let names = &mut attributes[fact.entity as usize];
        names.push('\t');
        names.push_str(name);
    }
    let described = graph.entities.iter().zip(attributes).filter(|(_, names)| !names.is_empty());
    lines(&file("training_attrs"), described.map(|(uri, names)| format!("{uri}{names}")))
}

fn lines(path: &Path, lines: impl Iterator<Item = String>) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    for line in lines {
        writeln!(out, "{line}")?;
    }
    out.flush()
}

/// Removes empty files that may be missing, here and where an earlier export left them; names those that stay empty.
fn drop_empty(folder: &Path, name: &Path) -> io::Result<Vec<String>> {
    let mut remarks = Vec::new();
    for file in fs::read_dir(folder)? {
        let file = file?;
        if file.metadata()?.len() > 0 {
            continue;
        }
        let (path, old) = (file.path(), name.join(file.file_name()));
        let stem = file.file_name().to_string_lossy().into_owned();
        if OPTIONAL.iter().any(|optional| stem.starts_with(optional)) {
            fs::remove_file(path)?;
            fs::remove_file(old).or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            })?;
        } else {
            remarks.push(format!("{} is empty: `humea prep id-files` does not read that", old.display()));
        }
    }
    remarks.sort_unstable();
    Ok(remarks)
}

/// What the store has and the layout has not.
fn lost(graphs: [&Graph; 2]) -> Option<String> {
    let facts = |which: fn(&&Fact) -> bool| -> usize {
        graphs.iter().map(|graph| graph.facts.iter().filter(which).count()).sum()
    };
    let labels = |graph: &&Graph| graph.labels.iter().flatten().filter(|label| !label.is_empty()).count();
    let counts: [(usize, &str); 4] = [
        (facts(|fact| !fact.value.is_empty()), "values (names of attributes stay, one for each value)"),
        (facts(|fact| fact.datatype.is_some()), "datatypes"),
        (facts(|fact| fact.lang.is_some()), "language tags"),
        (graphs.iter().map(labels).sum(), "labels"),
    ];
    let lost: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    (!lost.is_empty()).then(|| format!("the id-file layout has no place for these, left out: {}", lost.join(", ")))
}
