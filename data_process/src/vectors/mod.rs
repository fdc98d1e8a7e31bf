//! Vectors from outside: one file per format, each giving a [`VectorTable`].
//!
//! ```text
//!   .h5 .pkl .pt .npy .npz .safetensors .parquet .arrow ──► VectorTable (keys, finite float32 matrix)
//! ```

mod arrays;
mod assign;
pub mod element;
mod entities;
mod error;
#[cfg(test)]
mod fixtures;
mod format;
pub mod hdf5;
pub mod import;
mod index;
pub mod npy;
pub mod parquet;
pub mod pickle;
pub mod safetensors;
mod table;
pub mod torch_file;
mod torch_tables;

pub use arrays::Choice;
pub use assign::{Assigned, Coverage, IdSpace, assign};
pub use entities::Entities;
pub use error::VectorError;
pub use format::Format;
pub use index::Index;
pub use table::{Keys, VectorTable};
