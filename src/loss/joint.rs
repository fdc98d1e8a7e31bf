//! Cosines of the joint embeddings from those of the modalities.
//!
//! The joint of an entity is `concat_m(w_m·z_m)`, so its cosines are `Σ_m w_m²·cos_m` over the two norms: nothing is
//! concatenated, forwards or backwards.

use tch::{Kind, Tensor};

use super::similarity::Similarities;

/// The joint's cosines in a block or several, with what their gradient needs.
#[derive(Debug)]
pub struct Joint {
    /// `[1, …, 3, B, B]`.
    pub cosines: Similarities,
    /// `[M, …, 2, B]` of the left and of the right entities: 1 where the entity takes part in the modality, else 0.
    presence: Tensor,
    norms: Norms,
}

/// Norms of the joint embeddings of the left and the right entities.
#[derive(Debug)]
struct Norms {
    /// `[…, 2, B]`, their squares.
    squares: Tensor,
    /// `[…, 3, B]` each, one over those of the rows and of the columns of the three matrices.
    rows: Tensor,
    columns: Tensor,
}

impl Joint {
    /// From the cosines of M modalities, the squares `[M]` of the fusion's weights and the presence of the block's left
    /// and right entities, `[M, …, 2, B]`.
    pub fn of(cosines: &Similarities, squared: &Tensor, presence: Tensor) -> Self {
        let norms = Norms::of(&presence, squared);
        let cosines = norms.divided(&cosines.weighted(squared));
        Self { cosines, presence, norms }
    }

    /// Given the `gradient` of the joint's cosines: the gradient of the weighted sum of the modalities' `cosines`,
    /// `[1, …, 3, B, B]`, and of the squared weights, `[M]`.
    pub fn pull(&self, gradient: &Similarities, cosines: &Similarities) -> (Similarities, Tensor) {
        let of_sum = self.norms.divided(gradient);
        let products = gradient.zip(&self.cosines, |a, b| (a * b).squeeze_dim(0));
        let over = |dim: i64| products.all().sum_dim_intlist([dim].as_slice(), false, Kind::Float);
        let (rows, columns) = (over(-1), over(-2));
        let within = |sums: &Tensor| sums.narrow(-2, 1, 2);
        let across = Tensor::stack(&[rows.select(-2, 0), columns.select(-2, 0)], -2);
        let sums = (across + within(&rows) + within(&columns)) / &self.norms.squares;
        let of_norms = self.presence.flatten(1, -1).mv(&sums.flatten(0, -1));
        let of_weights = cosines.dot(&of_sum) - of_norms / 2.0;
        (of_sum, of_weights)
    }
}

impl Norms {
    fn of(presence: &Tensor, squared: &Tensor) -> Self {
        let squares = presence.flatten(1, -1).tr().mv(squared).clamp_min(1e-24).view_as(&presence.select(0, 0));
        let inverse = squares.rsqrt();
        // Left with right, left with left, right with right.
        let before = |side: i64| Tensor::cat(&[inverse.narrow(-2, side, 1), inverse.shallow_clone()], -2);
        Self { rows: before(0), columns: before(1), squares }
    }

    /// Every element over the norms of its two entities.
    fn divided(&self, matrices: &Similarities) -> Similarities {
        matrices.map(|all| {
            let mut scaled = all * self.rows.unsqueeze(-1);
            scaled *= self.columns.unsqueeze(-2);
            scaled
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::similarity::normalise;
    use tch::Device;

    fn random(shape: &[i64]) -> Tensor {
        Tensor::randn(shape, (Kind::Float, Device::Cpu))
    }

    /// Concatenates the joint embeddings and lets autograd find what [`Joint`] writes out.
    #[test]
    fn cosines_and_gradients_are_those_of_the_concatenated_embeddings() {
        let (left, right) = (normalise(&random(&[3, 4, 5])), normalise(&random(&[3, 4, 5])));
        let present = |absent: i64| {
            Tensor::ones([3, 4], (Kind::Float, Device::Cpu)).index_fill(1, &Tensor::from(absent).view([1]), 0.0)
        };
        let presence = [present(1).index_fill(0, &Tensor::from(0_i64).view([1]), 1.0), Tensor::ones_like(&present(0))];
        let squared = Tensor::from_slice(&[0.2_f32, 0.5, 0.9]).set_requires_grad(true);
        let (left, right) = (left * presence[0].unsqueeze(2), right * presence[1].unsqueeze(2));
        let concatenated =
            |z: &Tensor| normalise(&(z * squared.sqrt().view([-1, 1, 1])).permute([1, 0, 2]).reshape([4, -1]));
        let (l, r) = (concatenated(&left), concatenated(&right));
        let expected = [l.mm(&r.tr()), l.mm(&l.tr()), r.mm(&r.tr())];
        let cosines = Similarities::of_block(&left, &right);
        let joint = Joint::of(&cosines, &squared.detach(), Tensor::stack(&presence, 1));
        let given = joint.cosines.map(|matrix| random(&matrix.size()));
        let [found, cotangents] = [&joint.cosines, &given].map(|of| of.all().squeeze_dim(0).unbind(0));
        let mut sum = Tensor::zeros([0_i64; 0], (Kind::Float, Device::Cpu));
        for ((expected, found), cotangent) in expected.iter().zip(found).zip(cotangents) {
            assert!((expected - found).abs().max().double_value(&[]) < 1e-5);
            sum += (expected * cotangent).sum(Kind::Float);
        }
        sum.backward();
        let (_, of_weights) = joint.pull(&given, &cosines);
        assert!((of_weights - squared.grad()).abs().max().double_value(&[]) < 1e-4);
    }
}
