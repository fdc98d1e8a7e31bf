//! ETL and the Parquet feature store of `humea`: no libtorch, no command line, no printing.
//!
//! ```text
//!   raw files ──► sources ──► GraphPair ──► store::write ──►  fb_db.parquet
//!   vector files ──► vectors ──► VectorTable ──► store::put_vectors ──┘ │
//!                                                                       ▼
//!                              values, texts, split ◄──────────── store::Store
//! ```

pub mod event;
pub mod fault;
pub mod pair;
pub mod schema;
pub mod sources;
pub mod split;
pub mod store;
pub mod tables;
pub mod texts;
pub mod values;
pub mod vectors;
pub mod words;
