//! One run: from a configuration and a store to a folder with a trained model, its figures and its report, and back.
//!
//! ```text
//!  store ─► material ─┐        ┌─► links, run.json, config.toml (before the first epoch)
//!  config ────────────┼─► training ─► session: each epoch links → train → evaluate ─► metrics.jsonl, checkpoints/
//!  folder ────────────┘        └─► finished: the test links ranked ─► result.json, report.html
//! ```

pub mod checkpoint;
pub mod described;
mod error;
pub mod finished;
pub mod folder;
pub mod initial;
mod learner;
pub mod material;
mod pace;
pub mod predict;
mod session;
pub mod summary;
#[cfg(test)]
mod tests;
pub mod training;

pub use error::RunError;
