//! `humea`: multi-modal entity alignment, from raw knowledge graphs to aligned pairs.
//!
//! ```text
//!  raw files ─► data_process ─► store ─► inputs ─► model, loss ─► train ─► eval, align ─► run, report
//!                                 ▲
//!                   plm, vision ──┘   (texts and images become vector columns of the store)
//! ```
//!
//! The crate is the library behind the `humea` command; without the feature `torch` only the ETL half is there.

pub mod cli;
#[cfg(all(test, feature = "torch"))]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]
pub(crate) mod golden;
pub mod interrupt;
pub mod modality;
pub mod progress;
pub mod refusal;

#[cfg(feature = "torch")]
pub mod align;
#[cfg(feature = "torch")]
mod bounds;
#[cfg(feature = "torch")]
pub mod config;
#[cfg(feature = "torch")]
pub mod device;
#[cfg(feature = "torch")]
pub mod eval;
#[cfg(feature = "torch")]
pub mod evidence;
#[cfg(feature = "torch")]
pub mod gradient;
#[cfg(feature = "torch")]
pub mod inputs;
#[cfg(feature = "torch")]
pub mod loss;
#[cfg(feature = "torch")]
pub mod model;
#[cfg(feature = "torch")]
pub mod noise;
#[cfg(feature = "torch")]
pub mod pipeline;
#[cfg(feature = "torch")]
pub mod plm;
#[cfg(feature = "torch")]
pub mod product;
#[cfg(feature = "torch")]
pub mod report;
#[cfg(feature = "torch")]
pub mod run;
#[cfg(feature = "torch")]
pub mod train;
#[cfg(feature = "torch")]
pub mod transfer;
#[cfg(feature = "torch")]
pub mod vision;
