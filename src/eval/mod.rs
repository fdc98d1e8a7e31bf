//! Ranking: similarity in blocks, CSLS, ranks by counting, metrics. Sees vectors, not models.

pub(crate) mod csls;
mod metrics;
mod ranks;

use serde::{Deserialize, Serialize};

pub use metrics::{Directions, Figures};
pub use ranks::{Ranking, Ranks};

use crate::bounds;

/// How counterparts are ranked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvalConfig {
    /// Whether hubs are corrected for (cross-domain similarity local scaling).
    pub csls: bool,
    /// Neighbours of that correction.
    #[serde(deserialize_with = "bounds::at_least_one")]
    pub csls_k: usize,
    /// What rank a counterpart has among equals.
    pub ties: Ties,
}

/// The rank of a counterpart that scores as high as others do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ties {
    /// The last of its equals: a tie counts against us.
    #[default]
    Pessimistic,
    /// The middle of its equals, what a random order gives on average.
    Realistic,
}

impl Ties {
    /// The name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pessimistic => "pessimistic",
            Self::Realistic => "realistic",
        }
    }
}
