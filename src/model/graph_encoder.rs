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

/// The adjacency pattern of both graphs, once for each head; constant.
///
/// Every entity has a row for each of the H heads, one after another, so that what a head reads of the neighbours is still
/// in the cache when the next one reads it: the gathers are what an epoch of a large graph waits for.
#[derive(Debug)]
pub struct Pattern {
    heads: i64,
    /// All rows, `[N·H, N]`.
    rows: Rows,
    /// `[E·H]`, the row each edge is in.
    sources: Tensor,
    /// `[E·H]`, the neighbour's row for the same head.
    ends: Tensor,
    /// `[E·H]`, where the reverse of each edge is; the pattern is symmetric.
    reverse: Tensor,
    /// `[N, 1]` ones, to sum over rows.
    ones: Tensor,
    /// Every row once, in order.
    parts: Vec<Part>,
}

/// A sparse matrix with N columns that lacks its values.
#[derive(Debug)]
struct Rows {
    width: i64,
    /// `[R + 1]`.
    offsets: Tensor,
    /// `[E·H]` of as many edges as there are, the neighbour at the end of each.
    targets: Tensor,
}

impl Rows {
    fn matrix(&self, values: &Tensor) -> Tensor {
        sparse::matrix(&self.offsets, &self.targets, values, self.width)
    }
}

/// The rows of entities that follow one another. What a layer works out of an entity's neighbours is H times as large as its
/// output: part by part it never leaves the processor's caches, and neighbours that are read twice come from there.
#[derive(Debug)]
struct Part {
    /// The first entity and their number, n.
    entities: [i64; 2],
    /// The first edge's place among those of all heads, and their number, e.
    edges: [i64; 2],
    /// `[n·H, N]`.
    rows: Rows,
    /// On a GPU, which gives each row to a few of its processors: the ones with the longest row would work on long after the others.
    pieces: Option<Pieces>,
}

/// Entities of a part on a CPU; half and twice as many took as long (`docs/benchmarks.md`). A GPU is given all at once.
const TOGETHER: i64 = 1 << 10;

/// The pattern's rows cut into pieces of a few edges, as rows of their own.
#[derive(Debug)]
struct Pieces {
    /// `[P + 1]`.
    offsets: Tensor,
    /// `[P]`, the row of each piece.
    rows: Tensor,
}

/// Edges of a piece; half and twice as many took a GPU as long (`docs/benchmarks.md`).
const PIECE: i64 = 64;

impl Pieces {
    /// Of rows of edges that begin at `offsets`, pieces of at most `size`.
    fn new(offsets: &Tensor, size: i64) -> Self {
        let (rows, options) = (offsets.size()[0] - 1, (Kind::Int64, offsets.device()));
        let counts = (offsets.diff::<Tensor>(1, 0, None, None) + (size - 1)).divide_scalar_mode(size, "floor");
        let firsts = counts.cumsum(0, Kind::Int64) - &counts;
        let rows_of = Tensor::arange(rows, options).repeat_interleave_self_tensor(&counts, 0, None);
        let within = Tensor::arange(rows_of.size()[0], options) - firsts.index_select(0, &rows_of);
        let starts = offsets.index_select(0, &rows_of) + within * size;
        Self { offsets: Tensor::cat(&[starts, offsets.narrow(0, rows, 1)], 0), rows: rows_of }
    }
}

impl Pattern {
    /// From the symmetric adjacency of `entities` entities, for as many `heads`.
    pub fn new(adjacency: &Adjacency, entities: i64, heads: i64) -> Self {
        let options = (Kind::Int64, adjacency.offsets.device());
        let rows = entities * heads;
        let degrees = adjacency.offsets.diff::<Tensor>(1, 0, None, None).repeat_interleave_self_int(heads, 0, None);
        let offsets = Tensor::cat(&[Tensor::zeros([1], options), degrees.cumsum(0, Kind::Int64)], 0);
        let edges = adjacency.targets.size()[0] * heads;
        let sources = Tensor::arange(rows, options).repeat_interleave_self_tensor(&degrees, 0, edges);
        // Where each edge is among the entity's own: its place in the row, behind the row's first edge.
        let edges = Tensor::arange(edges, options) - offsets.index_select(0, &sources);
        let entity = sources.divide_scalar_mode(heads, "floor");
        let targets = adjacency.targets.index_select(0, &(edges + adjacency.offsets.index_select(0, &entity)));
        let ends = &targets * heads + sources.remainder(heads);
        // Edges are sorted by (row, neighbour): sorted by (neighbour's row, entity) they list the reverse edges.
        let reverse = (&ends * entities + entity).argsort(0, false);
        let ones = Tensor::ones([entities, 1], (Kind::Float, options.1));
        let rows = Rows { width: entities, offsets, targets };
        let together = if options.1.is_cuda() { entities } else { TOGETHER };
        Self { parts: Part::all(&rows, heads, together), heads, rows, sources, ends, reverse, ones }
    }

