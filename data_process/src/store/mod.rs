//! The feature store: one Parquet dataset, one row per entity of either graph. See `schemas/store.toml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::fault::{Fault, Kind};
use crate::pair::{GraphPair, Names};

/// Where a vector column came from; kept in the store's metadata.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Provenance {
    /// The file, folder, model or generator the vectors came from.
    pub source: String,
    /// SHA-256 of the source file, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Model name or folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Revision of the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// How token vectors became one vector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pooling: Option<String>,
    /// The text template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Anything else worth keeping.
    #[serde(flatten)]
    pub details: BTreeMap<String, serde_json::Value>,
}

/// What a store says of one vector column.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorColumn {
    /// Column name, such as `image`.
    pub name: String,
    /// Floats per vector.
    pub width: usize,
    /// Entities of the left and of the right graph that have a vector.
    pub present: [usize; 2],
    /// Where it came from, if the store says.
    pub provenance: Option<Provenance>,
}

/// A vector column to be added to a store.
#[derive(Clone, Copy, Debug)]
pub struct NewVectors<'a> {
    /// Column name.
    pub name: &'a str,
    /// Floats per vector, at least one.
    pub width: usize,
    /// The store ids that have a vector, strictly increasing.
    pub rows: &'a [u32],
    /// Row-major `[rows.len(), width]`.
    pub values: &'a [f32],
    /// Where the vectors come from.
    pub provenance: &'a Provenance,
}

/// The derived structure that training needs, with store ids (left graph first), decoded in one pass.
#[derive(Clone, Debug, Default)]
pub struct Structure {
    /// Entities of the left graph; ids below this are left.
    pub left: usize,
    /// Entities of both graphs.
    pub entities: usize,
    /// Relations of both graphs, in order of first appearance in the source (left graph first).
    pub relations: Names,
    /// Edges `[head id, relation number, tail id]`, left graph first.
    pub triples: Vec<[u32; 3]>,
    /// Attribute names of both graphs, in order of first appearance in the source (left graph first).
    pub attributes: Names,
    /// `[entity id, attribute number]` for each literal, as often as it occurs.
    pub mentions: Vec<[u32; 2]>,
    /// Known links `[left id, right id]` in source order.
    pub links: Vec<[u32; 2]>,
}

/// What can go wrong with a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store cannot be opened.
    #[error("cannot open the store {path}: {source}; make one with `humea prep`")]
    Open {
        /// The store.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Fault for StoreError {
    fn kind(&self) -> Kind {
        match self {
            Self::Open { .. } => Kind::Input,
        }
    }
}

/// An open store: footer read and checked against the contract; columns are mapped when asked for.
#[derive(Debug)]
pub struct Store {}

impl Store {
    /// Opens a store: a Parquet file or a folder of `part-*.parquet`.
    pub fn open(_path: &Path) -> Result<Self, StoreError> {
        todo!()
    }
    /// The path it was opened with.
    pub fn path(&self) -> &Path {
        todo!()
    }
    /// Entities of both graphs.
    pub fn entities(&self) -> usize {
        todo!()
    }
    /// Entities of the left graph; ids below this are left.
    pub fn left(&self) -> usize {
        todo!()
    }
    /// The names of the left and the right graph.
    pub fn graph_names(&self) -> [&str; 2] {
        todo!()
    }
    /// Hexadecimal fingerprint that changes whenever the content of the store changes (from the footers, not the data).
    pub fn fingerprint(&self) -> String {
        todo!()
    }
    /// The vector columns, in file order.
    pub fn vector_columns(&self) -> &[VectorColumn] {
        todo!()
    }
    /// Decodes what training needs.
    pub fn structure(&self) -> Result<Structure, StoreError> {
        todo!()
    }
    /// Entity identifiers in id order.
    pub fn uris(&self) -> Result<Vec<Box<str>>, StoreError> {
        todo!()
    }
    /// Decodes everything but the vectors; equal to what was written.
    pub fn pair(&self) -> Result<GraphPair, StoreError> {
        todo!()
    }
    /// A vector column, mapped where the file allows it.
    pub fn vectors(&self, _name: &str) -> Result<Vectors, StoreError> {
        todo!()
    }
}

/// A dense `[present, width]` float32 matrix and the ids its rows belong to.
#[derive(Debug)]
pub struct Vectors {}

impl Vectors {
    /// Floats per vector.
    pub fn width(&self) -> usize {
        todo!()
    }
    /// The ids that have a vector, strictly increasing; `rows()[i]` owns matrix row `i`.
    pub fn rows(&self) -> &[u32] {
        todo!()
    }
    /// The whole matrix, row-major: borrowed from the mapping if it is one aligned run, otherwise read into memory once.
    pub fn as_slice(&self) -> Result<&[f32], StoreError> {
        todo!()
    }
    /// Whether [`Self::as_slice`] borrows from the file.
    pub fn is_mapped(&self) -> bool {
        todo!()
    }
    /// The matrix for the rest of the process: the private (copy-on-write) mapping or the buffer is never freed, so a
    /// tensor over it can live as long as it likes and be written to without touching the file.
    pub fn into_static(self) -> Result<(&'static mut [f32], Vec<u32>), StoreError> {
        todo!()
    }
}

/// Writes a new store. `created` is an RFC 3339 time, or empty to leave it out (reproducible files).
pub fn write(_path: &Path, _pair: &GraphPair, _vectors: &[NewVectors<'_>]) -> Result<(), StoreError> {
    todo!()
}

/// Adds vector columns to a store, or replaces those of the same name, without decoding the other columns.
pub fn put_vectors(_path: &Path, _vectors: &[NewVectors<'_>]) -> Result<(), StoreError> {
    todo!()
}

/// Removes a vector column.
pub fn drop_vectors(_path: &Path, _name: &str) -> Result<(), StoreError> {
    todo!()
}
