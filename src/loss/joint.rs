//! Cosines of the joint embeddings from those of the modalities.
//!
//! The joint of an entity is `concat_m(w_m·z_m)`, so its cosines are `Σ_m w_m²·cos_m` over the two norms, or `Σ_m w_im·w_jm·cos_m` if
//! each entity has weights of its own: nothing is concatenated, forwards or backwards.

use tch::{Kind, Tensor};

use super::similarity::{Similarities, picked};

/// How much each modality counts in the joint embeddings of entities that are laid out in some shape, `…` below: in a row, or in a block
/// or several as `[…, 2, B]`, the left and the right ones.
#[derive(Debug)]
pub enum Weights {
    /// As much for all entities.
    Shared {
        /// Squares of the weights, `[M]`.
        squared: Tensor,
        /// `[M, …]`, 1 where the entity takes part in the modality, else 0.
        presence: Tensor,
    },
    /// Each entity's own weights, 0 where it takes no part, `[M, …]`.
    Own(Tensor),
}

/// The joint's cosines in a block or several, with what their gradient needs.
#[derive(Debug)]
pub struct Joint {
    /// `[1, …, 3, B, B]`.
    pub cosines: Similarities,
    weights: Weights,
    norms: Norms,
}

/// Norms of the joint embeddings of the left and the right entities.
#[derive(Debug)]
struct Norms {
    /// `[…, 2, B]`, their squares.
    squares: Tensor,
    /// `[…, 3, B]` each, one over those of the rows and of the columns of the three matrices.
    inverse: [Tensor; 2],
}

impl Joint {
    /// From the cosines of M modalities and their weights.
    pub fn of(cosines: &Similarities, weights: Weights) -> Self {
        let norms = Norms::of(&weights.squares());
        let cosines = norms.divided(&weights.sum(cosines));
        Self { cosines, weights, norms }
    }

    /// Given the `gradient` of the joint's cosines: that of the weighted sum of the modalities' `cosines`, `[1, …, 3, B, B]`, and
    /// that of the squared weights, `[M]`, or of the entities' own, `[M, …, 2, B]`.
    pub fn pull(&self, gradient: &Similarities, cosines: &Similarities) -> (Similarities, Tensor) {
        let of_sum = self.norms.divided(gradient);
        let products = gradient.zip(&self.cosines, |a, b| (a * b).squeeze_dim(0));
        let of_norms = of_entities([-1, -2].map(|dim| sum(products.all(), dim))) / &self.norms.squares;
        let of_weights = self.weights.gradient(&of_sum, cosines, &of_norms);
        (of_sum, of_weights)
    }

    /// Given the gradient of the weighted sum: that of the cosines of `count` modalities from the `first`.
    pub fn of_modalities(&self, of_sum: &Similarities, first: i64, count: i64) -> Similarities {
        let part = |of: &Tensor| of.narrow(0, first, count);
        of_sum.map(|of_sum| match &self.weights {
            Weights::Shared { squared, .. } => {
                let each = [&[-1][..], &vec![1; of_sum.dim() - 1]].concat();
                of_sum * part(squared).view(each.as_slice())
            }
            Weights::Own(own) => scaled(of_sum, &of_matrices(&part(own))),
        })
    }
}

impl Weights {
    /// What of them is learnt.
    pub fn learnt(&self) -> &Tensor {
        match self {
            Self::Shared { squared, .. } => squared,
            Self::Own(own) => own,
        }
    }

    /// Of entities in a row those at the places `at` `[…]`, without gradient.
    #[must_use]
    pub fn at(&self, at: &Tensor) -> Self {
        match self {
            Self::Shared { squared, presence } => {
                Self::Shared { squared: squared.detach(), presence: picked(presence, at) }
            }
            Self::Own(own) => Self::Own(picked(&own.detach(), at)),
        }
    }

    /// Squares of the norms of the joint embeddings, `[…, 2, B]`.
    fn squares(&self) -> Tensor {
        match self {
            Self::Shared { squared, presence } => {
                presence.flatten(1, -1).tr().mv(squared).view_as(&presence.select(0, 0))
            }
            Self::Own(own) => own.square().sum_dim_intlist([0_i64].as_slice(), false, Kind::Float),
        }
    }

    /// The weighted sum of the modalities' cosines.
    fn sum(&self, cosines: &Similarities) -> Similarities {
        match self {
            Self::Shared { squared, .. } => cosines.weighted(squared),
            Self::Own(own) => cosines.map(|cosines| {
                scaled(cosines, &of_matrices(own)).sum_dim_intlist([0_i64].as_slice(), true, Kind::Float)
            }),
        }
    }

    /// Their gradient, as [`Joint::pull`] gives it, from that of the weighted sum; `of_norms` `[…, 2, B]` is minus twice that of the
    /// squares of the norms.
    fn gradient(&self, of_sum: &Similarities, cosines: &Similarities, of_norms: &Tensor) -> Tensor {
        match self {
            Self::Shared { presence, .. } => {
                let of_presence = presence.flatten(1, -1).mv(&of_norms.flatten(0, -1));
                cosines.dot(of_sum) - of_presence / 2.0
            }
            Self::Own(own) => {
                let products = cosines.zip(of_sum, |a, b| a * b);
                let [rows, columns] = of_matrices(own);
                let over = |other: &Tensor, dim: i64| sum(&(products.all() * other), dim);
                of_entities([over(&columns.unsqueeze(-2), -1), over(&rows.unsqueeze(-1), -2)]) - own * of_norms
            }
        }
    }
}

