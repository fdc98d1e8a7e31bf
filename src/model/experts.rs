//! Intra-modality experts with a noisy gate (method, section 3), on the constant features of one modality.
//!
//! `W_e (x − b_e) = W_e x − W_e b_e`: all experts are one product with the features, both gates another; the features are the
//! mapped column itself (normalised after the product), some of its rows, or a sparse bag. [`super::mixture`] mixes the products.

use serde::{Deserialize, Deserializer, Serialize};
use tch::{Device, Kind, Tensor, no_grad};

use super::features::{DenseFeatures, Features};
use super::mixture::Products;
use super::parameters::Parameters;
use super::sparse::Sparse;
use crate::bounds;
use crate::gradient::accumulate;
use crate::modality::Modality;
use crate::noise;
use crate::product::Factor;

/// Shape of the experts of each modality.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpertsConfig {
    /// Experts, E. Two different ones are decoupled in every epoch.
    #[serde(deserialize_with = "at_least_two")]
    pub count: i64,
    /// Standard deviation of the initial expert weights.
    #[serde(deserialize_with = "bounds::above_zero")]
    pub initial_std: f32,
    /// What is added to the softplus of the gate's noise scale.
    #[serde(deserialize_with = "bounds::not_negative")]
    pub noise_floor: f64,
}

fn at_least_two<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    bounds::checked(from, |count: i64| count >= 2, "at least 2, since two different experts are decoupled")
}

/// Constant features of some entities, ready to be multiplied: `Σ parts` rows in all.
#[derive(Debug)]
pub struct Rows {
    parts: Vec<Part>,
    /// Row of each wanted entity in the concatenated parts; `None` if they are in order already.
    order: Option<Tensor>,
    /// `[n, 1]`, 0 for entities masked out of the modality, whose embedding is zero whatever the experts' shifts.
    mask: Option<Tensor>,
}

#[derive(Debug)]
enum Part {
    /// `[n, d]` dense, and `[n, 1]` scales to be applied after the product.
    Dense(Factor, Option<Tensor>),
    /// `[n, d]`.
    Sparse(Sparse),
    /// Rows of zeros, for entities masked out of the modality.
    Nothing(i64),
}

impl Rows {
    /// All entities that have features, in no particular order (present ones first): for statistics over the modality.
    pub fn every(features: &Features) -> Self {
        let parts = match features {
            Features::Dense(dense) => dense_parts(dense),
            Features::Bag(bag) => {
                let [offsets, columns, values] = [&bag.offsets, &bag.columns, &bag.values].map(Tensor::shallow_clone);
                vec![Part::Sparse(Sparse::new(offsets, columns, values, bag.width))]
            }
        };
        Self { parts, order: None, mask: None }
    }

    /// The entities `ids` `[n]` (int64), in that order. Rows are copied only if they are less than half of all.
    pub fn select(features: &Features, ids: &Tensor) -> Self {
        match features {
            Features::Dense(dense) => select_dense(dense, ids),
            Features::Bag(bag) => {
                let (offsets, picked) = gather_runs(&bag.offsets, ids);
                let columns = bag.columns.index_select(0, &picked);
                let values = bag.values.index_select(0, &picked);
                let parts = vec![Part::Sparse(Sparse::new(offsets, columns, values, bag.width))];
                Self { parts, order: None, mask: None }
            }
        }
    }

    /// `[n, 1]`, 0 for entities masked out of the modality; none if there are none.
    pub(super) fn mask(&self) -> Option<&Tensor> {
        self.mask.as_ref()
    }

    /// Rows · `weight`ᵀ, plus a `bias` `[k]`: `[n, k]` for a `[k, d]` weight.
    pub fn times(&self, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
        let products: Vec<Tensor> = self.parts.iter().map(|part| part.times(weight, bias)).collect();
        let all = if let [one] = products.as_slice() { one.shallow_clone() } else { Tensor::cat(&products, 0) };
        match &self.order {
            Some(order) => all.index_select(0, order),
            None => all,
        }
    }

    /// `gradient`ᵀ · rows, `[k, d]`: the gradient of the weight in [`Self::times`], given that of the product, `[n, k]`.
    fn pull(&self, gradient: &Tensor) -> Tensor {
        let gradient = match &self.order {
            // Several entities may share a row.
            Some(order) => {
                let rows = self.parts.iter().map(Part::rows).sum::<i64>();
                Tensor::zeros([rows, gradient.size()[1]], (gradient.kind(), gradient.device()))
                    .index_add(0, order, gradient)
            }
            None => gradient.shallow_clone(),
        };
        let mut start = 0;
        let pulled = self.parts.iter().filter_map(|part| {
            let own = gradient.narrow(0, start, part.rows());
            start += part.rows();
            part.pull(&own)
        });
        pulled.reduce(|sum, part| sum + part).unwrap_or_default()
    }
}

