//! The noisy gate over the experts of one modality or several (method, section 3), and its way back, written out.

use tch::{Kind, Tensor};

/// What the rows of G modalities have been multiplied to, or the gradient of that.
#[derive(Debug)]
pub struct Products {
    /// `[G, n, E·D]`, what each expert makes of a row but for its offset.
    pub(super) outputs: Tensor,
    /// `[G, n, E]`; with noise `[G, n, 2·E]`, the noise's scales behind.
    pub(super) gates: Tensor,
    /// `[G, E, D]`, subtracted from every row's outputs.
    pub(super) offsets: Tensor,
}

/// A mixture and what its way back needs.
#[derive(Debug)]
pub struct Mixture {
    products: Products,
    /// `[G, n, E]`, adding up to one over the experts.
    shares: Tensor,
    /// `[G, n, E]`.
    noise: Option<Tensor>,
}

impl Products {
    /// Those of several modalities one after another; of one they are not copied.
    pub(super) fn joined(of: &[Self]) -> Self {
        let all = |part: fn(&Self) -> &Tensor| match of {
            [one] => part(one).shallow_clone(),
            _ => Tensor::cat(&of.iter().map(part).collect::<Vec<_>>(), 0),
        };
        Self { outputs: all(|one| &one.outputs), gates: all(|one| &one.gates), offsets: all(|one| &one.offsets) }
    }

    /// Those of the `place`-th modality alone, G = 1.
    pub(super) fn of(&self, place: i64) -> Self {
        let Self { outputs, gates, offsets } = self;
        let [outputs, gates, offsets] = [outputs, gates, offsets].map(|all| all.narrow(0, place, 1));
        Self { outputs, gates, offsets }
    }
}

impl Mixture {
    /// The mixed outputs `[G, n, D]`; `noise` `[G, n, E]` perturbs the gates, `floor` being what is added to its learnt scale.
    pub(super) fn of(products: Products, noise: Option<Tensor>, floor: f64) -> (Tensor, Self) {
        let experts = products.offsets.size()[1];
        let logits = match &noise {
            Some(noise) => {
                let [clean, scale] = [0, 1].map(|half| products.gates.narrow(-1, half * experts, experts));
                clean + noise * (scale.softplus() + floor)
            }
            None => products.gates.shallow_clone(),
        };
        let mixture = Self { shares: logits.softmax(-1, Kind::Float), products, noise };
        let Products { offsets, .. } = &mixture.products;
        let mixed = mixture.shares.flatten(0, 1).unsqueeze(1).bmm(&mixture.outputs()).squeeze_dim(1);
        let mixed = mixed.view([offsets.size()[0], -1, offsets.size()[2]]);
        (mixed.baddbmm(&mixture.shares, offsets, 1.0, -1.0), mixture)
    }

    /// `[G·n, E, D]`.
    fn outputs(&self) -> Tensor {
        let Products { outputs, offsets, .. } = &self.products;
        outputs.view([-1, offsets.size()[1], offsets.size()[2]])
    }

    /// The gradient of the products, given that of the mixed outputs, `[G, n, D]`.
    pub(super) fn pull(&self, gradient: &Tensor) -> Products {
        let Products { outputs, gates, offsets } = &self.products;
        let of_outputs = self.shares.unsqueeze(-1) * gradient.unsqueeze(-2);
        let of_shares = self.outputs().bmm(&gradient.flatten(0, 1).unsqueeze(2)).view_as(&self.shares);
        let of_shares = of_shares.baddbmm(gradient, &offsets.transpose(1, 2), 1.0, -1.0);
        let of_logits = Tensor::internal_softmax_backward_data(&of_shares, &self.shares, -1, Kind::Float);
        let of_gates = match &self.noise {
            Some(noise) => {
                let experts = offsets.size()[1];
                let scale = gates.narrow(-1, experts, experts);
                // β and threshold are those that libtorch's softplus takes by itself.
                let of_scale = scale.softplus_backward(&(&of_logits * noise), 1.0, 20.0);
                Tensor::cat(&[of_logits, of_scale], -1)
            }
            None => of_logits,
        };
        Products {
            outputs: of_outputs.view_as(outputs),
            gates: of_gates,
            offsets: self.shares.transpose(1, 2).bmm(gradient).neg_(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    fn numbers(shape: &[i64], factor: f64) -> Tensor {
        (Tensor::arange(shape.iter().product::<i64>(), (Kind::Float, Device::Cpu)) * factor).sin().view(shape)
    }

    fn products(noisy: bool) -> Products {
        let leaf = |shape: &[i64], factor| numbers(shape, factor).set_requires_grad(true);
        let gates = if noisy { 6 } else { 3 };
        Products { outputs: leaf(&[2, 5, 12], 0.7), gates: leaf(&[2, 5, gates], 1.3), offsets: leaf(&[2, 3, 4], 0.9) }
    }

    #[test]
    fn the_way_back_gives_what_autograd_gives() {
        for noise in [None, Some(numbers(&[2, 5, 3], 2.1))] {
            let products = products(noise.is_some());
            let leaves = [&products.outputs, &products.gates, &products.offsets].map(Tensor::shallow_clone);
            let (mixed, mixture) = Mixture::of(products, noise, 0.01);
            let gradient = numbers(&[2, 5, 4], 0.4);
            (&mixed * &gradient).sum(Kind::Float).backward();
            let found = tch::no_grad(|| mixture.pull(&gradient));
            for (found, leaf) in [found.outputs, found.gates, found.offsets].iter().zip(leaves) {
                let apart = (found - leaf.grad()).abs().max().double_value(&[]);
                assert!(apart < 1e-6, "{apart}");
            }
        }
    }

    #[test]
    fn several_modalities_together_are_each_by_itself() {
        let noise = numbers(&[2, 5, 3], 2.1);
        let both = products(true);
        let each = [0, 1].map(|place| Mixture::of(both.of(place), Some(noise.narrow(0, place, 1)), 0.01).0);
        let joined = Products::joined(&[both.of(0), both.of(1)]);
        assert_eq!(Mixture::of(joined, Some(noise), 0.01).0, Tensor::cat(&each, 0));
    }
}
