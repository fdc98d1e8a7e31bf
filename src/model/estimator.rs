//! The estimator of the mutual information between two experts (CLUB; method, section 5): a diagonal Gaussian
//! predicted from one expert's output, and the bound that the experts are trained to lower.

use tch::{Device, Kind, Tensor, no_grad};

use super::parameters::Parameters;
use super::precision::Precision;
use crate::gradient::backward_both;
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
        let [first, second] = [0, 1].map(|layer| self.layer(layer, x.kind(), frozen));
        let hidden = x.linear(&first[0], Some(&first[1])).relu();
        hidden.linear(&second[0], Some(&second[1])).dense()
    }

    /// The same of G networks, for `x` `[G, n, D]`: a GPU is asked once for all of them.
    fn forward_all(networks: &[&Self], x: &Tensor, frozen: bool) -> Tensor {
        let stacked = |layer: usize| {
            let layers: Vec<_> = networks.iter().map(|network| network.layer(layer, x.kind(), frozen)).collect();
            [0, 1].map(|part: usize| Tensor::stack(&layers.iter().map(|layer| &layer[part]).collect::<Vec<_>>(), 0))
        };
        let ([first, first_bias], [second, second_bias]) = (stacked(0), stacked(1));
        // So that rows end on a multiple of sixteen bytes, as a GPU's fast products want them. The first of the hidden numbers that this
        // adds is always 1, and its weights are the second bias: so no pass over the output adds that.
        let (count, hidden) = first_bias.size2().unwrap_or_default();
        let spare = 8 - hidden.rem_euclid(8);
        let one = Tensor::ones([count, 1], (x.kind(), x.device()));
        let first = first.constant_pad_nd([0, 0, 0, spare]).transpose(1, 2);
        let first_bias = Tensor::cat(&[first_bias, one], 1).constant_pad_nd([0, spare - 1]).unsqueeze(1);
        let second = Tensor::cat(&[second, second_bias.unsqueeze(2)], 2).constant_pad_nd([0, spare - 1]);
        first_bias.baddbmm(x, &first, 1.0, 1.0).relu().bmm(&second.transpose(1, 2))
    }

    /// Weight and bias of a layer.
    fn layer(&self, layer: usize, kind: Kind, frozen: bool) -> [Tensor; 2] {
        [&self.weights[layer], &self.biases[layer]].map(|tensor| {
            let tensor = tensor.to_kind(kind);
            if frozen { tensor.detach() } else { tensor }
        })
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

    /// Mean and log-variance for `x` `[b, D]`.
    fn predict(&self, x: &Tensor, frozen: bool) -> [Tensor; 2] {
        let x = Factor::new(&x.to_kind(self.precision.kind()));
        [&self.mean, &self.log_variance].map(|network| network.forward(&x, frozen))
    }
}

/// Means and log-variances `[G, b, D]` for `x` `[G, b, D]`.
fn predict(estimators: &[&Estimator], x: &Tensor, frozen: bool) -> [Tensor; 2] {
    let predicted = match estimators {
        [one] if !x.device().is_cuda() => one.predict(&x.squeeze_dim(0), frozen).map(|of| of.unsqueeze(0)),
        _ => predict_all(estimators, x, frozen),
    };
    let [mean, log_variance] = predicted.map(|of| of.to_kind(Kind::Float));
    [mean, log_variance.tanh()]
}

fn predict_all(estimators: &[&Estimator], x: &Tensor, frozen: bool) -> [Tensor; 2] {
    let x = estimators.first().map_or_else(|| x.shallow_clone(), |one| x.to_kind(one.precision.kind()));
    let parts: [fn(&Estimator) -> &Network; 2] = [|one| &one.mean, |one| &one.log_variance];
    parts.map(|part| {
        let networks: Vec<&Network> = estimators.iter().map(|one| part(one)).collect();
        Network::forward_all(&networks, &x, frozen)
    })
}

