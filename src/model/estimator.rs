//! The estimators of the mutual information between two experts (CLUB; method, section 5): a diagonal Gaussian
//! predicted from one expert's output, and the bound that the experts are trained to lower. The ways back are written out.

use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, Tensor, no_grad};

use super::parameters::Parameters;
use super::precision::Precision;
use crate::gradient::accumulate;
use crate::noise;
use crate::product::Factor;

/// An estimator for each of G modalities: two small networks, D → D/2 → D, that predict the mean and, by way of a tanh, the
/// logarithm of the variance.
#[derive(Debug)]
pub struct Estimators {
    precision: Precision,
    hidden: Layer,
    output: Layer,
}

/// A layer of both networks of every modality.
#[derive(Debug)]
struct Layer {
    /// `[G, 2, out, in]`.
    weight: Tensor,
    /// `[G, 2, out]`.
    bias: Tensor,
}

impl Layer {
    /// Adds `estimator.<name>.*`, given weight and bias of each modality's networks.
    fn new(name: &str, drawn: &[[Tensor; 2]], parameters: &mut Parameters, device: Device) -> Self {
        let [weight, bias] = [("weight", 0), ("bias", 1)].map(|(part, at): (_, usize)| {
            let all = Tensor::stack(&drawn.iter().map(|of| &of[at]).collect::<Vec<_>>(), 0);
            let shape = all.size();
            let pairs = [&[shape[0] / 2, 2], &shape[1..]].concat();
            parameters.add(format!("estimator.{name}.{part}"), &all.view(pairs.as_slice()), device)
        });
        Self { weight, bias }
    }

    /// Of one modality without a dimension for it, of several `[count, …]`; in `kind`.
    fn of(&self, first: i64, count: i64, kind: Kind) -> [Tensor; 2] {
        [&self.weight, &self.bias].map(|all| {
            let of = all.detach().narrow(0, first, count).to_kind(kind);
            if count == 1 { of.squeeze_dim(0) } else { of }
        })
    }
}

impl Estimators {
    /// Adds the parameters `estimator.*` for expert outputs of width `dim`, drawn from each modality's stream; there must be one.
    pub fn new(
        dim: i64,
        precision: Precision,
        parameters: &mut Parameters,
        streams: impl Iterator<Item = ChaCha8Rng>,
        device: Device,
    ) -> Self {
        let half = dim / 2;
        let (mut hidden, mut output) = (Vec::new(), Vec::new());
        for mut stream in streams {
            for _network in 0..2 {
                hidden.push(linear(&mut stream, half, dim));
                output.push(linear(&mut stream, dim, half));
            }
        }
        let mut layer = |name: &str, drawn: &[[Tensor; 2]]| Layer::new(name, drawn, parameters, device);
        Self { precision, hidden: layer("hidden", &hidden), output: layer("output", &output) }
    }

    /// The bounds on the mutual information of two experts' `outputs` `[g, n, 2·D]` in g modalities, from the `first` estimator's on,
    /// their sum; and n times its gradient in them, `[g, n, 2·D]`. `permutation` `[g·n]`, in which those of the modalities follow one
    /// another, pairs each output of the first expert with another entity's of the second. The estimators themselves get no gradient.
    pub fn upper_bound(&self, first: i64, outputs: &Tensor, permutation: &Tensor) -> (Tensor, Tensor) {
        no_grad(|| {
            let (rows, [_, all]) = (outputs.size()[1], halves(&outputs.flatten(0, 1)));
            let gradient = outputs.empty_like();
            let [of_first, of_second] = halves(&gradient);
            let networks = Networks::new(self, first, outputs);
            let (mut bound, mut direct, mut permuted) = (zero(outputs), Vec::new(), Vec::new());
            for (start, length) in blocks(outputs) {
                let block = |tensor: &Tensor| tensor.narrow(1, start, length);
                let [x, y] = halves(&block(outputs));
                let picked = block(&permutation.view([-1, rows])).reshape([-1]);
                let (predicted, other) = (networks.predict(&x), all.index_select(0, &picked).view_as(&y));
                let spread = Spread::of(&predicted, &y, other);
                bound += spread.summands.sum(Kind::Float);
                let of_outputs = networks.of_outputs(&predicted, [&spread.half_of_mean, &spread.summands]);
                networks.pull_input(&networks.pull_hidden(&predicted, &of_outputs), &block(&of_first));
                direct.push(spread.half_of_y);
                permuted.push(spread.half_of_other);
            }
            let places = Tensor::arange(permutation.size()[0], (Kind::Int64, outputs.device()));
            let back = permutation.empty_like().scatter_(0, permutation, &places);
            let permuted = joined(&permuted).flatten(0, 1).index_select(0, &back).view_as(&of_second);
            let _ = joined(&direct).sub_out(&of_second, &permuted);
            (bound / (2.0 * rows as f64), gradient)
        })
    }

