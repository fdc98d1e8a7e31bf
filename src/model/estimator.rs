//! The estimator of the mutual information between two experts (CLUB; method, section 5): a diagonal Gaussian
//! predicted from one expert's output, and the bound that the experts are trained to lower.

use tch::{Device, Kind, Tensor};

use super::parameters::Parameters;
use super::precision::Precision;
use crate::modality::Modality;
use crate::noise;
use crate::product::Factor;

/// Two small networks that predict mean and log-variance, D → D/2 → D.
#[derive(Debug)]
pub struct Estimator {
    precision: Precision,
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

    /// In the kind of `x`.
    fn forward(&self, x: &Factor, frozen: bool) -> Tensor {
        let take = |tensor: &Tensor| {
            let tensor = tensor.to_kind(x.kind());
            if frozen { tensor.detach() } else { tensor }
        };
        let hidden = x.linear(&take(&self.weights[0]), Some(&take(&self.biases[0]))).relu();
        hidden.linear(&take(&self.weights[1]), Some(&take(&self.biases[1]))).dense()
    }
}

impl Estimator {
    /// Adds the parameters `estimator.<modality>.*` for expert outputs of width `dim`.
    pub fn new(
        modality: Modality,
        dim: i64,
        precision: Precision,
        parameters: &mut Parameters,
        stream: &mut rand_chacha::ChaCha8Rng,
        device: Device,
    ) -> Self {
        let mut network =
            |part: &str| Network::new(&format!("estimator.{modality}.{part}"), dim, parameters, stream, device);
        Self { precision, mean: network("mean"), log_variance: network("log_variance") }
    }

    fn predict(&self, x: &Tensor, frozen: bool) -> (Tensor, Tensor) {
        let x = Factor::new(&x.to_kind(self.precision.kind()));
        let [mean, log_variance] = [&self.mean, &self.log_variance].map(|network| network.forward(&x, frozen));
        (mean.to_kind(Kind::Float), log_variance.to_kind(Kind::Float).tanh())
    }

    /// The bound on the mutual information of two experts' `outputs` `[n, 2·D]`, a scalar, and its gradient in them,
    /// `[n, 2·D]`. `permutation` `[n]` pairs each output of the first expert with another entity's of the second. The
    /// estimator itself gets no gradient.
    pub fn upper_bound(&self, outputs: &Tensor, permutation: &Tensor) -> (Tensor, Tensor) {
        let [_, all] = halves(outputs);
        let mut sum = Sum::over(outputs);
        let (mut direct, mut permuted) = (Vec::new(), Vec::new());
        for (start, length) in blocks(outputs) {
            let [x, y] = halves(&outputs.narrow(0, start, length)).map(|half| leaf(&half));
            let other = leaf(&all.index_select(0, &permutation.narrow(0, start, length)));
            let (mean, log_variance) = self.predict(&x, true);
            let spread = (&mean - &other).square() - (&mean - &y).square();
            sum.add(&(spread * (-log_variance).exp()));
            direct.push(Tensor::cat(&[x.grad(), y.grad()], 1));
            permuted.push(other.grad());
        }
        let gradient = Tensor::cat(&direct, 0);
        let back = permutation.argsort(0, false);
        let [_, mut second] = halves(&gradient);
        second += Tensor::cat(&permuted, 0).index_select(0, &back);
        (sum.value, gradient)
    }

    /// What the estimator itself minimises, given two experts' `outputs` `[n, 2·D]`: a scalar. `share` of its gradient
    /// is added to the estimator's parameters.
    pub fn learn(&self, outputs: &Tensor, share: f64) -> Tensor {
        let mut sum = Sum { share, ..Sum::over(outputs) };
        for (start, length) in blocks(outputs) {
            let [x, y] = halves(&outputs.narrow(0, start, length));
            let (mean, log_variance) = self.predict(&x, false);
            sum.add(&((mean - y).square() * (-log_variance).exp()));
        }
        sum.value
    }
}

/// Half the mean over all rows of the sum over the columns, gathered block by block.
struct Sum {
    value: Tensor,
    rows: f64,
    /// Part of the gradient that is wanted.
    share: f64,
}

impl Sum {
    fn over(outputs: &Tensor) -> Self {
        let value = Tensor::zeros([0_i64; 0], (Kind::Float, outputs.device()));
        Self { value, rows: outputs.size()[0] as f64, share: 1.0 }
    }

    /// Adds a block `[b, D]` and runs it backwards.
    fn add(&mut self, block: &Tensor) {
        let part = block.sum(Kind::Float) / (2.0 * self.rows);
        self.value += part.detach();
        (part * self.share).backward();
    }
}

/// Rows of which everything the estimator computes on the way stays in a CPU's cache.
const ROWS: i64 = 2048;

/// Start and length of each block of rows; on a GPU all rows are one.
fn blocks(outputs: &Tensor) -> impl Iterator<Item = (i64, i64)> + use<> {
    let rows = outputs.size()[0];
    let length = if outputs.device().is_cuda() { rows.max(1) } else { ROWS };
    (0..rows).step_by(length as usize).map(move |start| (start, length.min(rows - start)))
}

/// Both experts' outputs, `[n, D]` each.
fn halves(outputs: &Tensor) -> [Tensor; 2] {
    let width = outputs.size()[1] / 2;
    [outputs.narrow(1, 0, width), outputs.narrow(1, width, width)]
}

fn leaf(tensor: &Tensor) -> Tensor {
    tensor.detach().set_requires_grad(true)
}

#[cfg(test)]
#[path = "estimator_tests.rs"]
mod tests;
