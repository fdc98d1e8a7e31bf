//! Attribute values as evidence: who shares a date, a place or a quantity, and how much that says.
//!
//! After Fellegi and Sunter, "A Theory for Record Linkage" (1969). The seeds show which attributes of the two graphs say
//! the same, in which unit, and how often their values agree for one entity (m); how many values agree by chance (u) is
//! counted for each value. An agreement is worth ln(m / u) nats: a shared birthday much, a shared year little. Of several
//! right attributes that agree with one left attribute the best counts; different left attributes add up. Disagreement says
//! nothing, because values are often wrong or old.
//!
//! ```text
//!  facts ─► values (typed, by entity and by attribute) ─┐
//!  seeds ──────────────────────────────────────────────┴─► rules ─► Evidence ─► Between ─► added to the scores
//! ```
//!
//! Not part of the published method, which throws the values away; the pipelines in `pipelines/paper` do without.

mod between;
mod rules;
#[cfg(test)]
mod tests;
mod values;

use data_process::pair::GraphPair;
use serde::{Deserialize, Serialize};

pub use between::Between;

use crate::bounds;
use crate::inputs::links::Link;
use rules::Rule;
use values::Values;

/// What besides the vectors tells counterparts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceConfig {
    /// Whether typed attribute values are.
    pub values: bool,
    /// What a nat of evidence adds to a score, which is on the scale of two cosines.
    #[serde(deserialize_with = "bounds::not_negative")]
    pub weight: f64,
}

/// A left and a right attribute that say the same.
#[derive(Clone, Debug, PartialEq)]
pub struct SameAttributes {
    /// The left attribute.
    pub left: String,
    /// The right attribute.
    pub right: String,
    /// What a left value is multiplied by to be in the right one's unit.
    pub scale: f64,
    /// Seeds that have both.
    pub seeds: usize,
    /// The part of them believed to agree, at least roughly: below what was counted, as if one seed more had not agreed, and
    /// without agreement that is no more than chance.
    pub agree: f64,
}

/// What the seeds show about the values of two graphs.
#[derive(Debug)]
pub struct Evidence {
    left: Values,
    right: Values,
    /// Of each left column.
    rules: Vec<Vec<Rule>>,
    /// Id of the first right entity.
    first_right: u32,
    weight: f32,
}

impl Evidence {
    /// Learns from the seeds alone; none if no attributes agree.
    pub fn learn(pair: &GraphPair, seeds: &[Link], weight: f64) -> Option<Self> {
        let (left, right) = (Values::of(&pair.left), Values::of(&pair.right));
        let first_right = pair.left.entities.len() as u32;
        let rules = rules::learn(&left, &right, seeds, first_right);
        let any = rules.iter().any(|of| !of.is_empty());
        any.then_some(Self { left, right, rules, first_right, weight: weight as f32 })
    }

    /// The attributes found to say the same, those of the most seeds first.
    pub fn same_attributes(&self) -> Vec<SameAttributes> {
        let all = self.left.columns.iter().zip(&self.rules).flat_map(|(left, rules)| {
            rules.iter().map(|rule| SameAttributes {
                left: left.attribute.to_string(),
                right: self.right.columns[rule.right as usize].attribute.to_string(),
                scale: rule.scale,
                seeds: rule.seeds,
                agree: rule.agree.iter().sum(),
            })
        });
        let mut all: Vec<SameAttributes> = all.collect();
        all.sort_by_key(|same| std::cmp::Reverse(same.seeds));
        all
    }

    /// The evidence between some entities, given as store ids.
    pub fn between<'a>(&'a self, left: &'a [u32], right: &'a [u32]) -> Between<'a> {
        Between::new(self, left, right)
    }
}