    /// What the estimators themselves minimise, from the `first` on, given two experts' `outputs` `[g, n, 2·D]` in g modalities, their
    /// sum: a scalar. `share` of its gradient is added to the estimators' parameters.
    pub fn learn(&self, first: i64, outputs: &Tensor, share: f64) -> Tensor {
        no_grad(|| {
            let (count, rows) = (outputs.size()[0], outputs.size()[1] as f64);
            let networks = Networks::new(self, first, outputs);
            let (mut loss, mut gradients) = (zero(outputs), None);
            for (start, length) in blocks(outputs) {
                let [x, y] = halves(&outputs.narrow(1, start, length));
                let predicted = networks.predict(&x);
                let mut apart = &predicted.mean - &y;
                let of_mean = predicted.log_precision.exp() * &apart;
                apart *= &of_mean;
                loss += apart.sum(Kind::Float);
                let of_outputs = networks.of_outputs(&predicted, [&of_mean, &apart]);
                let of_hidden = networks.pull_hidden(&predicted, &of_outputs);
                add(&mut gradients, networks.pull_weights(&predicted, &of_hidden, &of_outputs));
            }
            for (parameter, gradient) in self.parameters().into_iter().zip(gradients.into_iter().flatten()) {
                let shape = [&[count], &parameter.size()[1..]].concat();
                accumulate(parameter, first, &(gradient.reshape(shape.as_slice()) * (share / rows)));
            }
            loss / (2.0 * rows)
        })
    }

    /// In the order of [`Networks::pull_weights`].
    fn parameters(&self) -> [&Tensor; 4] {
        [&self.hidden.weight, &self.hidden.bias, &self.output.weight, &self.output.bias]
    }
}

/// Weight `[out, in]` and bias `[out]` as PyTorch's Linear starts: U(±1/√in).
fn linear(stream: &mut ChaCha8Rng, out: i64, input: i64) -> [Tensor; 2] {
    let bound = 1.0 / (input as f32).sqrt();
    [noise::uniform(stream, &[out, input], bound), noise::uniform(stream, &[out], bound)]
}

/// The networks of some modalities' estimators, ready to be multiplied with: "…" below is g where there are several.
struct Networks {
    /// D/2.
    half: i64,
    /// `[…, 2·W, D]` and `[…, 2·W]`, one network's behind the other's, W being D/2 and what a GPU has for padding.
    hidden: [Tensor; 2],
    /// `[…, D, W]` of either network and, unless it is in the padding, `[…, D]`. Those of the log-variance are negated: with them it
    /// predicts the logarithm of 1/σ².
    outputs: [(Tensor, Option<Tensor>); 2],
}

/// What the networks make of one expert's output, and what their way back needs.
struct Predicted {
    /// `[…, b, D]`.
    x: Factor,
    /// `[…, b, 2·W]`.
    hidden: Tensor,
    /// `[g, b, D]`.
    mean: Tensor,
    /// The logarithm of 1/σ², `[g, b, D]`.
    log_precision: Tensor,
}

