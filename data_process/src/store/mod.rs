//! The feature store: one Parquet dataset, one row per entity of either graph. See `schemas/store.toml`.
//!
//! ```text
//!  fb_db.parquet                         or a folder  fb_db.parquet/part-00000.parquet, …
//!  ├─ row group 0
//!  │   ├─ id, side, uri, label, edges, attributes, links, link_order      dictionary + zstd
//!  │   └─ image, relation_text, …   one page each: header │ levels │ floats  ◄─ 64-byte boundary, mapped as &[f32]
//!  ├─ row group 1 …                 (a row group ends before a page reaches 2 GiB)
//!  └─ footer: schema, places, counts, provenance
//! ```
//!
//! ```
//! use data_process::pair::{Graph, GraphPair, Names};
//! use data_process::store::{self, NewVectors, Provenance, Store};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("pair.parquet");
//! // Write a pair of graphs, then add a column of vectors for some entities.
//! let names = |words: &[&str]| words.iter().map(|&word| word.into()).collect::<Names>();
//! let left = Graph { entities: names(&["Leipzig", "Lyon"]), ..Graph::default() };
//! let right = Graph { entities: names(&["Q2079", "Q456"]), ..Graph::default() };
//! store::write(&path, &GraphPair { left, right, links: vec![(0, 0), (1, 1)] }, &[])?;
//! let provenance = Provenance { source: "by hand".into(), ..Provenance::default() };
//! let image = NewVectors { name: "image", width: 2, rows: &[0, 3], values: &[1.0, 2.0, 3.0, 4.0], provenance: &provenance };
//! store::put_vectors(&path, &[image])?;
//!
//! // Open it, list its columns, borrow the vectors of those who have one.
//! let store = Store::open(&path)?;
//! for column in store.vector_columns() {
//!     assert_eq!((column.name.as_str(), column.width, column.present), ("image", 2, [1, 1]));
//! }
//! let (uris, image) = (store.uris()?, store.vectors("image")?);
//! let floats: &[f32] = image.as_slice()?;
//! let named: Vec<(&str, &[f32])> =
//!     image.rows().iter().map(|&id| uris[id as usize].as_ref()).zip(floats.chunks_exact(image.width())).collect();
//! assert_eq!(named, [("Leipzig", &[1.0_f32, 2.0][..]), ("Q456", &[3.0, 4.0][..])]);
//! # Ok(())
//! # }
//! ```
//!
//! [`write()`] makes a store, [`Store::open`] opens one, [`put_vectors`] and [`drop_vectors`] change its vector columns
//! without decoding the rest.

mod assembly;
mod column;
mod convert;
mod decode;
mod digests;
mod error;
mod export;
mod folder;
mod guarded;
mod header;
mod levels;
mod mapped;
mod meta;
mod npy;
mod part;
mod parts;
mod reader;
mod replace;
mod shards;
mod splice;
mod summary;
mod table;
#[cfg(test)]
mod tests;
mod transfer;
mod validate;
mod vectors;
mod writer;

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::pair::{GraphPair, Names};

pub use column::Column;
pub use convert::{Conversion, convert};
pub use error::StoreError;
pub use export::{Format, export};
pub(crate) use guarded::{Guarded, allowance, guarded};
pub use meta::Origin;
pub(crate) use part::reader_of;
pub use parts::{merge, split, write_parts};
pub use reader::Store;
pub use shards::{SHARD, join_shards};
pub use summary::{ChunkSummary, ColumnSummary, Summary};
pub use transfer::{copy_vectors, present_rows};
pub use validate::Finding;
pub use vectors::{ALIGNMENT, Block, Vectors};

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

/// Writes a new store, or replaces an old one of this name.
///
/// The time is kept in the metadata; the environment variable `SOURCE_DATE_EPOCH` replaces it where files must come
/// out the same every time.
pub fn write(path: &Path, pair: &GraphPair, vectors: &[NewVectors<'_>]) -> Result<(), StoreError> {
    write_with(path, pair, vectors, &Origin::default())
}

/// Like [`write()`], and keeps where the graphs came from. The vectors may be made as they are written ([`Column`]).
pub fn write_with<C: Column>(path: &Path, pair: &GraphPair, vectors: &[C], origin: &Origin) -> Result<(), StoreError> {
    writer::write(replace::Turn::take(path)?, writer::Content { pair, vectors, origin }, writer::Layout::default())
}

/// Adds vector columns to a store, or replaces those of the same name, without decoding the other columns.
///
/// Two processes that do this at once take turns. The rows are those of the store that lies there by then; where they were
/// found in an open store, [`Store::put_vectors`] makes sure that it is still that one.
pub fn put_vectors(path: &Path, vectors: &[NewVectors<'_>]) -> Result<(), StoreError> {
    splice::apply(path, splice::Change { drop: None, put: vectors, rows_of: None, layout: writer::Layout::default() })
}

/// Removes a vector column.
pub fn drop_vectors(path: &Path, name: &str) -> Result<(), StoreError> {
    splice::apply(path, splice::Change { drop: Some(name), put: &[], rows_of: None, layout: writer::Layout::default() })
}

/// A pair in the order in which a store gives it back: triples grouped by head and facts by entity, otherwise in their
/// old order; no labels rather than only empty ones. `store.pair()? == grouped(pair)` for every pair that was written, except
/// that where the names of relations, attributes, datatypes and languages take more than 16 MiB they are numbered in the
/// order in which the rows use them, and those that no row uses are gone.
pub fn grouped(mut pair: GraphPair) -> GraphPair {
    for graph in [&mut pair.left, &mut pair.right] {
        graph.triples.sort_by_key(|triple| triple.head);
        graph.facts.sort_by_key(|fact| fact.entity);
        if graph.labels.iter().all(Option::is_none) {
            graph.labels.clear();
        }
    }
    pair
}
