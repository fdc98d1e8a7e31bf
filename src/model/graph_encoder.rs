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
            .repeat_interleave_self_tensor(&degrees, 0, None);
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
    /// Input of each layer, `[N, D]`.
    inputs: Vec<Tensor>,
    /// Output of each layer before the activation, `[N, D]`.
    outputs: Vec<Tensor>,
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
            let mut state = GraphState { inputs: Vec::new(), outputs: Vec::new(), heads: Vec::new() };
            let mut input = self.embedding.detach();
            for layer in 0..self.config.layers {
                let heads = self.heads(layer, &input, pattern);
                let output = self.average(layer, &heads);
                let last = layer + 1 == self.config.layers;
                let next = if last { output.shallow_clone() } else { output.elu() };
                state.inputs.push(std::mem::replace(&mut input, next));
                state.outputs.push(output);
                state.heads.push(heads);
            }
            (input, state)
        })
    }

    fn heads(&self, layer: usize, input: &Tensor, pattern: &Pattern) -> Vec<HeadState> {
        (0..self.config.heads).map(|head| self.head(layer, head, input, pattern)).collect()
    }

    fn head(&self, layer: usize, head: i64, input: &Tensor, pattern: &Pattern) -> HeadState {
        let [from, to] = self.projections(layer, head);
        // aᵀ[h_i ‖ h_j] is the sum of two N-vectors gathered per edge.
        let argument =
            input.mv(&from).index_select(0, &pattern.sources) + input.mv(&to).index_select(0, &pattern.targets);
        let slope =
            argument.gt(0.0).to_kind(Kind::Float) * (1.0 - self.config.negative_slope) + self.config.negative_slope;
        let logits = -(&argument * &slope);
        let shifted = &logits - pattern.row_maxima(&logits).index_select(0, &pattern.sources);
        let weights = shifted.exp();
        let attention = &weights / pattern.row_sums(&weights).index_select(0, &pattern.sources);
        let mixed = pattern.times(&attention, input);
        HeadState { attention, slope, mixed }
    }

    /// The two halves of a head's attention vector times its diagonal weight: `[D]` each.
    fn projections(&self, layer: usize, head: i64) -> [Tensor; 2] {
        let weight = self.weights[layer].get(head);
        let attention = self.attentions[layer].get(head);
        let dim = weight.size()[0];
        [attention.narrow(0, 0, dim) * &weight, attention.narrow(0, dim, dim) * &weight]
    }

    /// Mean over the heads of (attention · input) ⊙ weight.
    fn average(&self, layer: usize, heads: &[HeadState]) -> Tensor {
        let mut sum = Tensor::zeros_like(&heads[0].mixed);
        for (head, state) in heads.iter().enumerate() {
            sum += &state.mixed * self.weights[layer].get(head as i64);
        }
        sum / self.config.heads as f64
    }

    /// Adds the gradient of the parameters, given `gradient` `[N, D]` of the output, to what they hold already.
    pub fn backward(&self, gradient: &Tensor, state: &GraphState, pattern: &Pattern) {
        no_grad(|| {
            let mut gradient = gradient.shallow_clone();
            for layer in (0..self.config.layers).rev() {
                if layer + 1 < self.config.layers {
                    let output = &state.outputs[layer];
                    gradient *= output.clamp_max(0.0).exp();
                }
                gradient = self.layer_backward(layer, &gradient, state, pattern);
            }
            accumulate(&self.embedding, &gradient);
        });
    }

    fn layer_backward(&self, layer: usize, gradient: &Tensor, state: &GraphState, pattern: &Pattern) -> Tensor {
        let input = &state.inputs[layer];
        let gradient = gradient / self.config.heads as f64;
        let mut input_gradient = Tensor::zeros_like(input);
        let mut weight_gradients = Vec::new();
        let mut attention_gradients = Vec::new();
        for (head, kept) in state.heads[layer].iter().enumerate() {
            let (input_part, weight, attention) =
                self.head_backward(layer, head as i64, &gradient, input, kept, pattern);
            input_gradient += input_part;
            weight_gradients.push(weight);
            attention_gradients.push(attention);
        }
        accumulate(&self.weights[layer], &Tensor::stack(&weight_gradients, 0));
        accumulate(&self.attentions[layer], &Tensor::stack(&attention_gradients, 0));
        input_gradient
    }

    /// Gradients of one head: of its input `[N, D]`, its weight `[D]` and its attention vector `[2D]`.
    fn head_backward(
        &self,
        layer: usize,
        head: i64,
        gradient: &Tensor,
        input: &Tensor,
        kept: &HeadState,
        pattern: &Pattern,
    ) -> (Tensor, Tensor, Tensor) {
        let weight = self.weights[layer].get(head);
        let pulled = gradient * &weight;
        let edges = attention_backward(&pulled, input, kept, pattern);
        // Each edge's logit is −slope·(s_i + t_j): collect its gradient at both ends.
        let argument = -(edges * &kept.slope);
        let at_source = pattern.row_sums(&argument);
        let at_target = pattern.row_sums(&argument.index_select(0, &pattern.reverse));
        let [from, to] = self.projections(layer, head);
        let ends = Tensor::stack(&[&at_source, &at_target], 1);
        let input_gradient =
            pattern.transposed_times(&kept.attention, &pulled).addmm(&ends, &Tensor::stack(&[from, to], 0));
        let from_gradient = input.tr().mv(&at_source);
        let to_gradient = input.tr().mv(&at_target);
        let dim = weight.size()[0];
        let attention = self.attentions[layer].get(head);
        let weight_gradient = (gradient * &kept.mixed).sum_dim_intlist([0_i64].as_slice(), false, Kind::Float)
            + &from_gradient * attention.narrow(0, 0, dim)
            + &to_gradient * attention.narrow(0, dim, dim);
        let attention_gradient = Tensor::cat(&[from_gradient * &weight, to_gradient * &weight], 0);
        (input_gradient, weight_gradient, attention_gradient)
    }
}

/// Gradient of the softmax's logits `[E]`, given `pulled` `[N, D]`, the gradient of attention · input.
fn attention_backward(pulled: &Tensor, input: &Tensor, kept: &HeadState, pattern: &Pattern) -> Tensor {
    // ⟨pulled_i, input_j⟩ on the edges only.
    let zeros = pattern.matrix(&Tensor::zeros_like(&kept.attention));
    let of_attention = zeros.sparse_sampled_addmm(pulled, &input.tr()).values();
    // Σ_j attention_ij ⟨pulled_i, input_j⟩ needs no edges: it is ⟨pulled_i, mixed_i⟩.
    let expected = (pulled * &kept.mixed).sum_dim_intlist([1_i64].as_slice(), false, Kind::Float);
    &kept.attention * (of_attention - expected.index_select(0, &pattern.sources))
}

/// Adds to a parameter's gradient. libtorch's binding has no setter: the gradient of this sum is exactly `gradient`.
fn accumulate(parameter: &Tensor, gradient: &Tensor) {
    tch::with_grad(|| (parameter * gradient).sum(Kind::Float).backward());
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
