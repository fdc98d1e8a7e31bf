//! The softmax over a block in both directions at once: what every loss and its gradient are made of.

use tch::{Kind, Tensor};

use super::similarity::{Masks, Similarities};

/// `e^{(cos − 1)/τ}` of every pair in a block, 0 where masked, and its sums over the alternatives of each entity.
///
/// A left entity i chooses among all right ones and the other left ones, a right entity among all left ones and the
/// other right ones. One set of exponentials serves both. Everything is done in place: a block's matrices just fit a processor's
/// cache.
#[derive(Debug)]
pub struct Odds(Similarities);

/// `[M, …, 2, B]`, sums of odds over the alternatives of each left and of each right entity.
#[derive(Debug)]
pub struct Sums(Tensor);

/// Below this temperature the least odds, `e^{−2/τ}`, are too small for float32.
const SINGLE: f64 = 0.025;

/// Below this temperature they are too small for double precision too: the odds of an entity's alternatives may add up to 0.
pub const COLDEST: f64 = 0.003;

impl Odds {
    /// The odds of a block's cosines.
    pub fn new(cosines: &Similarities, masks: &Masks, temperature: f64) -> Self {
        let kind = if temperature < SINGLE { Kind::Double } else { Kind::Float };
        let mut odds = cosines.map(|cosines| {
            let mut scaled = cosines.to_kind(kind) - 1.0;
            scaled /= temperature;
            scaled.exp_()
        });
        masks.apply(&mut odds);
        Self(odds)
    }

    /// The sums over the alternatives.
    pub fn sums(&self) -> Sums {
        let over = |matrix: &Tensor, dim: i64| matrix.sum_dim_intlist([dim].as_slice(), false, None);
        let (rows, columns) = (over(self.0.all(), -1), over(&self.0.across(), -2));
        let across = Tensor::stack(&[rows.select(-2, 0), columns], -2);
        Sums(across + rows.narrow(-2, 1, 2))
    }

    /// The probability of each pair times what its entities have in `scaled`, their scaled [`Sums::reciprocals`]; both directions are
    /// added where both have it.
    pub fn into_shares(self, scaled: &Tensor) -> Similarities {
        let [of_left, of_right] = [0, 1].map(|side| scaled.select(-2, side));
        let mut across = self.0.across();
        across *= of_left.unsqueeze(-1) + of_right.unsqueeze(-2);
        let mut within = self.0.within();
        within *= scaled.unsqueeze(-1);
        self.0.map(|all| all.to_kind(Kind::Float))
    }
}

impl Sums {
    /// One over each entity's sum.
    pub fn reciprocals(&self) -> Tensor {
        self.0.reciprocal()
    }

    /// The logarithm of each entity's sum.
    pub fn logs(&self) -> Tensor {
        self.0.log()
    }

    /// The logarithm of each entity's sum here over that of `other`.
    pub fn log_ratio(&self, other: &Self) -> Tensor {
        (&self.0 / &other.0).log_()
    }
}

/// What a modality's entities have in all blocks together, `[M, …]` → `[M]`.
pub fn total(of: &Tensor) -> Tensor {
    of.flatten(1, -1).sum_dim_intlist([1_i64].as_slice(), false, None).to_kind(Kind::Float)
}
