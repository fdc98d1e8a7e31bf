//! Decoding: from joint vectors to pairs of entities, with a score and, where held-out links allow it, a confidence.

mod calibrate;
mod decode;
mod neighbours;
mod write;

use serde::{Deserialize, Serialize};

pub use calibrate::{Calibration, judge};
pub use decode::{Candidates, decode};
pub use write::{Format, Predictions, WriteError, claim, write};

use crate::bounds;

/// How pairs are decoded.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlignConfig {
    /// Which pairs are believed.
    pub decoding: Decoding,
    /// Which entities are given a counterpart.
    pub entities: Wanted,
    /// Neighbours of the CSLS correction.
    #[serde(deserialize_with = "bounds::at_least_one")]
    pub csls_k: usize,
}

/// Which pairs are believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Decoding {
    /// Pairs that are each other's nearest neighbour.
    Mutual,
    /// Every left entity's nearest neighbour; right entities may be taken twice.
    Greedy,
    /// Best pairs first, each entity at most once, until one side is used up: the ten nearest of each left entity, then what
    /// is left.
    OneToOne,
}

/// Which entities are given a counterpart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// Those that no link of the store names.
    Unlinked,
    /// Those that no training or held-out link names: test links are predicted too.
    Unseen,
}

/// A predicted pair, as store ids.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// Left id.
    pub left: u32,
    /// Right id.
    pub right: u32,
    /// CSLS score and what evidence adds; higher is nearer.
    pub score: f32,
}
