//! The estimator of the mutual information between two experts (CLUB; method, section 5): a diagonal Gaussian
//! predicted from one expert's output, and the bound that the experts are trained to lower.

use tch::{Device, Kind, Tensor};

use super::parameters::Parameters;
use crate::modality::Modality;
use crate::noise;

/// Two small networks that predict mean and log-variance, D → D/2 → D.
#[derive(Debug)]
pub struct Estimator {
    mean: Network,
    log_variance: Network,
}

/// Linear–ReLU–Linear.
#[derive(Debug)]
struct Network {
    /// `[D/2, D]`, `[D/2]`, `[D, D/2]`, `[D]`.
    weights: [Tensor; 2],
    biases: [Tensor; 2],
}

impl Network {
    fn new(
        name: &str,
        dim: i64,
        parameters: &mut Parameters,
        stream: &mut rand_chacha::ChaCha8Rng,
        device: Device,
    ) -> Self {
        let hidden = dim / 2;
        let mut linear = |layer: usize, out: i64, input: i64| {
            // PyTorch's Linear starts at U(±1/√fan_in), weight and bias.
            let bound = 1.0 / (input as f32).sqrt();
            let weight = noise::uniform(stream, &[out, input], bound);
            let bias = noise::uniform(stream, &[out], bound);
            (
                parameters.add(format!("{name}.{layer}.weight"), &weight, device),
                parameters.add(format!("{name}.{layer}.bias"), &bias, device),
            )
        };
        let (first, second) = (linear(0, hidden, dim), linear(1, dim, hidden));
        Self { weights: [first.0, second.0], biases: [first.1, second.1] }
    }

    fn forward(&self, x: &Tensor, frozen: bool) -> Tensor {
        let take = |tensor: &Tensor| if frozen { tensor.detach() } else { tensor.shallow_clone() };
        let hidden = x.linear(&take(&self.weights[0]), Some(&take(&self.biases[0]))).relu();
        hidden.linear(&take(&self.weights[1]), Some(&take(&self.biases[1])))
    }
}

impl Estimator {
    /// Adds the parameters `estimator.<modality>.*` for expert outputs of width `dim`.
    pub fn new(
        modality: Modality,
        dim: i64,
        parameters: &mut Parameters,
        stream: &mut rand_chacha::ChaCha8Rng,
        device: Device,
    ) -> Self {
        let mut network =
            |part: &str| Network::new(&format!("estimator.{modality}.{part}"), dim, parameters, stream, device);
        Self { mean: network("mean"), log_variance: network("log_variance") }
    }

    fn predict(&self, x: &Tensor, frozen: bool) -> (Tensor, Tensor) {
        (self.mean.forward(x, frozen), self.log_variance.forward(x, frozen).tanh())
    }

    /// The bound on the mutual information of expert outputs `x` and `y`, both `[n, D]`: a scalar.
    /// `permutation` `[n]` pairs each `x` with another's `y`. The estimator itself gets no gradient.
    pub fn upper_bound(&self, x: &Tensor, y: &Tensor, permutation: &Tensor) -> Tensor {
        let (mean, log_variance) = self.predict(x, true);
        let precision = (-log_variance).exp();
        let positive = (&mean - y).square();
        let negative = (&mean - y.index_select(0, permutation)).square();
        ((negative - positive) * precision).sum_dim_intlist([1_i64].as_slice(), false, Kind::Float).mean(Kind::Float)
            / 2.0
    }

    /// What the estimator itself minimises, given gradient-free outputs: a scalar.
    pub fn learning_loss(&self, x: &Tensor, y: &Tensor) -> Tensor {
        let (mean, log_variance) = self.predict(x, false);
        let squared = (mean - y).square() * (-log_variance).exp();
        squared.sum_dim_intlist([1_i64].as_slice(), false, Kind::Float).mean(Kind::Float) / 2.0
    }
}

#[cfg(test)]
#[path = "estimator_tests.rs"]
mod tests;
