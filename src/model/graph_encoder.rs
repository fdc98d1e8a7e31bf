//! The graph encoder (method, section 2): attention over the neighbours with diagonal weights, its gradient written
//! out as an explicit vector–Jacobian product.
//!
//! Autograd would keep an E×D gather for each head. Written out, every product is one with the adjacency pattern: memory is a few
//! N×D matrices and a few E-vectors.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, no_grad};

use super::parameters::Parameters;
use super::pattern::AggregationGradients;
pub use super::pattern::Pattern;
use crate::bounds;
use crate::gradient::accumulate;
use crate::noise;

/// Shape of the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GraphEncoderConfig {
    /// Layers; ELU between them, none after the last.
    pub layers: usize,
    /// Heads of a layer; their outputs are averaged.
    #[serde(deserialize_with = "bounds::at_least_one")]
    pub heads: i64,
    /// Slope of the leaky rectifier below zero.
    #[serde(deserialize_with = "bounds::not_negative")]
    pub negative_slope: f64,
}

/// What a layer's forward pass leaves for its backward pass.
#[derive(Debug)]
struct LayerState {
    /// `[N, D]`; but for the first layer, what the activation gave.
    input: Tensor,
    /// `[E·H]`, attention weights, each row summing to one.
    attention: Tensor,
    /// `[E·H]`, 1 where the logit's argument is positive, else the slope.
    slope: Tensor,
}

/// What a forward pass leaves for the backward pass, layer by layer.
#[derive(Debug)]
pub struct GraphState(Vec<LayerState>);

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
            let mut layers = Vec::new();
            let mut input = self.embedding.detach();
            for layer in 0..self.config.layers {
                let state = self.attend(layer, input, pattern);
                input = pattern.aggregate(&state.attention, &self.shares(layer), &state.input);
                if layer + 1 < self.config.layers {
                    let _ = input.elu_();
                }
                layers.push(state);
            }
            (input, GraphState(layers))
        })
    }

    fn attend(&self, layer: usize, input: Tensor, pattern: &Pattern) -> LayerState {
        // aᵀ[h_i ‖ h_j] is the sum of two numbers of each entity and head, gathered per edge.
        let [from, to] = halves(&input.mm(&self.projections(layer).tr()));
        let argument = pattern.at_sources(&from) + pattern.at_ends(&to);
        let slope =
            argument.gt(0.0).to_kind(Kind::Float) * (1.0 - self.config.negative_slope) + self.config.negative_slope;
        let logits = -(&argument * &slope);
        let weights = (&logits - pattern.at_sources(&pattern.row_maxima(&logits))).exp();
        let attention = &weights / pattern.at_sources(&pattern.row_sums(&weights));
        LayerState { input, attention, slope }
    }

    /// What a head's output counts for in the mean over the heads, with its diagonal weights: `[H, D]`.
    fn shares(&self, layer: usize) -> Tensor {
        &self.weights[layer] / self.config.heads as f64
    }

    /// The source halves of the heads' attention vectors times their diagonal weights, then the target halves: `[2·H, D]`.
    fn projections(&self, layer: usize) -> Tensor {
        Tensor::cat(&halves(&self.attentions[layer]).map(|half| half * &self.weights[layer]), 0)
    }

    /// Adds the gradient of the parameters, given `gradient` `[N, D]` of the output, to what they hold already.
    pub fn backward(&self, gradient: &Tensor, state: &GraphState, pattern: &Pattern) {
        no_grad(|| {
            let mut gradient = gradient.contiguous();
            for (layer, state) in state.0.iter().enumerate().rev() {
                gradient = self.layer_backward(layer, &gradient, state, pattern);
                if layer > 0 {
                    // ELU's derivative is its output plus one where that is negative, and one elsewhere.
                    gradient *= state.input.clamp_max(0.0).g_add_scalar_(1.0);
                }
            }
            accumulate(&self.embedding, 0, &gradient);
        });
    }

    /// Gradient of a layer's input, given that of its output before the activation, `[N, D]` both.
    fn layer_backward(&self, layer: usize, gradient: &Tensor, state: &LayerState, pattern: &Pattern) -> Tensor {
        let (weights, attentions) = (&self.weights[layer], &self.attentions[layer]);
        let reversed = pattern.reversed(&state.attention);
        let AggregationGradients { mut rows, shares, reversed: of_reversed } =
            pattern.aggregate_back(&reversed, &self.shares(layer), &state.input, gradient);
        let ends = state.ends(&pattern.reversed(&(reversed * of_reversed)), pattern);
        let of_projections = ends.tr().mm(&state.input).split(self.config.heads, 0);
        let of_weights = shares / self.config.heads as f64;
        let of_weights =
            of_projections.iter().zip(halves(attentions)).fold(of_weights, |sum, (of, half)| sum + of * half);
        accumulate(weights, 0, &of_weights);
        let of_attentions: Vec<Tensor> = of_projections.iter().map(|of| of * weights).collect();
        accumulate(attentions, 0, &Tensor::cat(&of_attentions, 1));
        rows.addmm_(&ends, &self.projections(layer))
    }
}

impl LayerState {
    /// Given each edge's attention times its gradient, `[E·H]`: the gradient of the numbers in the logits' arguments, `[N, 2·H]`, the
    /// edges' sources first.
    fn ends(&self, weighted: &Tensor, pattern: &Pattern) -> Tensor {
        let expected = pattern.at_sources(&pattern.row_sums(weighted));
        let of_logits = weighted - &self.attention * expected;
        // Each edge's logit is −slope·(s_i + t_j): collect its gradient at both ends.
        let argument = -(of_logits * &self.slope);
        let reversed = pattern.reversed(&argument);
        Tensor::cat(&[argument, reversed].map(|of| pattern.row_sums(&of)), 1)
    }
}

/// The source half and the target half, `[…, 2·k]` → `[…, k]` each.
fn halves(both: &Tensor) -> [Tensor; 2] {
    let half = both.size()[1] / 2;
    [0, half].map(|first| both.narrow(1, first, half))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::super::features::Adjacency;
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
        let pattern = Pattern::new(&adjacency(&figures.get("adjacency.indices"), entities), entities, heads);
        (encoder, parameters, pattern)
    }

    #[test]
    fn golden_graph_encoder() {
        golden(|pattern| pattern);
    }

    #[test]
    fn golden_graph_encoder_as_on_a_gpu() {
        golden(|pattern| pattern.in_pieces(2));
    }

    fn golden(divided: impl Fn(Pattern) -> Pattern) {
        let figures = Figures::read("gat");
        let (encoder, parameters, pattern) = recorded(&figures);
        let pattern = divided(pattern);
        let (output, state) = encoder.forward(&pattern);
        figures.assert_value("output", &output);
        // A gradient may lie in memory column by column.
        encoder.backward(&figures.get("cotangent").tr().contiguous().tr(), &state, &pattern);
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
