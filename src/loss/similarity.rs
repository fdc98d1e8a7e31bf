//! Cosines within one block of B linked pairs, computed once per modality; every loss reads them.

use tch::{Kind, Tensor};

/// One `[M, B, B]` matrix for each kind of pair in a block: cosines, or the gradient of a loss in them.
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
    /// From the unit vectors of the block's left and right entities, `[M, B, D]` each.
    pub fn of_block(left: &Tensor, right: &Tensor) -> Self {
        let product = |a: &Tensor, b: &Tensor| a.bmm(&b.transpose(1, 2));
        Self { left_right: product(left, right), left_left: product(left, left), right_right: product(right, right) }
    }

    /// The gradient of the unit vectors that [`Self::of_block`] read, `self` being that of its cosines.
    pub fn pull(&self, left: &Tensor, right: &Tensor) -> [Tensor; 2] {
        let both_ways = |within: &Tensor| within + within.transpose(1, 2);
        [
            self.left_right.bmm(right) + both_ways(&self.left_left).bmm(left),
            self.left_right.transpose(1, 2).bmm(left) + both_ways(&self.right_right).bmm(right),
        ]
    }

    /// The same of one modality alone, `[1, B, B]`.
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

    /// The sum over the products of all elements with their counterparts, `[M]`.
    pub fn dot(&self, other: &Self) -> Tensor {
        let all = self.zip(other, |a, b| (a * b).sum_dim_intlist([1_i64, 2].as_slice(), false, Kind::Float));
        all.left_right + all.left_left + all.right_right
    }
}

/// What is never an alternative to a counterpart: factors of 0 and 1, `[B, B]` each.
#[derive(Debug)]
pub struct Masks {
    /// Left with right; none if all count.
    pub(super) across: Option<Tensor>,
    /// Left with left.
    pub(super) left: Tensor,
    /// Right with right.
    pub(super) right: Tensor,
}

impl Masks {
    /// Masks an entity against itself only, as published.
    pub fn identity(size: i64, device: tch::Device) -> Self {
        let others: Tensor = 1.0 - Tensor::eye(size, (Kind::Float, device));
        Self { across: None, left: others.shallow_clone(), right: others }
    }

    /// Masks every repetition of an entity in the block too; otherwise they count as negatives of themselves.
    /// `left` and `right` `[B]` are the entities of the pairs.
    pub fn duplicates(left: &Tensor, right: &Tensor) -> Self {
        let equal = |ids: &Tensor| ids.unsqueeze(0).eq_tensor(&ids.unsqueeze(1));
        let (left, right) = (equal(left), equal(right));
        let own = Tensor::eye(left.size()[0], (Kind::Bool, left.device()));
        let across = left.logical_or(&right).logical_and(&own.logical_not());
        let others = |masked: &Tensor| masked.logical_not().to_kind(Kind::Float);
        Self { across: Some(others(&across)), left: others(&left), right: others(&right) }
    }
}

/// Rows of `x` `[…, D]` divided by their length.
pub fn normalise(x: &Tensor) -> Tensor {
    x / lengths(x)
}

/// Lengths of the vectors of the last dimension, `[…, 1]`; nearly 0 instead of 0.
pub fn lengths(x: &Tensor) -> Tensor {
    x.norm_scalaropt_dim(2, [-1_i64].as_slice(), true).clamp_min(1e-12)
}
