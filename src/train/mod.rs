//! Training: one sitting from the first epoch to the last, with checkpoints, evaluations and pseudo-labels on the way.
//!
//! ```text
//!  RunFolder ◄── config, versions, seed, fingerprint (before the first epoch)
//!     ▲
//!     ├─ metrics.jsonl, TensorBoard ◄─┐
//!     └─ checkpoints ◄──── Session ───┴─ each epoch: links (curriculum, pseudo-labels) → step → evaluate
//! ```

pub mod adamw;
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

use serde::{Deserialize, Serialize};

use curriculum::CurriculumConfig;
pub use error::TrainError;
use protocol::Protocol;

/// The loop.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Epochs; each is one optimiser step over all training links.
    pub epochs: usize,
    /// Links in one block of the contrastive losses.
    pub batch_size: usize,
    /// Learning rate of `AdamW`.
    pub lr: f64,
    /// Weight decay of `AdamW`.
    pub weight_decay: f64,
    /// Whether the training links are shuffled before each epoch.
    pub shuffle_links: bool,
    /// Replay of similar pairs at the start.
    pub curriculum: CurriculumConfig,
    /// How the epoch is chosen.
    pub protocol: Protocol,
    /// Epochs from one evaluation to the next; the last epoch is always evaluated.
    pub evaluate_every: usize,
    /// Epochs from one checkpoint to the next.
    pub checkpoint_every: usize,
    /// Whether every one of those checkpoints is kept, not only the last and the best.
    pub keep_checkpoints: bool,
}
