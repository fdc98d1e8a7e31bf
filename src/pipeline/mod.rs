//! The stages and sweeps that a pipeline file stands for.
//!
//! ```text
//!  Config ─┬─► stages: prep, embed-text, train, each skipped where its result is there
//!          └─► sweep: several runs, each a process of its own, ending in one table
//! ```

mod gpu;
mod process;
#[cfg(test)]
mod published;
pub mod stages;
pub mod sweep;

pub use gpu::{Gpu, GpuError, Gpus};
pub use sweep::{Jobs, SweepError};