impl Networks {
    /// From the `first` estimator's on, as many as `outputs` `[g, n, 2·D]` are of.
    fn new(of: &Estimators, first: i64, outputs: &Tensor) -> Self {
        let (count, kind) = (outputs.size()[0], of.precision.kind());
        let ([weight, bias], [out_weight, out_bias]) =
            (of.hidden.of(first, count, kind), of.output.of(first, count, kind));
        let half = bias.size().last().copied().unwrap_or_default();
        // So that rows end on a multiple of sixteen bytes, as a GPU's fast products want them; several at once are a GPU's, or a test's.
        // The first of the hidden numbers that this adds is always 1, and its weights are the second bias: so no pass over the output
        // adds that.
        let spare = if count > 1 || outputs.device().is_cuda() { 8 - half.rem_euclid(8) } else { 0 };
        let padded = spare > 0;
        let out_weight = if padded {
            Tensor::cat(&[out_weight, out_bias.unsqueeze(-1)], -1).constant_pad_nd([0, spare - 1])
        } else {
            out_weight
        };
        let output = |network: i64| {
            let [weight, bias] = [(&out_weight, -3), (&out_bias, -2)].map(|(of, dim)| of.select(dim, network));
            let signed = |tensor: Tensor| if network == 0 { tensor } else { -tensor };
            (signed(weight), (!padded).then(|| signed(bias)))
        };
        let hidden = [
            weight.constant_pad_nd([0, 0, 0, spare]).flatten(-3, -2),
            bias.pad([0, spare], "constant", 1.0).flatten(-2, -1),
        ];
        Self { half, hidden, outputs: [output(0), output(1)] }
    }

    /// For `x` `[g, b, D]`.
    fn predict(&self, x: &Tensor) -> Predicted {
        let [weight, bias] = &self.hidden;
        let x = self.rows(x);
        let hidden = x.linear(weight, Some(bias)).relu().dense();
        let output = |network: usize| {
            let (weight, bias) = &self.outputs[network];
            let output = self.rows(&own(&hidden, network)).linear(weight, bias.as_ref());
            let output = output.dense().to_kind(Kind::Float);
            if output.dim() == 2 { output.unsqueeze(0) } else { output }
        };
        let (mean, log_precision) = (output(0), output(1).tanh_());
        Predicted { x, hidden, mean, log_precision }
    }

    /// Rows `[g, b, …]` or `[…, b, …]`, about to be multiplied.
    fn rows(&self, rows: &Tensor) -> Factor {
        let weight = &self.hidden[0];
        if weight.dim() == 3 {
            return Factor::in_place(&rows.to_kind(weight.kind()));
        }
        Factor::new(&rows.view(&rows.size()[rows.dim() - 2..]).to_kind(weight.kind()))
    }

    /// Gradients of what the output layers give before the tanh, `[…, b, D]` each, from that of the mean and twice that of
    /// `log_precision`, `[g, b, D]`: the second is twice what it is.
    fn of_outputs(&self, predicted: &Predicted, [of_mean, twice]: [&Tensor; 2]) -> [Factor; 2] {
        [of_mean, &Tensor::tanh_backward(twice, &predicted.log_precision)].map(|gradient| self.rows(gradient))
    }

    /// The gradient of what the hidden layers give before they are rectified, `[…, b, 2·W]`.
    fn pull_hidden(&self, predicted: &Predicted, of_outputs: &[Factor; 2]) -> Tensor {
        let all = predicted.hidden.empty_like();
        for (network, gradient) in of_outputs.iter().enumerate() {
            let weight = &self.outputs[network].0;
            let weight = if network == 0 { weight.shallow_clone() } else { weight * 0.5 };
            let [place, hidden] = [&all, &predicted.hidden].map(|of| own(of, network));
            let _ = hidden.threshold_backward_grad_input(&place, &gradient.times(&weight).dense(), 0.0);
        }
        all
    }

    /// Leaves the gradient of `x` in `place` `[g, b, D]`, given that of the hidden numbers.
    fn pull_input(&self, of_hidden: &Tensor, place: &Tensor) {
        self.rows(of_hidden).times_into(&self.hidden[0], &like(place, of_hidden));
    }

