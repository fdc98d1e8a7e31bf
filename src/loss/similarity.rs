//! Cosines within blocks of B linked pairs, computed once per modality; every loss reads them. Where shapes have a `…` there may be a
//! number of blocks that are worked on together.

use tch::{Device, Kind, Tensor};

/// Three matrices for each block, `[M, …, 3, B, B]`: cosines, or the gradient of a loss in them, of left entities with right ones, of
/// left with left and of right with right ones.
#[derive(Debug)]
pub struct Similarities(Tensor);

/// Places of the three matrices.
const ACROSS: i64 = 0;
const LEFT: i64 = 1;
const RIGHT: i64 = 2;

impl Similarities {
    /// From the unit vectors of the block's left and right entities, `[M, …, B, D]` each.
    pub fn of_block(left: &Tensor, right: &Tensor) -> Self {
        let size = left.size();
        let (outer, inner) = size.split_at(size.len() - 2);
        let all = Tensor::empty([outer, &[3, inner[0], inner[0]]].concat(), (left.kind(), left.device()));
        let [left, right] = [left, right].map(|side| side.reshape([-1, inner[0], inner[1]]));
        let places = all.view([-1, 3, inner[0], inner[0]]);
        for (place, one, other) in [(ACROSS, &left, &right), (LEFT, &left, &left), (RIGHT, &right, &right)] {
            let _ = one.bmm_out(&places.select(1, place), &other.transpose(1, 2));
        }
        Self(all)
    }

    /// The gradient of the unit vectors that [`Self::of_block`] read, `self` being that of its cosines.
    pub fn pull(&self, left: &Tensor, right: &Tensor) -> [Tensor; 2] {
        let within = |place: i64| {
            let matrix = self.0.select(-3, place);
            &matrix + matrix.transpose(-2, -1)
        };
        let across = self.across();
        [
            across.matmul(right) + within(LEFT).matmul(left),
            across.transpose(-2, -1).matmul(left) + within(RIGHT).matmul(right),
        ]
    }

    /// All three, `[M, …, 3, B, B]`.
    pub(super) fn all(&self) -> &Tensor {
        &self.0
    }

    /// Left entities with right ones, `[M, …, B, B]`.
    pub fn across(&self) -> Tensor {
        self.0.select(-3, ACROSS)
    }

    /// Left with left and right with right entities, `[M, …, 2, B, B]`.
    pub(super) fn within(&self) -> Tensor {
        self.0.narrow(-3, LEFT, 2)
    }

    /// The same of `count` modalities from the `first`.
    #[must_use]
    pub fn of(&self, first: i64, count: i64) -> Self {
        Self(self.0.narrow(0, first, count))
    }

    /// `f` of all matrices.
    #[must_use]
    pub fn map(&self, f: impl FnOnce(&Tensor) -> Tensor) -> Self {
        Self(f(&self.0))
    }

    /// `f` of all matrices and their counterparts.
    #[must_use]
    pub fn zip(&self, other: &Self, f: impl FnOnce(&Tensor, &Tensor) -> Tensor) -> Self {
        Self(f(&self.0, &other.0))
    }

    /// Adds `other`, each modality times its factor, `[M, …, 1, 1, 1]`.
    pub fn add(&mut self, other: &Self, factors: &Tensor) {
        let _ = self.0.addcmul_(&other.0, factors);
    }

    /// The sum over the products of all elements of each modality with those of `one` `[1, …, 3, B, B]`: `[M]`.
    pub fn dot(&self, one: &Self) -> Tensor {
        // Matrix by matrix: what they add up to nearly cancels elsewhere, and one sum over all three would round worse.
        let of = |place: i64| self.0.select(-3, place).flatten(1, -1).mv(&one.0.select(-3, place).flatten(0, -1));
        of(ACROSS) + of(LEFT) + of(RIGHT)
    }

    /// The modalities' sum, each times its weight, `weights` being `[M]`: `[1, …, 3, B, B]`.
    #[must_use]
    pub fn weighted(&self, weights: &Tensor) -> Self {
        Self(weights.unsqueeze(0).mm(&self.0.flatten(1, -1)).view_as(&self.0.narrow(0, 0, 1)))
    }
}

/// The rows `at` of each modality's `[M, n, …]`: `[M, `, sizes of `at`, `, …]`.
pub fn picked(of: &Tensor, at: &Tensor) -> Tensor {
    of.index_select(1, &at.flatten(0, -1)).unflatten(1, at.size())
}

