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

    /// Adds `other`, each modality times its factor, `[M, 1, 1]`.
    pub fn add(&mut self, other: &Self, factors: &Tensor) {
        let _ = self.left_right.addcmul_(&other.left_right, factors);
        let _ = self.left_left.addcmul_(&other.left_left, factors);
        let _ = self.right_right.addcmul_(&other.right_right, factors);
    }

    /// The sum over the products of all elements of each modality with those of `one` `[1, B, B]`: `[M]`.
    pub fn dot(&self, one: &Self) -> Tensor {
        let all = self.zip(one, |many, one| many.flatten(1, 2).mv(&one.flatten(0, 2)));
        all.left_right + all.left_left + all.right_right
    }

    /// The modalities' sum, each times its weight, `weights` being `[M]`: `[1, B, B]`.
    #[must_use]
    pub fn weighted(&self, weights: &Tensor) -> Self {
        let weights = weights.unsqueeze(0);
        self.map(|of| weights.mm(&of.flatten(1, 2)).view([1, of.size()[1], of.size()[2]]))
    }
}

/// What is never an alternative to a counterpart.
#[derive(Debug)]
pub enum Masks {
    /// An entity to itself, as published.
    Own,
    /// Every repetition of an entity too: factors of 0 and 1, `[B, B]` each, of left with right, left with left and right with
    /// right entities.
    Repeated([Tensor; 3]),
}

impl Masks {
    /// Masks every repetition of an entity in the block; otherwise they count as negatives of themselves.
    /// `left` and `right` `[B]` are the entities of the pairs.
    pub fn repeated(left: &Tensor, right: &Tensor) -> Self {
        let equal = |ids: &Tensor| ids.unsqueeze(0).eq_tensor(&ids.unsqueeze(1));
        let (left, right) = (equal(left), equal(right));
        let own = Tensor::eye(left.size()[0], (Kind::Bool, left.device()));
        let across = left.logical_or(&right).logical_and(&own.logical_not());
        Self::Repeated([across, left, right].map(|masked| masked.logical_not().to_kind(Kind::Float)))
    }

    /// Makes what is masked 0, in place.
    pub(super) fn apply(&self, odds: &mut Similarities) {
        match self {
            Self::Own => {
                for within in [&odds.left_left, &odds.right_right] {
                    let _ = within.diagonal(0, 1, 2).fill_(0.0);
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

/// Lengths of the vectors of the last dimension, `[…, 1]`; nearly 0 instead of 0.
pub fn lengths(x: &Tensor) -> Tensor {
    x.norm_scalaropt_dim(2, [-1_i64].as_slice(), true).clamp_min(1e-12)
}