    /// Gradients of weights and biases: `[…, 2, D/2, D]`, `[…, 2, D/2]`, `[…, 2, D, D/2]` and `[…, 2, D]`.
    fn pull_weights(&self, predicted: &Predicted, of_hidden: &Tensor, of_outputs: &[Factor; 2]) -> [Tensor; 4] {
        let halves = |of: Tensor, dim: i64| of.unflatten(dim, [2, -1]).narrow(dim, 0, self.half);
        let sum = |of: &Tensor| of.sum_dim_intlist([-2_i64].as_slice(), false, Kind::Float);
        let outputs = [0, 1].map(|network: usize| {
            let gradient = &of_outputs[network];
            let weight = self.rows(&own(&predicted.hidden, network)).pull(gradient).to_kind(Kind::Float);
            let bias = match self.outputs[network].1 {
                Some(_) => sum(&gradient.dense()),
                None => weight.select(-1, self.half),
            };
            let signed = |of: Tensor| if network == 0 { of } else { of * -0.5 };
            [signed(weight.narrow(-1, 0, self.half)), signed(bias)]
        });
        let both = |part: usize, dim: i64| Tensor::stack(&[&outputs[0][part], &outputs[1][part]], dim);
        let weight = predicted.x.pull(&self.rows(of_hidden)).to_kind(Kind::Float);
        [halves(weight, -2), halves(sum(of_hidden), -1), both(0, -3), both(1, -2)]
    }
}

/// One network's part of what is `[…, b, 2·W]`.
fn own(hidden: &Tensor, network: usize) -> Tensor {
    let width = hidden.size().last().map_or(0, |both| both / 2);
    hidden.narrow(-1, network as i64 * width, width)
}

/// A tensor `[g, b, D]`, without the first dimension if `other` has two.
fn like(tensor: &Tensor, other: &Tensor) -> Tensor {
    if other.dim() == 2 { tensor.squeeze_dim(0) } else { tensor.shallow_clone() }
}

/// Adds up the gradients of blocks.
fn add(sums: &mut Option<[Tensor; 4]>, gradients: [Tensor; 4]) {
    match sums {
        None => *sums = Some(gradients),
        Some(sums) => sums.iter_mut().zip(gradients).for_each(|(sum, gradient)| *sum += gradient),
    }
}

/// `((μ − other)² − (μ − y)²)/σ²` of a block, and half its gradients, `[g, b, D]` each.
struct Spread {
    /// These are the gradient in log 1/σ², too.
    summands: Tensor,
    half_of_mean: Tensor,
    half_of_y: Tensor,
    /// Minus half the gradient in `other`.
    half_of_other: Tensor,
}

impl Spread {
    /// Nothing is kept for longer than it is needed: on a GPU each of these tensors takes a sixth of a gigabyte.
    fn of(Predicted { mean, log_precision, .. }: &Predicted, y: &Tensor, other: Tensor) -> Self {
        let mut from_other = mean - &other;
        drop(other);
        let from_y = mean - y;
        let mut half_of_other = log_precision.exp();
        let half_of_y = &from_y * &half_of_other;
        half_of_other *= &from_other;
        let half_of_mean = &half_of_other - &half_of_y;
        // (a + b)·(a − b)/σ² = (a² − b²)/σ².
        from_other += from_y;
        from_other *= &half_of_mean;
        Self { summands: from_other, half_of_mean, half_of_y, half_of_other }
    }
}

fn zero(like: &Tensor) -> Tensor {
    Tensor::zeros([0_i64; 0], (Kind::Float, like.device()))
}

/// Blocks one behind another; one alone is not copied.
fn joined(blocks: &[Tensor]) -> Tensor {
    if let [one] = blocks { one.shallow_clone() } else { Tensor::cat(blocks, 1) }
}

/// Rows of which everything the estimators compute on the way stays in a CPU's cache.
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

#[cfg(test)]
#[path = "estimator_tests.rs"]
mod tests;