    /// What `of` makes of each part, `[n, D]`, as one tensor of the shape of `like`, `[N, D]`.
    fn each(&self, like: &Tensor, mut of: impl FnMut(&Part) -> Tensor) -> Tensor {
        if let [all] = &self.parts[..] {
            return of(all);
        }
        let whole = like.empty_like();
        for part in &self.parts {
            part.of(&whole).copy_(&of(part));
        }
        whole
    }

    /// Sums edge values over each row: `[E·H]` → `[N·H]`.
    fn row_sums(&self, values: &Tensor) -> Tensor {
        self.rows.matrix(values).mm(&self.ones).squeeze_dim(1)
    }

    fn row_maxima(&self, values: &Tensor) -> Tensor {
        let offsets = Some(&self.rows.offsets);
        Tensor::segment_reduce(values, "max", None, None, offsets, 0, true, f64::NEG_INFINITY)
    }

    /// Edge values `[E·H]` as those of the reverse edges.
    fn reversed(&self, values: &Tensor) -> Tensor {
        values.index_select(0, &self.reverse)
    }
}

impl Part {
    /// Of the rows of every entity, each with one for every head, parts of `together` entities.
    fn all(Rows { width, offsets, targets }: &Rows, heads: i64, together: i64) -> Vec<Self> {
        let part = |first: usize| {
            let first = first as i64;
            let count = together.min(width - first);
            let offsets = offsets.narrow(0, first * heads, count * heads + 1);
            let [start, end] = [0, -1].map(|at| offsets.int64_value(&[at]));
            let rows = Rows { width: *width, offsets: offsets - start, targets: targets.narrow(0, start, end - start) };
            let pieces = rows.offsets.device().is_cuda().then(|| Pieces::new(&rows.offsets, PIECE));
            Self { entities: [first, count], edges: [start, end - start], rows, pieces }
        };
        (0..*width as usize).step_by(together as usize).map(part).collect()
    }

    /// Its entities' part of `[N, …]`.
    fn of(&self, entities: &Tensor) -> Tensor {
        entities.narrow(0, self.entities[0], self.entities[1])
    }

    /// Every head's matrix of edge values, of all edges `[E·H]`, times `dense` `[N, D]`: `[n, H, D]`.
    fn times(&self, values: &Tensor, dense: &Tensor) -> Tensor {
        let values = values.narrow(0, self.edges[0], self.edges[1]);
        let product = sparse::product(&self.rows.offsets, &self.rows.targets, &values, dense);
        product.view([self.entities[1], -1, dense.size()[1]])
    }

