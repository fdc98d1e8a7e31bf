//! The softmax over a block in both directions at once: what every loss and its gradient are made of.

use tch::{Kind, Tensor};

use super::similarity::{Masks, Similarities};

/// `e^{(cos − 1)/τ}` of every pair in a block, 0 where masked, and its sums over the alternatives of each entity.
///
/// A left entity i chooses among all right ones and the other left ones, a right entity among all left ones and the
/// other right ones: rows of `[left_right ‖ left_left]` and of `[left_rightᵀ ‖ right_right]`. One set of exponentials
/// serves both.
#[derive(Debug)]
pub struct Odds {
    odds: Similarities,
    /// `[M, B]`, sums over the alternatives of each left and of each right entity.
    sums: [Tensor; 2],
}

/// Below this temperature the least odds, `e^{−2/τ}`, are too small for float32.
const SINGLE: f64 = 0.025;

impl Odds {
    /// The odds of a block's cosines.
    pub fn new(cosines: &Similarities, masks: &Masks, temperature: f64) -> Self {
        let kind = if temperature < SINGLE { Kind::Double } else { Kind::Float };
        let odds = cosines.map(|cosines| ((cosines.to_kind(kind) - 1.0) / temperature).exp());
        let odds = Similarities {
            left_right: masks.across.as_ref().map_or_else(|| odds.left_right.shallow_clone(), |m| &odds.left_right * m),
            left_left: odds.left_left * &masks.left,
            right_right: odds.right_right * &masks.right,
        };
        let over = |matrix: &Tensor, dim: i64| matrix.sum_dim_intlist([dim].as_slice(), false, kind);
        let left = over(&odds.left_right, 2) + over(&odds.left_left, 2);
        let right = over(&odds.left_right, 1) + over(&odds.right_right, 2);
        Self { odds, sums: [left, right] }
    }

    /// The probability of each pair, both directions added where both have it.
    pub fn shares(&self) -> Similarities {
        let [left, right] = self.sums.each_ref().map(Tensor::reciprocal);
        let Similarities { left_right, left_left, right_right } = &self.odds;
        let shares = Similarities {
            left_right: left_right * (left.unsqueeze(2) + right.unsqueeze(1)),
            left_left: left_left * left.unsqueeze(2),
            right_right: right_right * right.unsqueeze(2),
        };
        shares.map(|matrix| matrix.to_kind(Kind::Float))
    }

    /// The sum over both directions of the logarithm of each entity's sum, `[M]`.
    pub fn log_sums(&self) -> Tensor {
        let [left, right] =
            self.sums.each_ref().map(|sums| sums.log().sum_dim_intlist([1_i64].as_slice(), false, None));
        (left + right).to_kind(Kind::Float)
    }

    /// The sum over both directions of the logarithm of each entity's sum here over that of `other`, `[M]`.
    pub fn log_ratio(&self, other: &Self) -> Tensor {
        let ratio =
            |at: usize| (&self.sums[at] / &other.sums[at]).log().sum_dim_intlist([1_i64].as_slice(), false, None);
        (ratio(0) + ratio(1)).to_kind(Kind::Float)
    }
}
