//! From files of vectors to a column of a store.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::digest;
use crate::event::{Event, Observer, Unit};
use crate::fault::{Fault, Kind};
use crate::store::{NewVectors, Provenance, Store, StoreError};

use super::{Assigned, Choice, Coverage, Entities, Format, IdSpace, Index, VectorError, assign};

/// What is to be imported.
#[derive(Clone, Debug)]
pub struct Request {
    /// The store.
    pub store: PathBuf,
    /// The column, such as `image`.
    pub column: String,
    /// Files of vectors: one of both graphs, or two, of the left and of the right one.
    pub files: Vec<PathBuf>,
    /// Index files that connect entities with keys of the files; none if the keys are entities or ids. Two are of the left
    /// and of the right graph.
    pub indexes: Vec<PathBuf>,
    /// Which part of a file is meant, where that is not plain.
    pub choice: Choice,
    /// What integer keys count.
    pub ids: IdSpace,
}

/// What was imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Floats per vector.
    pub width: usize,
    /// The names of the graphs.
    pub graphs: [String; 2],
    /// How complete the column is.
    pub coverage: Coverage,
}

/// What can go wrong in an import.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file of vectors or an index is wrong, or does not fit the store.
    #[error(transparent)]
    Vectors(#[from] VectorError),
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault for ImportError {
    fn kind(&self) -> Kind {
        match self {
            Self::Vectors(error) => error.kind(),
            Self::Store(error) => error.kind(),
        }
    }
}

/// Reads the files, matches them to the store's entities and writes the column. `stop` is asked between files.
///
/// # Errors
/// If a file or the store is wrong, nothing belongs to any entity, or `stop` said so; the store is then as it was.
pub fn import(request: &Request, observer: &dyn Observer, stop: &dyn Fn() -> bool) -> Result<Imported, ImportError> {
    for (option, files) in [("--from", &request.files), ("--index", &request.indexes)] {
        two_at_most(option, files.len())?;
    }
    let store = Store::open(&request.store)?;
    let entities = entities_of(&store)?;
    let mut tables = Vec::new();
    for file in &request.files {
        let task = format!("reading {}", file.display());
        observer.on(Event::Started { task: &task, total: None, unit: Unit::Items });
        let table = Format::of(file)?.read(file, &request.choice)?;
        observer.on(Event::Advanced(table.keys().len() as u64));
        observer.on(Event::Finished);
        tables.push((file.clone(), table));
        interrupted(stop)?;
    }
    let indexes = read_indexes(&request.indexes, &entities)?;
    let assigned = assign(&tables, &entities, &indexes, request.ids)?;
    drop(tables);
    interrupted(stop)?;
    let provenance = provenance(request, &entities, &assigned.coverage)?;
    write(&store, request, &assigned, &provenance)?;
    Ok(Imported { width: assigned.width, graphs: entities.graphs().clone(), coverage: assigned.coverage })
}

/// The entities of a store, to match vectors to.
///
/// # Errors
/// If the store cannot be read.
pub fn entities_of(store: &Store) -> Result<Entities, StoreError> {
    Ok(Entities::new(store.uris()?, store.left(), store.graph_names().map(str::to_owned)))
}

/// The index files, in the order given.
///
/// # Errors
/// If a file cannot be read or a line is wrong.
pub fn read_indexes(files: &[PathBuf], entities: &Entities) -> Result<Vec<Index>, VectorError> {
    files.iter().map(|file| Index::read(file, entities)).collect()
}

fn two_at_most(option: &'static str, found: usize) -> Result<(), VectorError> {
    if found > 2 { Err(VectorError::Files { option, found }) } else { Ok(()) }
}

fn interrupted(stop: &dyn Fn() -> bool) -> Result<(), VectorError> {
    if stop() { Err(VectorError::Interrupted) } else { Ok(()) }
}

fn write(store: &Store, request: &Request, assigned: &Assigned, provenance: &Provenance) -> Result<(), StoreError> {
    let column = NewVectors {
        name: &request.column,
        width: assigned.width,
        rows: &assigned.rows,
        values: &assigned.values,
        provenance,
    };
    store.put_vectors(&[column])
}

/// Source, hash and coverage, to be kept in the store.
fn provenance(request: &Request, entities: &Entities, coverage: &Coverage) -> Result<Provenance, VectorError> {
    let hashes = request.files.iter().map(|file| sha256(file)).collect::<Result<Vec<_>, _>>()?;
    let names: Vec<String> = request.files.iter().map(|file| file.display().to_string()).collect();
    let mut provenance = Provenance { source: names.join(", "), ..Provenance::default() };
    match hashes.as_slice() {
        [only] => provenance.sha256 = Some(only.clone()),
        several => {
            let files: serde_json::Map<_, _> = names.into_iter().zip(several.iter().map(|hash| json!(hash))).collect();
            provenance.details.insert("files".to_owned(), files.into());
        }
    }
    provenance.details.insert("coverage".to_owned(), coverage_json(entities.graphs(), coverage));
    Ok(provenance)
}

/// Coverage as it is kept in a store's metadata.
pub fn coverage_json(graphs: &[String; 2], coverage: &Coverage) -> serde_json::Value {
    json!({
        "left": { "graph": graphs[0], "present": coverage.present[0], "entities": coverage.entities[0] },
        "right": { "graph": graphs[1], "present": coverage.present[1], "entities": coverage.entities[1] },
        "duplicates": coverage.duplicates,
        "unmatched": coverage.unmatched,
        "missing": coverage.missing,
    })
}

/// The SHA-256 of a file.
fn sha256(path: &Path) -> Result<String, VectorError> {
    digest::sha256(path).map_err(|source| VectorError::Open { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;
