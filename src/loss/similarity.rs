//! Cosines within blocks of B linked pairs, computed once per modality; every loss reads them. Where shapes have a `…` there may be a
//! number of blocks that are worked on together.

use tch::{Kind, Tensor};

/// One `[M, …, B, B]` matrix for each kind of pair in a block: cosines, or the gradient of a loss in them.
#[derive(Debug)]
pub struct Similarities {
    /// Left entity i with right entity j.
    pub left_right: Tensor,
    /// Left with left.
    pub left_left: Tensor,
    /// Right with right.
    pub right_right: Tensor,
}

impl Similarities {
    /// From the unit vectors of the block's left and right entities, `[M, …, B, D]` each.
    pub fn of_block(left: &Tensor, right: &Tensor) -> Self {
        let product = |a: &Tensor, b: &Tensor| a.matmul(&b.transpose(-2, -1));
        Self { left_right: product(left, right), left_left: product(left, left), right_right: product(right, right) }
    }

    /// The gradient of the unit vectors that [`Self::of_block`] read, `self` being that of its cosines.
    pub fn pull(&self, left: &Tensor, right: &Tensor) -> [Tensor; 2] {
        let both_ways = |within: &Tensor| within + within.transpose(-2, -1);
        [
            self.left_right.matmul(right) + both_ways(&self.left_left).matmul(left),
            self.left_right.transpose(-2, -1).matmul(left) + both_ways(&self.right_right).matmul(right),
        ]
    }

    /// B.
    pub fn pairs(&self) -> f64 {
        self.left_right.size().last().copied().unwrap_or_default() as f64
    }

    /// The same of one modality alone, `[1, …, B, B]`.
    #[must_use]
    pub fn of(&self, modality: i64) -> Self {
        self.map(|matrix| matrix.narrow(0, modality, 1))
    }

    /// `f` of each matrix.
    #[must_use]
    pub fn map(&self, f: impl Fn(&Tensor) -> Tensor) -> Self {
        Self { left_right: f(&self.left_right), left_left: f(&self.left_left), right_right: f(&self.right_right) }
    }

    /// `f` of each matrix and its counterpart.
    #[must_use]
    pub fn zip(&self, other: &Self, f: impl Fn(&Tensor, &Tensor) -> Tensor) -> Self {
        Self {
            left_right: f(&self.left_right, &other.left_right),
            left_left: f(&self.left_left, &other.left_left),
            right_right: f(&self.right_right, &other.right_right),
        }
    }

    /// Adds `other`, each modality times its factor, `[M, …, 1, 1]`.
    pub fn add(&mut self, other: &Self, factors: &Tensor) {
        let _ = self.left_right.addcmul_(&other.left_right, factors);
        let _ = self.left_left.addcmul_(&other.left_left, factors);
        let _ = self.right_right.addcmul_(&other.right_right, factors);
    }

    /// The sum over the products of all elements of each modality with those of `one` `[1, …, B, B]`: `[M]`.
    pub fn dot(&self, one: &Self) -> Tensor {
        let all = self.zip(one, |many, one| many.flatten(1, -1).mv(&one.flatten(0, -1)));
        all.left_right + all.left_left + all.right_right
    }

    /// The modalities' sum, each times its weight, `weights` being `[M]`: `[1, …, B, B]`.
    #[must_use]
    pub fn weighted(&self, weights: &Tensor) -> Self {
        let weights = weights.unsqueeze(0);
        self.map(|of| weights.mm(&of.flatten(1, -1)).view_as(&of.narrow(0, 0, 1)))
    }
}

/// What is never an alternative to a counterpart.
#[derive(Debug)]
pub enum Masks {
    /// An entity to itself, as published.
    Own,
    /// Every repetition of an entity too: factors of 0 and 1, `[…, B, B]` each, of left with right, left with left and right with
    /// right entities.
    Repeated([Tensor; 3]),
}

impl Masks {
    /// Masks every repetition of an entity in the block; otherwise they count as negatives of themselves.
    /// `left` and `right` `[…, B]` are the entities of the pairs.
    pub fn repeated(left: &Tensor, right: &Tensor) -> Self {
        let equal = |ids: &Tensor| ids.unsqueeze(-2).eq_tensor(&ids.unsqueeze(-1));
        let (left, right) = (equal(left), equal(right));
        let own = Tensor::eye(left.size()[left.dim() - 1], (Kind::Bool, left.device()));
        let across = left.logical_or(&right).logical_and(&own.logical_not());
        Self::Repeated([across, left, right].map(|masked| masked.logical_not().to_kind(Kind::Float)))
    }

    /// Makes what is masked 0, in place.
    pub(super) fn apply(&self, odds: &mut Similarities) {
        match self {
            Self::Own => {
                for within in [&odds.left_left, &odds.right_right] {
                    let _ = within.diagonal(0, -2, -1).fill_(0.0);
                }
            }
            Self::Repeated([across, left, right]) => {
                odds.left_right *= across;
                odds.left_left *= left;
                odds.right_right *= right;
            }
        }
    }
}

/// Rows of `x` `[…, D]` divided by their length.
pub fn normalise(x: &Tensor) -> Tensor {
    x / lengths(x)
}

/// The gradient of `x`, given that of `z`, its [`normalise`]d rows.
pub fn denormalised(gradient: &Tensor, z: &Tensor, x: &Tensor) -> Tensor {
    let along = (gradient * z).sum_dim_intlist([-1_i64].as_slice(), true, Kind::Float);
    let mut of_x = gradient - z * along;
    of_x /= lengths(x);
    of_x
}

/// Lengths of the vectors of the last dimension, `[…, 1]`; nearly 0 instead of 0.
pub fn lengths(x: &Tensor) -> Tensor {
    x.norm_scalaropt_dim(2, [-1_i64].as_slice(), true).clamp_min(1e-12)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn the_gradient_behind_normalising_is_autograds() {
        let options = (Kind::Float, Device::Cpu);
        let x =
            Tensor::cat(&[Tensor::randn([4, 5], options), Tensor::zeros([1, 5], options)], 0).set_requires_grad(true);
        let gradient = Tensor::randn([5, 5], options);
        let z = normalise(&x);
        (&z * &gradient).sum(Kind::Float).backward();
        let found = denormalised(&gradient, &z.detach(), &x.detach());
        let apart = ((found - x.grad()) / (x.grad().abs() + 1.0)).abs().max();
        assert!(apart.double_value(&[]) < 1e-5);
    }
}
