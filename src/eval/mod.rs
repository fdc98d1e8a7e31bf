//! Ranking: similarity in blocks, CSLS, ranks by counting, metrics. Sees vectors, not models.

pub(crate) mod csls;
mod metrics;
mod ranks;

use serde::{Deserialize, Serialize};

pub use metrics::{Directions, Figures};
pub use ranks::{Ranking, Ranks};

/// How counterparts are ranked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvalConfig {
    /// Whether hubs are corrected for (cross-domain similarity local scaling).
    pub csls: bool,
    /// Neighbours of that correction.
    pub csls_k: usize,
}
