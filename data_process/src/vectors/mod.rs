//! Vectors from outside: one file per format, each giving a [`VectorTable`].
//!
//! ```text
//!   .h5 .pkl .pt .npy .npz .safetensors .parquet .arrow ──► VectorTable (keys, finite float32 matrix)
//! ```

mod arrays;
pub mod element;
mod error;
#[cfg(test)]
mod fixtures;
pub mod npy;
pub mod pickle;
pub mod safetensors;
mod table;
pub mod torch_file;

pub use arrays::Choice;
pub use error::VectorError;
pub use table::{Keys, VectorTable};
