//! ETL and the Parquet feature store of `humea`: no libtorch, no command line, no printing.
//!
//! ```text
//!   raw files ──► sources ──► GraphPair ──► store::write ──►  fb_db.parquet
//!   vector files ──► vectors ──► VectorTable ──► store::put_vectors ──┘ │
//!                                                                       ▼
//!                              values, texts, split ◄──────────── store::Store
//! ```
//!
//! A store is one Parquet dataset, one row per entity of either graph (left graph first, so a row number is an id):
//!
//! ```text
//!   id │ side │ uri │ label? │ edges            │ attributes             │ links │ image?      │ relation_text? │ …
//!    0 │  0   │ …   │        │ [(relation, id)] │ [(name, value, type?)] │ [id]  │ [f32; 4096] │                │
//! ```
//!
//! Text, ids and lists are dictionary and zstd; a vector column is one run of floats on a 64-byte boundary, which is borrowed from
//! the file and not copied. See [`store`] for the layout, [`schema`] for the contract, `docs/store.md` for other engines.
//!
//! ```
//! use data_process::pair::{Graph, GraphPair, Names, Triple};
//! use data_process::store::{self, NewVectors, Provenance, Store};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("pair.parquet");
//! // A store from two graphs. `sources` makes such a pair from MMKB, OpenEA or RDF files.
//! let names = |words: &[&str]| words.iter().map(|&word| word.into()).collect::<Names>();
//! let left = Graph {
//!     entities: names(&["Leipzig", "Lyon"]),
//!     relations: names(&["twinned with"]),
//!     triples: vec![Triple { head: 0, relation: 0, tail: 1 }],
//!     ..Graph::default()
//! };
//! let right = Graph { entities: names(&["Q2079", "Q456"]), ..Graph::default() };
//! store::write(&path, &GraphPair { left, right, links: vec![(0, 0), (1, 1)] }, &[])?;
//!
//! // Write a column: vectors of two floats for the entities 0 and 3.
//! let provenance = Provenance { source: "by hand".into(), ..Provenance::default() };
//! let values = [1.0, 2.0, 3.0, 4.0];
//! store::put_vectors(&path, &[NewVectors { name: "image", width: 2, rows: &[0, 3], values: &values, provenance: &provenance }])?;
//!
//! // Open it and list its columns: name, width, how many entities of each graph have a vector.
//! let store = Store::open(&path)?;
//! let columns: Vec<_> = store.vector_columns().iter().map(|c| (c.name.as_str(), c.width, c.present)).collect();
//! assert_eq!(columns, [("image", 2, [1, 1])]);
//!
//! // Iterate over the entities that have one; the floats lie in the file.
//! let (uris, image) = (store.uris()?, store.vectors("image")?);
//! assert!(image.is_mapped());
//! let floats: &[f32] = image.as_slice()?;
//! for (&id, vector) in image.rows().iter().zip(floats.chunks_exact(image.width())) {
//!     let side = if (id as usize) < store.left() { "left" } else { "right" };
//!     println!("{side} {}: {vector:?}", uris[id as usize]);
//! }
//! assert_eq!(floats, values);
//!
//! // The graph's structure, numbered over both graphs.
//! let structure = store.structure()?;
//! assert_eq!((structure.triples, structure.links), (vec![[0, 0, 1]], vec![[0, 2], [1, 3]]));
//! # Ok(())
//! # }
//! ```

pub mod aside;
pub mod digest;
pub mod event;
pub mod fault;
mod float_lists;
pub mod pair;
pub mod safetensors_file;
pub mod schema;
pub mod sources;
pub mod split;
pub mod store;
pub mod tables;
pub mod texts;
pub mod values;
pub mod vectors;
pub mod words;
