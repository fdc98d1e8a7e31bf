//! Cosines of the joint embeddings from those of the modalities.
//!
//! The joint of an entity is `concat_m(w_m·z_m)`, so its cosines are `Σ_m w_m²·cos_m` over the two norms: nothing is
//! concatenated, forwards or backwards.

use tch::{Kind, Tensor};

use super::similarity::Similarities;

/// The joint's cosines in a block or several, with what their gradient needs.
#[derive(Debug)]
pub struct Joint {
    /// `[1, …, B, B]` each.
    pub cosines: Similarities,
    /// `[M, …, B]` of the left and of the right entities: 1 where the entity takes part in the modality, else 0.
    presence: [Tensor; 2],
    /// `[…, B]` each, the squared norms of the joint embeddings.
    norms: [Tensor; 2],
}

impl Joint {
    /// From the cosines of M modalities, the squares `[M]` of the fusion's weights and the presence of the block's left
    /// and right entities, `[M, …, B]` each.
    pub fn of(cosines: &Similarities, squared: &Tensor, presence: [Tensor; 2]) -> Self {
        let norms = presence.each_ref().map(|present| {
            let sums = present.flatten(1, -1).tr().mv(squared).clamp_min(1e-24);
            sums.view_as(&present.select(0, 0))
        });
        let cosines = divided(&cosines.weighted(squared), &norms);
        Self { cosines, presence, norms }
    }

    /// Given the `gradient` of the joint's cosines: the gradient of the weighted sum of the modalities' `cosines`,
    /// `[1, …, B, B]`, and of the squared weights, `[M]`.
    pub fn pull(&self, gradient: &Similarities, cosines: &Similarities) -> (Similarities, Tensor) {
        let of_sum = divided(gradient, &self.norms);
        let Similarities { left_right, left_left, right_right } =
            gradient.zip(&self.cosines, |a, b| (a * b).squeeze_dim(0));
        let over = |matrix: &Tensor, dim: i64| matrix.sum_dim_intlist([dim].as_slice(), false, Kind::Float);
        let left = over(&left_right, -1) + over(&left_left, -2) + over(&left_left, -1);
        let right = over(&left_right, -2) + over(&right_right, -2) + over(&right_right, -1);
        let [left, right] = [(0, left), (1, right)]
            .map(|(at, sums)| self.presence[at].flatten(1, -1).mv(&(sums / &self.norms[at]).flatten(0, -1)));
        let of_weights = cosines.dot(&of_sum) - (left + right) / 2.0;
        (of_sum, of_weights)
    }
}

/// Every element over the norms of its two entities, `norms` being their squares.
fn divided(matrices: &Similarities, norms: &[Tensor; 2]) -> Similarities {
    let [left, right] = norms.each_ref().map(Tensor::rsqrt);
    let scaled = |matrix: &Tensor, rows: &Tensor, columns: &Tensor| matrix * rows.unsqueeze(-1) * columns.unsqueeze(-2);
    Similarities {
        left_right: scaled(&matrices.left_right, &left, &right),
        left_left: scaled(&matrices.left_left, &left, &left),
        right_right: scaled(&matrices.right_right, &right, &right),
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
        let joint = Joint::of(&cosines, &squared.detach(), presence);
        let given = joint.cosines.map(|matrix| random(&matrix.size()));
        let found = [&joint.cosines.left_right, &joint.cosines.left_left, &joint.cosines.right_right];
        let cotangents = [&given.left_right, &given.left_left, &given.right_right];
        let mut sum = Tensor::zeros([0_i64; 0], (Kind::Float, Device::Cpu));
        for ((expected, found), cotangent) in expected.iter().zip(found).zip(cotangents) {
            assert!((expected - found.squeeze_dim(0)).abs().max().double_value(&[]) < 1e-5);
            sum += (expected * cotangent.squeeze_dim(0)).sum(Kind::Float);
        }
        sum.backward();
        let (_, of_weights) = joint.pull(&given, &cosines);
        assert!((of_weights - squared.grad()).abs().max().double_value(&[]) < 1e-4);
    }
}