/// The bounds on the mutual information of two experts' `outputs` `[G, n, 2·D]` in G modalities, their sum; and `share` of its
/// gradient in them, `[G, n, 2·D]`. `permutation` `[G·n]`, in which those of the modalities follow one another, pairs each output of
/// the first expert with another entity's of the second. The estimators themselves get no gradient.
pub fn upper_bound(estimators: &[&Estimator], outputs: &Tensor, permutation: &Tensor, share: f64) -> (Tensor, Tensor) {
    let (rows, [_, all]) = (outputs.size()[1], halves(&outputs.flatten(0, 1)));
    let gradient = outputs.empty_like();
    let [of_first, mut of_second] = halves(&gradient);
    let (mut bound, mut direct, mut permuted) = (zero(outputs), Vec::new(), Vec::new());
    for (start, length) in blocks(outputs) {
        let block = |tensor: &Tensor| tensor.narrow(1, start, length);
        let [x, y] = halves(&block(outputs));
        let picked = block(&permutation.view([-1, rows])).reshape([-1]);
        let (x, other) = (leaf(&x), all.index_select(0, &picked).view_as(&y));
        let [mean, log_variance] = predict(estimators, &x, true);
        let spread = no_grad(|| Spread::of(&mean, &log_variance, &y, other));
        bound += spread.summands.sum(Kind::Float);
        spread.backward([&mean, &log_variance], share / rows as f64);
        block(&of_first).copy_(&x.grad());
        direct.push(spread.half_of_y);
        permuted.push(spread.half_of_other);
    }
    let places = Tensor::arange(permutation.size()[0], (Kind::Int64, outputs.device()));
    let back = permutation.empty_like().scatter_(0, permutation, &places);
    let mut second = joined(&direct);
    second -= joined(&permuted).flatten(0, 1).index_select(0, &back).view_as(&second);
    second *= share / rows as f64;
    of_second.copy_(&second);
    (bound / (2.0 * rows as f64), gradient)
}

/// What the estimators themselves minimise, given two experts' `outputs` `[G, n, 2·D]` in G modalities, their sum: a scalar. `share`
/// of its gradient is added to the estimators' parameters.
pub fn learn(estimators: &[&Estimator], outputs: &Tensor, share: f64) -> Tensor {
    let rows = outputs.size()[1] as f64;
    let mut loss = zero(outputs);
    for (start, length) in blocks(outputs) {
        let [x, y] = halves(&outputs.narrow(1, start, length));
        let [mean, log_variance] = predict(estimators, &x, false);
        let (of_mean, squares) = no_grad(|| {
            let mut apart = &mean - &y;
            let of_mean = (-&log_variance).exp_() * &apart;
            apart *= &of_mean;
            (of_mean, apart)
        });
        loss += squares.sum(Kind::Float);
        backward_both([(&mean, &of_mean, share / rows), (&log_variance, &squares, -share / (2.0 * rows))]);
    }
    loss / (2.0 * rows)
}

/// `((μ − other)² − (μ − y)²)/σ²` of a block, and half its gradients, `[G, b, D]` each. What is written out here autograd would take
/// twice as many passes for.
struct Spread {
    /// These are minus the gradient in log σ², too.
    summands: Tensor,
    half_of_mean: Tensor,
    half_of_y: Tensor,
    /// Minus half the gradient in `other`.
    half_of_other: Tensor,
}

impl Spread {
    /// Nothing is kept for longer than it is needed: on a GPU each of these tensors takes a sixth of a gigabyte.
    fn of(mean: &Tensor, log_variance: &Tensor, y: &Tensor, other: Tensor) -> Self {
        let mut from_other = mean - &other;
        drop(other);
        let from_y = mean - y;
        let mut half_of_other = (-log_variance).exp_();
        let half_of_y = &from_y * &half_of_other;
        half_of_other *= &from_other;
        let half_of_mean = &half_of_other - &half_of_y;
        // (a + b)·(a − b)/σ² = (a² − b²)/σ².
        from_other += from_y;
        from_other *= &half_of_mean;
        Self { summands: from_other, half_of_mean, half_of_y, half_of_other }
    }

    /// Runs what predicted μ and log σ² backwards, `share` being that of half the sum.
    fn backward(&self, [mean, log_variance]: [&Tensor; 2], share: f64) {
        backward_both([(mean, &self.half_of_mean, share), (log_variance, &self.summands, -share / 2.0)]);
    }
}

fn zero(like: &Tensor) -> Tensor {
    Tensor::zeros([0_i64; 0], (Kind::Float, like.device()))
}

/// Blocks one behind another; one alone is not copied.
fn joined(blocks: &[Tensor]) -> Tensor {
    if let [one] = blocks { one.shallow_clone() } else { Tensor::cat(blocks, 1) }
}

/// Rows of which everything the estimator computes on the way stays in a CPU's cache.
const ROWS: i64 = 2048;

/// Start and length of each block of rows; on a GPU all rows are one.
fn blocks(outputs: &Tensor) -> impl Iterator<Item = (i64, i64)> + use<> {
    let rows = outputs.size()[1];
    let length = if outputs.device().is_cuda() { rows.max(1) } else { ROWS };
    (0..rows).step_by(length as usize).map(move |start| (start, length.min(rows - start)))
}

/// Both experts' outputs, `[…, D]` each.
fn halves(outputs: &Tensor) -> [Tensor; 2] {
    let width = outputs.size().last().map_or(0, |both| both / 2);
    [outputs.narrow(-1, 0, width), outputs.narrow(-1, width, width)]
}

fn leaf(tensor: &Tensor) -> Tensor {
    tensor.detach().set_requires_grad(true)
}

#[cfg(test)]
#[path = "estimator_tests.rs"]
mod tests;
