//! The graph encoder (method, section 2): attention over the neighbours with diagonal weights, its gradient written
//! out as an explicit vector–Jacobian product.
//!
//! Autograd would keep an E×D gather for each head. Written out, every product is a sparse-matrix product with the
//! adjacency pattern: memory is a few N×D matrices and a few E-vectors.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, no_grad};

use super::features::Adjacency;
use super::parameters::Parameters;
use super::sparse;
use crate::gradient::accumulate;
use crate::noise;

/// Shape of the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GraphEncoderConfig {
    /// Layers; ELU between them, none after the last.
    pub layers: usize,
    /// Heads of a layer; their outputs are averaged.
    pub heads: i64,
    /// Slope of the leaky rectifier below zero.
    pub negative_slope: f64,
}

/// The adjacency pattern with what both directions of the product need; constant.
#[derive(Debug)]
pub struct Pattern {
    entities: i64,
    offsets: Tensor,
    targets: Tensor,
    /// `[E]`, the row of each edge.
    sources: Tensor,
    /// `[E]`, where the reverse of each edge is; the pattern is symmetric.
    reverse: Tensor,
    /// `[N, 1]` ones, to sum over rows.
    ones: Tensor,
}

impl Pattern {
    /// From the symmetric adjacency of `entities` entities.
    pub fn new(adjacency: &Adjacency, entities: i64) -> Self {
        let degrees = adjacency.offsets.diff::<Tensor>(1, 0, None, None);
        let sources = Tensor::arange(entities, (Kind::Int64, adjacency.offsets.device()))
            .repeat_interleave_self_tensor(&degrees, 0, adjacency.targets.size()[0]);
        // Edges are sorted by (row, column): sorting them by (column, row) lists the reverse edges.
        let reverse = (&adjacency.targets * entities + &sources).argsort(0, false);
        Self {
            entities,
            offsets: adjacency.offsets.shallow_clone(),
            targets: adjacency.targets.shallow_clone(),
            sources,
            reverse,
            ones: Tensor::ones([entities, 1], (Kind::Float, adjacency.offsets.device())),
        }
    }

    fn matrix(&self, values: &Tensor) -> Tensor {
        Tensor::internal_sparse_csr_tensor_unsafe(
            &self.offsets,
            &self.targets,
            values,
            [self.entities, self.entities],
            (values.kind(), values.device()),
        )
    }

    /// The matrix of edge values `[E]` times `dense` `[N, D]`.
    fn times(&self, values: &Tensor, dense: &Tensor) -> Tensor {
        sparse::product(&self.offsets, &self.targets, values, dense)
    }

    /// The same with the transpose.
    fn transposed_times(&self, values: &Tensor, dense: &Tensor) -> Tensor {
        self.times(&values.index_select(0, &self.reverse), dense)
    }

    /// Sums edge values over each row: `[E]` → `[N]`.
    fn row_sums(&self, values: &Tensor) -> Tensor {
        self.matrix(values).mm(&self.ones).squeeze_dim(1)
    }

    fn row_maxima(&self, values: &Tensor) -> Tensor {
        let offsets = Some(&self.offsets);
        Tensor::segment_reduce(values, "max", None, None, offsets, 0, true, f64::NEG_INFINITY)
    }
}

/// One head's constants of a forward pass, kept for the backward pass.
#[derive(Debug)]
struct HeadState {
    /// `[E]`, attention weights, each row summing to one.
    attention: Tensor,
    /// `[E]`, 1 where the logit's argument is positive, else the slope.
    slope: Tensor,
    /// `[N, D]`, attention · input.
    mixed: Tensor,
}

/// What a forward pass leaves for the backward pass.
#[derive(Debug)]
pub struct GraphState {
    /// Input of each layer, `[N, D]`; but for the first, what the activation gave.
    inputs: Vec<Tensor>,
    heads: Vec<Vec<HeadState>>,
}

/// Learnt embedding and the attention layers over it.
#[derive(Debug)]
pub struct GraphEncoder {
    config: GraphEncoderConfig,
    embedding: Tensor,
    /// For each layer `[heads, D]`, the diagonal of each head.
    weights: Vec<Tensor>,
    /// For each layer `[heads, 2D]`, the attention vector, source half first.
    attentions: Vec<Tensor>,
}