/// What is never an alternative to a counterpart.
#[derive(Debug)]
pub enum Masks {
    /// An entity to itself, as published.
    Own,
    /// Every repetition of an entity too: factors of 0 and 1 for all three matrices, `[…, 3, B, B]`.
    Repeated(Tensor),
    /// In K blocks, of which the last is filled up with pairs that do not count: nothing is an alternative to an entity of those, nor they
    /// to anything.
    Filled {
        /// `[K, 3, B, B]`, as above.
        factors: Tensor,
        /// B over the number of pairs that count in each block, `[K, 1, 1]`.
        short: Tensor,
    },
}

impl Masks {
    /// Masks every repetition of an entity in the block; otherwise they count as negatives of themselves.
    /// `left` and `right` `[…, B]` are the entities of the pairs.
    pub fn repeated(left: &Tensor, right: &Tensor) -> Self {
        let equal = |ids: &Tensor| ids.unsqueeze(-2).eq_tensor(&ids.unsqueeze(-1));
        let (left, right) = (equal(left), equal(right));
        let own = own(&left);
        let across = left.logical_or(&right).logical_and(&own.logical_not());
        Self::Repeated(Tensor::stack(&[across, left, right], -3).logical_not().to_kind(Kind::Float))
    }

    /// The same of K blocks of B pairs, where only the first `count` of all pairs count.
    #[must_use]
    pub fn filled(self, [blocks, pairs]: [i64; 2], count: i64, device: Device) -> Self {
        if count == blocks * pairs {
            return self;
        }
        let counts = Tensor::arange(blocks * pairs, (Kind::Int64, device)).lt(count).view([blocks, pairs]);
        let short = counts.sum_dim_intlist([1_i64].as_slice(), true, Kind::Float).reciprocal() * pairs as f64;
        let both = counts.unsqueeze(-1).logical_and(&counts.unsqueeze(-2));
        let own = own(&both);
        let within = both.logical_and(&own.logical_not());
        let across = both.logical_or(&own);
        let filled = Tensor::stack(&[&across, &within, &within], -3).to_kind(Kind::Float);
        let factors = if let Self::Repeated(factors) = self { filled * factors } else { filled };
        Self::Filled { factors, short: short.unsqueeze(-1) }
    }

    /// Makes what is masked 0, in place.
    pub(super) fn apply(&self, odds: &mut Similarities) {
        match self {
            Self::Own => {
                let _ = odds.within().diagonal(0, -2, -1).fill_(0.0);
            }
            Self::Repeated(factors) | Self::Filled { factors, .. } => odds.0 *= factors,
        }
    }

    /// `factor` times what entities of a block's pairs have, `[…, s, B]`, over the number of pairs.
    pub(super) fn over_pairs(&self, of: &Tensor, factor: f64) -> Tensor {
        let pairs = of.size().last().copied().unwrap_or_default() as f64;
        let over = of * (factor / pairs);
        if let Self::Filled { short, .. } = self { over * short } else { over }
    }
}

/// Whether row and column are one entity's, `[B, B]`, for matrices `[…, B, B]`.
fn own(of: &Tensor) -> Tensor {
    Tensor::eye(of.size()[of.dim() - 1], (Kind::Bool, of.device()))
}

/// Rows of `x` `[…, D]` divided by their length.
pub fn normalise(x: &Tensor) -> Tensor {
    x / lengths(x)
}

/// The gradient of `x`, given that of `z`, its [`normalise`]d rows, and their [`lengths`] in `x`.
pub fn denormalised(gradient: &Tensor, z: &Tensor, lengths: &Tensor) -> Tensor {
    let along = (gradient * z).sum_dim_intlist([-1_i64].as_slice(), true, Kind::Float);
    let mut of_x = gradient - z * along;
    of_x /= lengths;
    of_x
}

/// Lengths of the vectors of the last dimension, `[…, 1]`; nearly 0 instead of 0.
pub fn lengths(x: &Tensor) -> Tensor {
    x.norm_scalaropt_dim(2, [-1_i64].as_slice(), true).clamp_min(1e-12)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gradient_behind_normalising_is_autograds() {
        let options = (Kind::Float, Device::Cpu);
        let x =
            Tensor::cat(&[Tensor::randn([4, 5], options), Tensor::zeros([1, 5], options)], 0).set_requires_grad(true);
        let gradient = Tensor::randn([5, 5], options);
        let z = normalise(&x);
        (&z * &gradient).sum(Kind::Float).backward();
        let found = denormalised(&gradient, &z.detach(), &lengths(&x.detach()));
        let apart = ((found - x.grad()) / (x.grad().abs() + 1.0)).abs().max();
        assert!(apart.double_value(&[]) < 1e-5);
    }
}
