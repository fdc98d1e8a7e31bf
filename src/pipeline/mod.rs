//! Configuration, and the stages and sweeps that a pipeline file stands for.
//!
//! ```text
//!  defaults.toml ◄─ FILE (extends …) ◄─ --set ◄─ flags      layers: who says what, unknown keys refused
//!         └──────────────► Config                           config: the same, typed
//!                            ├─► stages: prep, embed-text, train, each skipped where its result is there
//!                            └─► sweep: several runs, each a process of its own, ending in one table
//! ```

mod config;
mod gpu;
mod layers;
pub mod original;
#[cfg(test)]
mod published;
pub mod stages;
pub mod sweep;

pub use config::{Config, Data, Expected, Run, Split, Sweep};
pub use gpu::{Gpu, GpuError, Gpus};
pub use layers::{ConfigError, Flag, Layers};
pub use sweep::{Jobs, SweepError};
