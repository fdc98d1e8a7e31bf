//! Training: one epoch of the model over a list of links, and which links are in that list.
//!
//! ```text
//!  links ─► curriculum ─► step: embeddings ─► blocks (losses, gradients) ─► layers backwards ─► AdamW
//!    ▲                      ▲
//!    pseudo_labels          draws: the noise, drawn ahead
//! ```

pub mod adamw;
mod blocks;
pub mod curriculum;
pub mod decoupling;
mod draws;
#[cfg(test)]
mod golden_tests;
mod outputs;
pub mod protocol;
pub mod pseudo_labels;
pub mod step;
mod underway;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use curriculum::CurriculumConfig;
use protocol::Protocol;

use crate::bounds;

/// The loop.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Epochs; each is one optimiser step over all training links.
    #[serde(deserialize_with = "bounds::at_least_one")]
    pub epochs: usize,
    /// Links in one block of the contrastive losses.
    #[serde(deserialize_with = "bounds::at_least_one")]
    pub batch_size: usize,
    /// Learning rate of `AdamW`.
    #[serde(deserialize_with = "bounds::above_zero")]
    pub lr: f64,
    /// A safetensors file of parameters to start from, ours or published ([`crate::run::initial::read`]); empty to draw
    /// them.
    pub initial: PathBuf,
    /// Weight decay of `AdamW`.
    #[serde(deserialize_with = "bounds::not_negative")]
    pub weight_decay: f64,
    /// Whether the training links are shuffled before each epoch; while the curriculum replays, only before the list is made.
    pub shuffle_links: bool,
    /// Replay of similar pairs at the start.
    #[serde(deserialize_with = "curriculum::matched")]
    pub curriculum: CurriculumConfig,
    /// How the epoch is chosen.
    pub protocol: Protocol,
    /// Epochs from one evaluation to the next; the last epoch is always evaluated.
    #[serde(deserialize_with = "bounds::at_least_one")]
    pub evaluate_every: usize,
    /// Epochs from one checkpoint to the next.
    #[serde(deserialize_with = "bounds::at_least_one")]
    pub checkpoint_every: usize,
    /// Seconds from one checkpoint to the next at least; a better one is held in memory meanwhile. 0 for none.
    #[serde(deserialize_with = "bounds::not_negative")]
    pub checkpoint_seconds: f64,
    /// Whether every one that is due by epochs is kept, however soon, not only the last and the best.
    pub keep_checkpoints: bool,
}