impl Norms {
    fn of(squares: &Tensor) -> Self {
        let squares = squares.clamp_min(1e-24);
        Self { inverse: of_matrices(&squares.rsqrt()), squares }
    }

    /// Every element over the norms of its two entities.
    fn divided(&self, matrices: &Similarities) -> Similarities {
        matrices.map(|all| scaled(all, &self.inverse))
    }
}

/// From something of the left and of the right entities, `[…, 2, B]`, that of the rows and of the columns of the three matrices,
/// `[…, 3, B]` each: left with right, left with left, right with right.
fn of_matrices(sides: &Tensor) -> [Tensor; 2] {
    [0, 1].map(|side| Tensor::cat(&[sides.narrow(-2, side, 1), sides.shallow_clone()], -2))
}

/// The way back: the sum of what an entity has in rows and in columns.
fn of_entities([rows, columns]: [Tensor; 2]) -> Tensor {
    let within = |sums: &Tensor| sums.narrow(-2, 1, 2);
    let across = Tensor::stack(&[rows.select(-2, 0), columns.select(-2, 0)], -2);
    across + within(&rows) + within(&columns)
}

/// Every element of the matrices times what its row and its column have.
fn scaled(all: &Tensor, [rows, columns]: &[Tensor; 2]) -> Tensor {
    let mut scaled = all * rows.unsqueeze(-1);
    scaled *= columns.unsqueeze(-2);
    scaled
}

fn sum(of: &Tensor, dim: i64) -> Tensor {
    of.sum_dim_intlist([dim].as_slice(), false, Kind::Float)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::similarity::normalise;
    use tch::Device;

    fn random(shape: &[i64]) -> Tensor {
        Tensor::randn(shape, (Kind::Float, Device::Cpu))
    }

    /// Concatenates the joint embeddings, `weights` `[M, 4]` of the left and of the right entities at hand, and lets autograd find the
    /// gradient of `parameter` that `ours` and [`Joint`] write out.
    fn assert_concatenated(weights: &[Tensor; 2], parameter: &Tensor, ours: Weights) {
        let unit = |weights: &Tensor| {
            normalise(&random(&[3, 4, 5])) * weights.detach().gt(0.0).to_kind(Kind::Float).unsqueeze(2)
        };
        let [left, right] = weights.each_ref().map(|weights| unit(weights).set_requires_grad(true));
        let concatenated =
            |z: &Tensor, weights: &Tensor| normalise(&(z * weights.unsqueeze(2)).permute([1, 0, 2]).reshape([4, -1]));
        let (l, r) = (concatenated(&left, &weights[0]), concatenated(&right, &weights[1]));
        let expected = [l.mm(&r.tr()), l.mm(&l.tr()), r.mm(&r.tr())];
        let sides = [&left, &right].map(Tensor::detach);
        let cosines = Similarities::of_block(&sides[0], &sides[1]);
        let joint = Joint::of(&cosines, ours);
        let given = joint.cosines.map(|matrix| random(&matrix.size()));
        let [found, cotangents] = [&joint.cosines, &given].map(|of| of.all().squeeze_dim(0).unbind(0));
        let mut sum = Tensor::zeros([0_i64; 0], (Kind::Float, Device::Cpu));
        for ((expected, found), cotangent) in expected.iter().zip(found).zip(cotangents) {
            assert!((expected - found).abs().max().double_value(&[]) < 1e-5);
            sum += (expected * cotangent).sum(Kind::Float);
        }
        sum.backward();
        let (of_sum, of_weights) = joint.pull(&given, &cosines);
        assert!((of_weights - parameter.grad()).abs().max().double_value(&[]) < 1e-4);
        // The norms take the vectors for unit ones: along those the gradients differ, where normalising drops them. That of a modality
        // an entity takes no part in ends at its mask.
        let across = |of: &Tensor, z: &Tensor| {
            let along = (of * z).sum_dim_intlist([2_i64].as_slice(), true, Kind::Float);
            (of - z * along) * z.any_dim(2, true)
        };
        let of_sides = joint.of_modalities(&of_sum, 0, 3).pull(&sides[0], &sides[1]);
        for ((found, z), leaf) in of_sides.iter().zip(&sides).zip([&left, &right]) {
            assert!((across(found, z) - across(&leaf.grad(), z)).abs().max().double_value(&[]) < 1e-4);
        }
    }

    /// `[2, 3, 4]`, 0 for one left entity in all modalities but the first.
    fn presence() -> Tensor {
        let presence = Tensor::ones([2, 3, 4], (Kind::Float, Device::Cpu));
        let _ = presence.get(0).narrow(0, 1, 2).narrow(1, 1, 1).zero_();
        presence
    }

    #[test]
    fn shared_weights_give_the_cosines_and_gradients_of_concatenated_embeddings() {
        let squared = Tensor::from_slice(&[0.2_f32, 0.5, 0.9]).set_requires_grad(true);
        let presence = presence();
        let weights = [0, 1].map(|side| squared.sqrt().unsqueeze(1) * presence.get(side));
        let ours = Weights::Shared { squared: squared.detach(), presence: presence.transpose(0, 1) };
        assert_concatenated(&weights, &squared, ours);
    }

    #[test]
    fn own_weights_give_them_too() {
        let own = (random(&[3, 2, 4]).abs() * presence().transpose(0, 1)).set_requires_grad(true);
        let weights = [0, 1].map(|side| own.select(1, side));
        assert_concatenated(&weights, &own, Weights::Own(own.detach()));
    }
}
