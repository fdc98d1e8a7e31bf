//! Training: one sitting from the first epoch to the last, with checkpoints, evaluations and pseudo-labels on the way.
//!
//! ```text
//!  RunFolder ◄── config, versions, seed, fingerprint (before the first epoch)
//!     ▲
//!     ├─ metrics.jsonl, TensorBoard ◄─┐
//!     └─ checkpoints ◄──── Session ───┴─ each epoch: links (curriculum, pseudo-labels) → step → evaluate
//! ```

pub mod adamw;
mod blocks;
pub mod checkpoint;
pub mod curriculum;
mod error;
#[cfg(test)]
mod golden_tests;
mod learner;
pub mod predict;
pub mod protocol;
pub mod pseudo_labels;
pub mod run;
pub mod run_folder;
mod session;
pub mod step;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use curriculum::CurriculumConfig;
pub use error::TrainError;
use protocol::Protocol;

/// The loop.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Epochs; each is one optimiser step over all training links.
    #[serde(deserialize_with = "at_least_one")]
    pub epochs: usize,
    /// Links in one block of the contrastive losses.
    #[serde(deserialize_with = "at_least_one")]
    pub batch_size: usize,
    /// Learning rate of `AdamW`.
    #[serde(deserialize_with = "above_zero")]
    pub lr: f64,
    /// A safetensors file of parameters to start from, ours or published ([`crate::model::published::read`]); empty to draw
    /// them.
    pub initial: PathBuf,
    /// Weight decay of `AdamW`.
    pub weight_decay: f64,
    /// Whether the training links are shuffled before each epoch; while the curriculum replays, only before the list is made.
    pub shuffle_links: bool,
    /// Replay of similar pairs at the start.
    pub curriculum: CurriculumConfig,
    /// How the epoch is chosen.
    pub protocol: Protocol,
    /// Epochs from one evaluation to the next; the last epoch is always evaluated.
    #[serde(deserialize_with = "at_least_one")]
    pub evaluate_every: usize,
    /// Epochs from one checkpoint to the next.
    #[serde(deserialize_with = "at_least_one")]
    pub checkpoint_every: usize,
    /// Whether every one of those checkpoints is kept, not only the last and the best.
    pub keep_checkpoints: bool,
}

fn at_least_one<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    match usize::deserialize(from)? {
        0 => Err(D::Error::custom("must be at least 1")),
        number => Ok(number),
    }
}

fn above_zero<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    let number = f64::deserialize(from)?;
    if number > 0.0 && number.is_finite() {
        return Ok(number);
    }
    Err(D::Error::custom(format!("must be a number above 0, such as 5e-4; {number} is not")))
}
