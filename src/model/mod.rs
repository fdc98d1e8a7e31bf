//! The HUMEA model: one file per layer (config, constructor, forward, golden test). Knows tensors, not stores.

pub mod estimator;
pub mod experts;
pub mod features;
mod floats;
pub mod fusion;
pub mod graph_encoder;
mod humea;
mod kernel;
pub mod mixture;
pub mod parameters;
mod pattern;
mod precision;
pub mod propagation;
pub mod published;
mod sparse;

pub use humea::{Humea, Joint, ModelConfig};
pub use precision::Precision;