impl Part {
    fn times(&self, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
        let mut product = match self {
            Self::Dense(matrix, None) if matrix.kind() == Kind::Float => return matrix.linear(weight, bias).dense(),
            Self::Dense(matrix, None) => times_dense(matrix, weight),
            Self::Dense(matrix, Some(scale)) => times_dense(matrix, weight) * scale,
            Self::Sparse(matrix) => matrix.times(&weight.tr()),
            Self::Nothing(rows) => Tensor::zeros([*rows, weight.size()[0]], (weight.kind(), weight.device())),
        };
        if let Some(bias) = bias {
            product += bias;
        }
        product
    }

    fn rows(&self) -> i64 {
        match self {
            Self::Dense(matrix, _) => matrix.rows(),
            Self::Sparse(matrix) => matrix.rows(),
            Self::Nothing(rows) => *rows,
        }
    }

    fn pull(&self, gradient: &Tensor) -> Option<Tensor> {
        match self {
            Self::Dense(matrix, None) => Some(pull_dense(matrix, gradient)),
            Self::Dense(matrix, Some(scale)) => Some(pull_dense(matrix, &(gradient * scale))),
            Self::Sparse(matrix) => Some(matrix.transposed_times(gradient).tr()),
            Self::Nothing(_) => None,
        }
    }
}

/// `matrix` · `weight`ᵀ in the matrix's kind, as float32.
fn times_dense(matrix: &Factor, weight: &Tensor) -> Tensor {
    matrix.linear(&weight.to_kind(matrix.kind()), None).dense().to_kind(Kind::Float)
}

/// `gradient`ᵀ · `matrix` in the matrix's kind, as float32.
fn pull_dense(matrix: &Factor, gradient: &Tensor) -> Tensor {
    matrix.pull(&Factor::in_place(&gradient.to_kind(matrix.kind()))).to_kind(Kind::Float)
}

fn dense_parts(dense: &DenseFeatures) -> Vec<Part> {
    let scale = dense.scale.as_ref().map(|scale| scale.unsqueeze(1));
    let mut parts = vec![Part::Dense(Factor::in_place(&dense.present), scale)];
    if dense.imputed.size()[0] > 0 {
        parts.push(Part::Dense(Factor::in_place(&dense.imputed), None));
    }
    parts
}

fn select_dense(dense: &DenseFeatures, ids: &Tensor) -> Rows {
    let slots = dense.slots.index_select(0, ids);
    let mask = dense.mask.as_ref().map(|mask| mask.index_select(0, ids).unsqueeze(1));
    if ids.size()[0] * 2 >= dense.slots.size()[0] {
        // An entity without a row has its slot behind the last one.
        let mut parts = dense_parts(dense);
        parts.push(Part::Nothing(1));
        return Rows { parts, order: Some(slots), mask };
    }
    Rows { parts: vec![Part::Dense(Factor::new(&gathered(dense, &slots)), None)], order: None, mask }
}

/// The rows of `slots` `[n]`, normalised, as one `[n, d]`.
fn gathered(dense: &DenseFeatures, slots: &Tensor) -> Tensor {
    let mut all = Tensor::zeros([slots.size()[0], dense.width], (dense.present.kind(), slots.device()));
    let (present, imputed) = (dense.present.size()[0], dense.imputed.size()[0]);
    let among = |first: i64, end: i64| slots.ge(first).logical_and(&slots.lt(end)).nonzero().squeeze_dim(1);
    let at = among(0, present);
    let from = slots.index_select(0, &at);
    let mut rows = dense.present.index_select(0, &from);
    if let Some(scale) = &dense.scale {
        rows *= scale.index_select(0, &from).unsqueeze(1);
    }
    let _ = all.index_copy_(0, &at, &rows);
    let at = among(present, present + imputed);
    let rows = dense.imputed.index_select(0, &(slots.index_select(0, &at) - present));
    all.index_copy_(0, &at, &rows)
}

/// The positions of the runs `offsets[i]..offsets[i + 1]` of the rows `ids`, and the offsets of the picked rows.
fn gather_runs(offsets: &Tensor, ids: &Tensor) -> (Tensor, Tensor) {
    let starts = offsets.index_select(0, ids);
    let lengths = offsets.index_select(0, &(ids + 1)) - &starts;
    let zero = Tensor::zeros([1], (Kind::Int64, ids.device()));
    let new_offsets = Tensor::cat(&[zero, lengths.cumsum(0, Kind::Int64)], 0);
    let rows = ids.size()[0];
    let total = new_offsets.int64_value(&[rows]);
    let shift = (starts - new_offsets.narrow(0, 0, rows)).repeat_interleave_self_tensor(&lengths, 0, total);
    (new_offsets, shift + Tensor::arange(total, (Kind::Int64, ids.device())))
}

/// The experts and gate of one modality.
#[derive(Debug)]
pub struct Experts {
    config: ExpertsConfig,
    dim: i64,
    /// `[E·D, d]`, expert by expert.
    weight: Tensor,
    /// `[E, d]`, subtracted from the input.
    shift: Tensor,
    /// `[d, E]`.
    gate: Tensor,
    /// `[d, E]`.
    gate_noise: Tensor,
}