    /// ⟨`left_ih`, `right_j`⟩ of every edge, for `left` `[n, H, D]` and `right` `[N, D]`: `[e]`.
    fn dots(&self, left: &Tensor, right: &Tensor) -> Tensor {
        let zeros = Tensor::zeros([self.edges[1]], (right.kind(), right.device()));
        let (left, Rows { width, targets, .. }) = (left.flatten(0, 1), &self.rows);
        let (offsets, left) = match &self.pieces {
            Some(Pieces { offsets, rows }) => (offsets, left.index_select(0, rows)),
            None => (&self.rows.offsets, left),
        };
        sparse::matrix(offsets, targets, &zeros, *width).sparse_sampled_addmm(&left, &right.tr()).values()
    }
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
                let activated = layer + 1 < self.config.layers;
                input = pattern.each(&state.input, |part| {
                    let mut output = mean(&part.times(&state.attention, &state.input), &self.weights[layer]);
                    if activated { output.elu_() } else { output }
                });
                layers.push(state);
            }
            (input, GraphState(layers))
        })
    }

    fn attend(&self, layer: usize, input: Tensor, pattern: &Pattern) -> LayerState {
        // aᵀ[h_i ‖ h_j] is the sum of two numbers of each entity and head, gathered per edge.
        let [from, to] = halves(&input.mm(&self.projections(layer).tr())).map(|half| half.reshape([-1]));
        let argument = from.index_select(0, &pattern.sources) + to.index_select(0, &pattern.ends);
        let slope =
            argument.gt(0.0).to_kind(Kind::Float) * (1.0 - self.config.negative_slope) + self.config.negative_slope;
        let logits = -(&argument * &slope);
        let shifted = &logits - pattern.row_maxima(&logits).index_select(0, &pattern.sources);
        let weights = shifted.exp();
        let attention = &weights / pattern.row_sums(&weights).index_select(0, &pattern.sources);
        LayerState { input, attention, slope }
    }

    /// The source halves of the heads' attention vectors times their diagonal weights, then the target halves: `[2·H, D]`.
    fn projections(&self, layer: usize) -> Tensor {
        Tensor::cat(&halves(&self.attentions[layer]).map(|half| half * &self.weights[layer]), 0)
    }

    /// Adds the gradient of the parameters, given `gradient` `[N, D]` of the output, to what they hold already.
    pub fn backward(&self, gradient: &Tensor, state: &GraphState, pattern: &Pattern) {
        no_grad(|| {
            let mut gradient = gradient.shallow_clone();
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
        let share = weights / self.config.heads as f64;
        let reversed = pattern.reversed(&state.attention);
        let (mut of_weights, mut of_reversed) = (weights.zeros_like(), Vec::new());
        // Every edge has its reverse, so each entity can ask its neighbours for their gradients: what reaches its input, and what its
        // input is to their attention, both of the same rows.
        let mut of_input = pattern.each(gradient, |part| {
            let input = part.of(&state.input).unsqueeze(1);
            let of_heads = part.times(&reversed, gradient);
            of_weights += (&of_heads * &input).sum_dim_intlist([0_i64].as_slice(), false, Kind::Float);
            of_reversed.push(part.dots(&(input * &share), gradient));
            // A head's weight is the same for all entities: it can wait until the neighbours are added up.
            mean(&of_heads, weights)
        });
        let ends = state.ends(&pattern.reversed(&(reversed * Tensor::cat(&of_reversed, 0))), pattern);
        let of_projections = ends.tr().mm(&state.input).split(self.config.heads, 0);
        let of_weights = of_weights / self.config.heads as f64;
        let of_weights =
            of_projections.iter().zip(halves(attentions)).fold(of_weights, |sum, (of, half)| sum + of * half);
        accumulate(weights, 0, &of_weights);
        let of_attentions: Vec<Tensor> = of_projections.iter().map(|of| of * weights).collect();
        accumulate(attentions, 0, &Tensor::cat(&of_attentions, 1));
        of_input.addmm_(&ends, &self.projections(layer))
    }
}

impl LayerState {
    /// Given each edge's attention times its gradient, `[E·H]`: the gradient of the numbers in the logits' arguments, `[N, 2·H]`, the
    /// edges' sources first.
    fn ends(&self, weighted: &Tensor, pattern: &Pattern) -> Tensor {
        let expected = pattern.row_sums(weighted).index_select(0, &pattern.sources);
        let of_logits = weighted - &self.attention * expected;
        // Each edge's logit is −slope·(s_i + t_j): collect its gradient at both ends.
        let argument = -(of_logits * &self.slope);
        let reversed = pattern.reversed(&argument);
        Tensor::cat(&[argument, reversed].map(|of| pattern.row_sums(&of).view([-1, pattern.heads])), 1)
    }
}

/// Mean over the heads of `[n, H, D]` times their weights `[H, D]`: `[n, D]`.
fn mean(heads: &Tensor, weights: &Tensor) -> Tensor {
    let weights = weights / weights.size()[0] as f64;
    let mut heads = heads.unbind(1).into_iter().zip(weights.unbind(0));
    let first = heads.next().map(|(head, weight)| head * weight).unwrap_or_default();
    heads.fold(first, |mut sum, (head, weight)| sum.addcmul_(&head, &weight))
}

/// The source half and the target half, `[…, 2·k]` → `[…, k]` each.
fn halves(both: &Tensor) -> [Tensor; 2] {
    let half = both.size()[1] / 2;
    [0, half].map(|first| both.narrow(1, first, half))
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
        let pattern = Pattern::new(&adjacency(&figures.get("adjacency.indices"), entities), entities, heads);
        (encoder, parameters, pattern)
    }

    #[test]
    fn golden_graph_encoder() {
        golden(|pattern| {
            assert_eq!(pattern.parts.len(), 1);
            pattern
        });
    }

    #[test]
    fn golden_graph_encoder_part_by_part() {
        golden(|pattern| {
            let parts = Part::all(&pattern.rows, pattern.heads, 7);
            assert!(parts.len() > 2 && pattern.rows.width % 7 > 0, "the last part is a smaller one");
            Pattern { parts, ..pattern }
        });
    }

    #[test]
    fn golden_graph_encoder_with_rows_in_pieces() {
        golden(|mut pattern| {
            for part in &mut pattern.parts {
                let pieces = Pieces::new(&part.rows.offsets, 2);
                assert!(
                    pieces.rows.size()[0] > part.rows.offsets.size()[0]
                        && pieces.offsets.diff::<Tensor>(1, 0, None, None).max() == Tensor::from(2_i64)
                );
                part.pieces = Some(pieces);
            }
            pattern
        });
    }

    fn golden(divided: impl Fn(Pattern) -> Pattern) {
        let figures = Figures::read("gat");
        let (encoder, parameters, pattern) = recorded(&figures);
        let pattern = divided(pattern);
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