impl GraphEncoder {
    /// Adds the encoder's parameters `graph.*`: embedding ~ N(0, 1/√N), weights 1, attention ~ U(±1/√(2D)).
    pub fn new(
        config: GraphEncoderConfig,
        entities: i64,
        dim: i64,
        parameters: &mut Parameters,
        stream: &mut rand_chacha::ChaCha8Rng,
        device: tch::Device,
    ) -> Self {
        let start = noise::normal(stream, &[entities, dim], 1.0 / (entities as f32).sqrt());
        let embedding = parameters.add("graph.embedding".to_owned(), &start, device);
        let ones = Tensor::ones([config.heads, dim], (Kind::Float, device));
        let bound = 1.0 / (2.0 * dim as f32).sqrt();
        let mut weights = Vec::new();
        let mut attentions = Vec::new();
        for layer in 0..config.layers {
            weights.push(parameters.add(format!("graph.layer{layer}.weight"), &ones, device));
            let start = noise::uniform(stream, &[config.heads, 2 * dim], bound);
            attentions.push(parameters.add(format!("graph.layer{layer}.attention"), &start, device));
        }
        Self { config, embedding, weights, attentions }
    }

    /// Output `[N, D]` without gradient, and what [`Self::backward`] needs.
    pub fn forward(&self, pattern: &Pattern) -> (Tensor, GraphState) {
        no_grad(|| {
            let mut state = GraphState { inputs: Vec::new(), heads: Vec::new() };
            let mut input = self.embedding.detach();
            for layer in 0..self.config.layers {
                let heads = self.heads(layer, &input, pattern);
                let mut output = self.average(layer, &heads);
                if layer + 1 < self.config.layers {
                    output = output.elu_();
                }
                state.inputs.push(std::mem::replace(&mut input, output));
                state.heads.push(heads);
            }
            (input, state)
        })
    }

    fn heads(&self, layer: usize, input: &Tensor, pattern: &Pattern) -> Vec<HeadState> {
        // aᵀ[h_i ‖ h_j] is the sum of two N-vectors gathered per edge.
        let ends = input.mm(&self.projections(layer).tr()).tr().contiguous();
        let ends = ends.view([self.config.heads, 2, -1]).unbind(0);
        ends.iter().map(|ends| self.head(&ends.get(0), &ends.get(1), input, pattern)).collect()
    }

    /// A head over `input` `[N, D]`, given the two parts of its logits' arguments, `[N]` each.
    fn head(&self, from: &Tensor, to: &Tensor, input: &Tensor, pattern: &Pattern) -> HeadState {
        let argument = from.index_select(0, &pattern.sources) + to.index_select(0, &pattern.targets);
        let slope =
            argument.gt(0.0).to_kind(Kind::Float) * (1.0 - self.config.negative_slope) + self.config.negative_slope;
        let logits = -(&argument * &slope);
        let shifted = &logits - pattern.row_maxima(&logits).index_select(0, &pattern.sources);
        let weights = shifted.exp();
        let attention = &weights / pattern.row_sums(&weights).index_select(0, &pattern.sources);
        let mixed = pattern.times(&attention, input);
        HeadState { attention, slope, mixed }
    }

    /// The halves of each head's attention vector times its diagonal weight: `[2·heads, D]`, a head's source half first.
    fn projections(&self, layer: usize) -> Tensor {
        let weights = &self.weights[layer];
        (halves(&self.attentions[layer]) * weights.unsqueeze(1)).view([-1, weights.size()[1]])
    }

    /// Mean over the heads of (attention · input) ⊙ weight.
    fn average(&self, layer: usize, heads: &[HeadState]) -> Tensor {
        let weights = (&self.weights[layer] / self.config.heads as f64).unbind(0);
        let mut mean = &heads[0].mixed * &weights[0];
        for (head, weight) in heads.iter().zip(&weights).skip(1) {
            mean = mean.addcmul_(&head.mixed, weight);
        }
        mean
    }

    /// Adds the gradient of the parameters, given `gradient` `[N, D]` of the output, to what they hold already.
    pub fn backward(&self, gradient: &Tensor, state: &GraphState, pattern: &Pattern) {
        no_grad(|| {
            let mut gradient = gradient.shallow_clone();
            for layer in (0..self.config.layers).rev() {
                gradient = self.layer_backward(layer, &gradient, state, pattern);
                if layer > 0 {
                    // ELU's derivative is its output plus one where that is negative, and one elsewhere.
                    gradient *= state.inputs[layer].clamp_max(0.0).g_add_scalar_(1.0);
                }
            }
            accumulate(&self.embedding, 0, &gradient);
        });
    }

