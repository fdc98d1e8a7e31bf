//! Confidence: how likely a pair with such a score is right, learnt from links that were held out of training. It assumes
//! that an entity of a held-out link has no other counterpart, and that scores tell as much about entities of which nothing
//! is known: how many of those have a counterpart at all nobody can learn from links.

use std::collections::HashSet;

use super::Pair;
use crate::inputs::links::Link;

/// Scores of the pairs of which it is known whether they are right: those with an entity of a held-out link.
pub fn judge(pairs: &[Pair], held_out: &[Link]) -> Vec<(f32, bool)> {
    let right: HashSet<&Link> = held_out.iter().collect();
    let known: HashSet<u32> = held_out.iter().flatten().copied().collect();
    let judged = pairs.iter().filter(|pair| known.contains(&pair.left) || known.contains(&pair.right));
    judged.map(|pair| (pair.score, right.contains(&[pair.left, pair.right]))).collect()
}

/// P(right | score) = 1 / (1 + e^{−(slope·score + offset)}).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration {
    slope: f64,
    offset: f64,
}

/// Fewer held-out pairs than this say nothing.
const LEAST: usize = 20;
const STEPS: usize = 50;

impl Calibration {
    /// Fits the curve to scores of which it is known whether the pair was right; `None` if there are too few of them.
    ///
    /// Newton's method on the logistic loss, with the smoothed targets of Platt's method so that separable scores do not run off to infinity.
    pub fn fit(scored: &[(f32, bool)]) -> Option<Self> {
        if scored.len() < LEAST {
            return None;
        }
        let right = scored.iter().filter(|(_, right)| *right).count() as f64;
        let wrong = scored.len() as f64 - right;
        let (high, low) = ((right + 1.0) / (right + 2.0), 1.0 / (wrong + 2.0));
        let mut curve = Self { slope: 0.0, offset: ((right + 1.0) / (wrong + 1.0)).ln() };
        for _ in 0..STEPS {
            let (by_slope, by_offset) = curve.step(scored, high, low);
            curve = Self { slope: curve.slope - by_slope, offset: curve.offset - by_offset };
            if by_slope.abs() + by_offset.abs() < 1e-9 {
                break;
            }
        }
        (curve.slope.is_finite() && curve.offset.is_finite()).then_some(curve)
    }

    /// One damped Newton step.
    fn step(self, scored: &[(f32, bool)], high: f64, low: f64) -> (f64, f64) {
        let (mut g0, mut g1, mut h00, mut h01, mut h11) = (0.0, 0.0, 1e-6, 0.0, 1e-6);
        for &(score, right) in scored {
            let (x, p) = (f64::from(score), self.confidence(score));
            let (error, weight) = (p - if right { high } else { low }, p * (1.0 - p));
            g0 += error * x;
            g1 += error;
            h00 += weight * x * x;
            h01 += weight * x;
            h11 += weight;
        }
        let determinant = h00 * h11 - h01 * h01;
        let step = ((g0 * h11 - g1 * h01) / determinant, (g1 * h00 - g0 * h01) / determinant);
        let longest = step.0.abs().max(step.1.abs()).max(1e-300);
        let damp = (20.0 / longest).min(1.0);
        (step.0 * damp, step.1 * damp)
    }

    /// The likelihood that a pair with this score is right.
    pub fn confidence(self, score: f32) -> f64 {
        1.0 / (1.0 + (-(self.slope * f64::from(score) + self.offset)).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_wrong_where_either_entity_is_known_to_have_others() {
        let held_out = [[1, 101], [1, 102], [2, 103]];
        let pairs = [[1, 101], [1, 102], [2, 101], [7, 103], [2, 108], [7, 108]];
        let pairs = pairs.map(|[left, right]| Pair { left, right, score: left as f32 });
        let judged = judge(&pairs, &held_out);
        assert_eq!(judged, [(1.0, true), (1.0, true), (2.0, false), (7.0, false), (2.0, false)]);
    }

    #[test]
    fn confidence_follows_how_often_a_score_was_right() {
        let scored: Vec<(f32, bool)> =
            (0..400).map(|n| if n % 2 == 0 { (1.0, n % 10 != 0) } else { (0.0, n % 10 == 1) }).collect();
        let curve = Calibration::fit(&scored).unwrap();
        assert!((curve.confidence(1.0) - 0.8).abs() < 0.01, "{curve:?}");
        assert!((curve.confidence(0.0) - 0.2).abs() < 0.01, "{curve:?}");
    }

    #[test]
    fn separable_scores_stay_finite_and_few_say_nothing() {
        let scored: Vec<(f32, bool)> = (0..100).map(|n| (n as f32 / 100.0, n >= 50)).collect();
        let curve = Calibration::fit(&scored).unwrap();
        assert!(curve.confidence(0.9) > 0.9 && curve.confidence(0.1) < 0.1, "{curve:?}");
        assert!(Calibration::fit(&scored[..5]).is_none());
    }
}