impl Experts {
    /// Adds the parameters `experts.<modality>.*` for inputs of `width`: weights ~ N(0, std²), the rest 0.
    pub fn new(
        config: ExpertsConfig,
        modality: Modality,
        width: i64,
        dim: i64,
        parameters: &mut Parameters,
        stream: &mut rand_chacha::ChaCha8Rng,
        device: Device,
    ) -> Self {
        let mut add = |part: &str, start: &Tensor| parameters.add(format!("experts.{modality}.{part}"), start, device);
        let zeros = |shape: [i64; 2]| Tensor::zeros(shape, (Kind::Float, device));
        let start = noise::normal(stream, &[config.count * dim, width], config.initial_std);
        Self {
            config,
            dim,
            weight: add("weight", &start),
            shift: add("shift", &zeros([config.count, width])),
            gate: add("gate", &zeros([width, config.count])),
            gate_noise: add("gate_noise", &zeros([width, config.count])),
        }
    }

    /// What the experts and the gate make of `rows`, the gate's noise included if it is `noisy`: n rows of one modality.
    pub fn products(&self, rows: &Rows, noisy: bool) -> Products {
        no_grad(|| {
            let gates = if noisy {
                Tensor::cat(&[self.gate.tr(), self.gate_noise.tr()], 0)
            } else {
                self.gate.tr().contiguous()
            };
            let [gates, outputs] = [&gates, &self.weight].map(|weight| rows.times(weight, None).unsqueeze(0));
            Products { outputs, gates, offsets: self.offsets(0, self.config.count).unsqueeze(0) }
        })
    }

    /// Adds to the parameters' gradients, given that of [`Self::products`].
    pub fn backward(&self, rows: &Rows, of: &Products) {
        no_grad(|| {
            let [outputs, gates, offsets] = [&of.outputs, &of.gates, &of.offsets].map(|of| of.squeeze_dim(0));
            self.accumulate(0, &rows.pull(&outputs), &offsets);
            let gates = rows.pull(&gates).split(self.config.count, 0);
            for (parameter, gradient) in [&self.gate, &self.gate_noise].into_iter().zip(gates) {
                accumulate(parameter, 0, &gradient.tr());
            }
        });
    }

    /// Adds to the gradients of the experts from `first` on, given those of their weights in the products, `[k·D, d]`, and of their
    /// offsets, `[k, D]`.
    fn accumulate(&self, first: i64, products: &Tensor, offsets: &Tensor) {
        let (count, dim) = (offsets.size()[0], self.dim);
        let weight = self.weight.narrow(0, first * dim, count * dim).view([count, dim, -1]);
        let shift = self.shift.narrow(0, first, count).unsqueeze(1);
        accumulate(&self.shift, first, &offsets.unsqueeze(1).bmm(&weight).squeeze_dim(1));
        accumulate(&self.weight, first * dim, products);
        let gradient = self.weight.grad().narrow(0, first * dim, count * dim);
        let _ = gradient.view([count, dim, -1]).baddbmm_(&offsets.unsqueeze(2), &shift);
    }

    /// `W_e b_e` for `count` experts from `first`: `[count, D]`.
    fn offsets(&self, first: i64, count: i64) -> Tensor {
        let dim = self.dim;
        let weight = self.weight.narrow(0, first * dim, count * dim).view([count, dim, -1]);
        weight.bmm(&self.shift.narrow(0, first, count).unsqueeze(2)).squeeze_dim(2)
    }

    /// Output of each of two experts for `rows`, as the decoupling loss reads them: `[n, 2·D]`, outside the autograd
    /// graph. [`Self::backward_pair`] is the way back.
    pub fn pair(&self, rows: &Rows, experts: (i64, i64)) -> Tensor {
        no_grad(|| {
            let [first, second] = [experts.0, experts.1].map(|expert| self.one(expert));
            let offsets = Tensor::cat(&[self.offsets(experts.0, 1), self.offsets(experts.1, 1)], 1).neg_();
            rows.times(&Tensor::cat(&[first, second], 0), Some(&offsets.squeeze_dim(0)))
        })
    }

    /// Adds `share` of it to the parameters' gradients, given the gradient of [`Self::pair`], `[n, 2·D]`, and the sum of its rows,
    /// `[2·D]`.
    pub fn backward_pair(&self, rows: &Rows, experts: (i64, i64), (gradient, sum): (&Tensor, &Tensor), share: f64) {
        no_grad(|| {
            let pulled = (rows.pull(gradient) * share).split(self.dim, 0);
            // The offsets are subtracted from every row.
            let offsets = (sum * -share).view([2, -1]);
            for (at, (expert, pulled)) in [experts.0, experts.1].into_iter().zip(pulled).enumerate() {
                self.accumulate(expert, &pulled, &offsets.narrow(0, at as i64, 1));
            }
        });
    }

    /// The weight of one expert, `[D, d]`.
    fn one(&self, expert: i64) -> Tensor {
        self.weight.narrow(0, expert * self.dim, self.dim)
    }

    /// Number of experts, E.
    pub fn count(&self) -> i64 {
        self.config.count
    }
}

#[cfg(test)]
#[path = "experts_tests.rs"]
mod tests;