    /// Gradient of a layer's input, given that of its output before the activation, `[N, D]` both.
    fn layer_backward(&self, layer: usize, gradient: &Tensor, state: &GraphState, pattern: &Pattern) -> Tensor {
        let input = &state.inputs[layer];
        let (weights, attentions) = (&self.weights[layer], &self.attentions[layer]);
        let mut input_gradient = Tensor::zeros_like(input);
        let (mut mixed, mut ends) = (Vec::new(), Vec::new());
        for (weight, kept) in (weights / self.config.heads as f64).unbind(0).iter().zip(&state.heads[layer]) {
            let of_mixed = gradient * &kept.mixed;
            let pulled = gradient * weight;
            // Σ_j attention_ij ⟨pulled_i, input_j⟩ needs no edges: it is ⟨pulled_i, mixed_i⟩.
            ends.extend(kept.ends_backward(&pulled, &of_mixed.mv(weight), input, pattern));
            mixed.push(of_mixed.sum_dim_intlist([0_i64].as_slice(), false, Kind::Float));
            input_gradient += pattern.transposed_times(&kept.attention, &pulled);
        }
        let ends = Tensor::stack(&ends, 0);
        let of_projections = ends.mm(input).view([self.config.heads, 2, -1]);
        let of_weights = (&of_projections * halves(attentions)).sum_dim_intlist([1_i64].as_slice(), false, Kind::Float)
            + Tensor::stack(&mixed, 0) / self.config.heads as f64;
        accumulate(weights, 0, &of_weights);
        accumulate(attentions, 0, &(of_projections * weights.unsqueeze(1)).view_as(attentions));
        input_gradient.addmm_(&ends.tr(), &self.projections(layer))
    }
}

impl HeadState {
    /// Gradients of the two N-vectors in the logits' arguments, given `pulled` `[N, D]`, the gradient of attention · input, and
    /// `expected` `[N]`, its mean over the neighbours as `input` has it.
    fn ends_backward(&self, pulled: &Tensor, expected: &Tensor, input: &Tensor, pattern: &Pattern) -> [Tensor; 2] {
        // ⟨pulled_i, input_j⟩ on the edges only.
        let zeros = pattern.matrix(&Tensor::zeros_like(&self.attention));
        let of_attention = zeros.sparse_sampled_addmm(pulled, &input.tr()).values();
        let of_logits = &self.attention * (of_attention - expected.index_select(0, &pattern.sources));
        // Each edge's logit is −slope·(s_i + t_j): collect its gradient at both ends.
        let argument = -(of_logits * &self.slope);
        [pattern.row_sums(&argument), pattern.row_sums(&argument.index_select(0, &pattern.reverse))]
    }
}

/// The source half and the target half of each head's attention vector, `[heads, 2D]` → `[heads, 2, D]`.
fn halves(attentions: &Tensor) -> Tensor {
    attentions.view([attentions.size()[0], 2, -1])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use crate::golden::Figures;
    use crate::noise::{Purpose, Randomness};
    use std::collections::BTreeMap;
    use tch::Device;

    /// Compressed sparse rows of the recorded (row, column) pairs.
    fn adjacency(indices: &Tensor, entities: i64) -> Adjacency {
        let order = (indices.get(0) * entities + indices.get(1)).argsort(0, false);
        let rows = indices.get(0).index_select(0, &order);
        let bounds = Tensor::arange(entities + 1, (Kind::Int64, Device::Cpu));
        let offsets = bounds.searchsorted::<Tensor>(&rows, false, false, "left", None);
        Adjacency { offsets, targets: indices.get(1).index_select(0, &order) }
    }

    fn recorded(figures: &Figures) -> (GraphEncoder, Parameters, Pattern) {
        let embedding = figures.get("embedding");
        let (entities, dim) = (embedding.size()[0], embedding.size()[1]);
        let layers = (0..figures.all().len()).take_while(|layer| figures.has(&format!("layers.{layer}.w"))).count();
        let heads = figures.get("layers.0.w").size()[0];
        let config = GraphEncoderConfig { layers, heads, negative_slope: 0.2 };
        let mut parameters = Parameters::default();
        let mut stream = Randomness::Recorded.stream(Purpose::Parameters, None, 0);
        let encoder = GraphEncoder::new(config, entities, dim, &mut parameters, &mut stream, Device::Cpu);
        let mut values = BTreeMap::from([("graph.embedding".to_owned(), embedding)]);
        for layer in 0..layers {
            let w = figures.get(&format!("layers.{layer}.w"));
            let a = figures.get(&format!("layers.{layer}.a"));
            values.insert(format!("graph.layer{layer}.weight"), w.squeeze_dim(1));
            values.insert(format!("graph.layer{layer}.attention"), a.squeeze_dim(2));
        }
        parameters.assign(&values, std::path::Path::new("gat")).unwrap();
        let pattern = Pattern::new(&adjacency(&figures.get("adjacency.indices"), entities), entities);
        (encoder, parameters, pattern)
    }

    #[test]
    fn golden_graph_encoder() {
        let figures = Figures::read("gat");
        let (encoder, parameters, pattern) = recorded(&figures);
        let (output, state) = encoder.forward(&pattern);
        figures.assert_value("output", &output);
        encoder.backward(&figures.get("cotangent"), &state, &pattern);
        for (name, parameter) in parameters.iter() {
            let recorded = match name.strip_prefix("graph.layer") {
                Some(rest) => {
                    format!("layers.{}", rest.replace("weight", "w").replace("attention", "a"))
                }
                None => "embedding".to_owned(),
            };
            figures.assert_gradient(&recorded, parameter);
        }
    }
}
