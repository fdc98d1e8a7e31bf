//! Which attribute of the left graph says the same as which of the right, learnt from the seeds.

use std::collections::BTreeMap;

use super::values::{Axis, Column, DEGREES, Entry, Values, range};
use crate::inputs::links::Link;

/// Seeds that have both attributes: with fewer, nothing is learnt about a pair of attributes.
const LEAST_SEEDS: usize = 3;
/// Seeds whose values must agree, and how many times as many as would by chance.
const LEAST_AGREEING: usize = 2;
const LEAST_LIFT: f64 = 3.0;

/// What two attributes have in common.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rule {
    /// The right column.
    pub(super) right: u32,
    /// Left values are multiplied by this before they are compared: another unit, learnt where none is stated.
    pub(super) scale: f64,
    /// Seeds that have both attributes.
    pub(super) seeds: usize,
    /// The part of the seeds whose values agree to exactly each degree; 0 where that is no more than chance.
    pub(super) agree: [f64; DEGREES],
}

impl Rule {
    /// What an agreement with `value` (already scaled) is worth to each degree, in nats: ln(m / u), never negative, and
    /// never less for agreeing more closely. u is the part of the right entities that agree to exactly that degree with
    /// one of the `tries` values of the left entity, at most.
    pub(super) fn weights(&self, value: f64, tries: usize, right: &Column) -> [f32; DEGREES] {
        let mut nearer = 0;
        let mut weights = [0.0_f32; DEGREES];
        for (degree, tolerance) in right.axis.tolerances(value).into_iter().enumerate() {
            let within = right.within(value, tolerance);
            let by_chance = ((within - nearer).max(1) * tries) as f64 / right.entities as f64;
            weights[degree] = (self.agree[degree] / by_chance).ln().max(0.0) as f32;
            nearer = within;
        }
        for degree in (1..DEGREES).rev() {
            weights[degree - 1] = weights[degree - 1].max(weights[degree]);
        }
        weights
    }
}

/// To which degree two values agree, if they do: by the very comparisons of [`range`], so that no rounding sets them apart.
pub(super) fn degree(axis: Axis, value: f64, other: f64) -> Option<usize> {
    axis.tolerances(value).iter().position(|tolerance| !range(&[other], value, *tolerance, |other| *other).is_empty())
}

/// The rules of each left column.
pub(super) fn learn(left: &Values, right: &Values, seeds: &[Link], first_right: u32) -> Vec<Vec<Rule>> {
    let mut rules = vec![Vec::new(); left.columns.len()];
    for ((from, to), seen) in observations(left, right, seeds, first_right) {
        if seen.len() >= LEAST_SEEDS
            && let Some(rule) = rule(&seen, to, &right.columns[to as usize])
        {
            rules[from as usize].push(rule);
        }
    }
    rules
}

/// A seed's values under a left and a right column.
type Seen<'a> = (&'a [Entry], &'a [Entry]);

/// The seeds that have both columns, for each pair of columns on one axis.
fn observations<'a>(
    left: &'a Values,
    right: &'a Values,
    seeds: &[Link],
    first_right: u32,
) -> BTreeMap<(u32, u32), Vec<Seen<'a>>> {
    let mut seen: BTreeMap<(u32, u32), Vec<Seen<'a>>> = BTreeMap::new();
    for [from, to] in seeds {
        for values in left.of_entity(*from as usize) {
            for others in right.of_entity((to - first_right) as usize) {
                let (a, b) = (values[0].column, others[0].column);
                if left.columns[a as usize].axis == right.columns[b as usize].axis {
                    seen.entry((a, b)).or_default().push((values, others));
                }
            }
        }
    }
    seen
}

/// The rule the seeds show, if they agree more often than by chance: as the values stand, or, if that explains clearly
/// more of them, in another unit.
fn rule(seen: &[Seen], to: u32, right: &Column) -> Option<Rule> {
    let plain = Agreement::count(seen, right, 1.0);
    let scaled = (right.axis == Axis::Magnitude).then(|| median_ratio(seen)).flatten();
    let scaled = scaled.map(|scale| Agreement::count(seen, right, scale));
    let best = scaled.filter(|scaled| 2 * scaled.close() > 3 * plain.all() + 4).unwrap_or(plain);
    let agree = best.believed(seen.len());
    agree.iter().any(|part| *part > 0.0).then_some(Rule { right: to, scale: best.scale, seeds: seen.len(), agree })
}

/// How many seeds agree to exactly each degree, and how many would by chance to at least that degree; of a seed's
/// several values the best count, and so chance has as many tries.
struct Agreement {
    scale: f64,
    found: [usize; DEGREES],
    chance: [f64; DEGREES],
}

impl Agreement {
    fn count(seen: &[Seen], right: &Column, scale: f64) -> Self {
        let mut counted = Self { scale, found: [0; DEGREES], chance: [0.0; DEGREES] };
        for (values, others) in seen {
            let pairs = values.iter().flat_map(|a| others.iter().map(|b| (a.value * scale, b.value)));
            if let Some(best) = pairs.filter_map(|(a, b)| degree(right.axis, a, b)).min() {
                counted.found[best] += 1;
            }
            for value in values.iter().map(|entry| entry.value * scale) {
                for (chance, tolerance) in counted.chance.iter_mut().zip(right.axis.tolerances(value)) {
                    *chance += right.within(value, tolerance) as f64 / right.entities as f64;
                }
            }
        }
        counted
    }

    fn all(&self) -> usize {
        self.found.iter().sum()
    }

    /// Those that agree more than roughly.
    fn close(&self) -> usize {
        self.found[..DEGREES - 1].iter().sum()
    }

    /// The part of `seeds` that agree to each degree, where that is more than chance.
    fn believed(&self, seeds: usize) -> [f64; DEGREES] {
        let mut so_far = 0;
        std::array::from_fn(|degree| {
            so_far += self.found[degree];
            let believed = so_far >= LEAST_AGREEING && so_far as f64 > LEAST_LIFT * self.chance[degree];
            // One seed more than there are, so that three of three are not yet a certainty.
            if believed { self.found[degree] as f64 / (seeds + 1) as f64 } else { 0.0 }
        })
    }
}

/// The median of right over left, where both are positive.
fn median_ratio(seen: &[Seen]) -> Option<f64> {
    let ratios = seen.iter().map(|(values, others)| others[0].value / values[0].value);
    let mut ratios: Vec<f64> = ratios.filter(|ratio| ratio.is_finite() && *ratio > 0.0).collect();
    let middle = ratios.len() / 2;
    (ratios.len() >= LEAST_SEEDS).then(|| *ratios.select_nth_unstable_by(middle, f64::total_cmp).1)
}
