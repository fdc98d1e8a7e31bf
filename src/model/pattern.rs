//! The adjacency pattern of both graphs, and what a layer of attention makes of each entity's neighbours.

use tch::{Device, Kind, Tensor};

use super::features::Adjacency;
use super::floats::{floats, floats_mut};
use super::kernel::{Aggregation, Kernel};
use super::sparse;
use crate::device::threads;

/// The pattern, once for each of H heads; constant, and symmetric.
///
/// Every entity has a row for each head, one after another, so that what a head reads of the neighbours is still in the cache when
/// the next one reads it.
#[derive(Debug)]
pub struct Pattern {
    heads: i64,
    /// `[N·H + 1]`, where the edges of each row begin.
    offsets: Tensor,
    /// `[E·H]`, the neighbour at the end of each edge.
    targets: Tensor,
    /// `[E·H]`, the row each edge is in.
    sources: Tensor,
    /// `[E·H]`, the neighbour's row for the same head.
    ends: Tensor,
    /// `[E·H]`, where the reverse of each edge is.
    reverse: Tensor,
    /// `[N, 1]` ones, to sum over rows.
    ones: Tensor,
    gathers: Gathers,
}

/// How neighbours' rows are gathered.
#[derive(Debug)]
enum Gathers {
    /// On a CPU, where memory is what one waits for, in one pass.
    OnePass(Kernel),
    /// On a GPU by libtorch's sparse products, every row in pieces: it gives each to a few of its processors, and the ones with the longest
    /// row would work on long after the others.
    Products(Pieces),
}

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

/// What [`Pattern::aggregate_back`] gives.
#[derive(Debug)]
pub(super) struct AggregationGradients {
    /// `[N, D]`, of what was aggregated.
    pub(super) rows: Tensor,
    /// `[H, D]`.
    pub(super) shares: Tensor,
    /// `[E·H]`, of each edge's value, at the place of the reverse edge.
    pub(super) reversed: Tensor,
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
        let gathers = Gathers::new(adjacency, heads, &offsets);
        Self { heads, offsets, targets, sources, ends, reverse, ones, gathers }
    }

    /// Sums edge values over each row: `[E·H]` → `[N, H]`.
    pub(super) fn row_sums(&self, values: &Tensor) -> Tensor {
        let matrix = sparse::matrix(&self.offsets, &self.targets, values, self.ones.size()[0]);
        matrix.mm(&self.ones).view([-1, self.heads])
    }

    /// The greatest of each row's edge values: `[E·H]` → `[N, H]`.
    pub(super) fn row_maxima(&self, values: &Tensor) -> Tensor {
        let offsets = Some(&self.offsets);
        Tensor::segment_reduce(values, "max", None, None, offsets, 0, true, f64::NEG_INFINITY).view([-1, self.heads])
    }

    /// What the entity that each edge begins at has for the head: `[N, H]` → `[E·H]`.
    pub(super) fn at_sources(&self, entities: &Tensor) -> Tensor {
        entities.reshape([-1]).index_select(0, &self.sources)
    }

    /// What the entity that each edge ends at has for the head: `[N, H]` → `[E·H]`.
    pub(super) fn at_ends(&self, entities: &Tensor) -> Tensor {
        entities.reshape([-1]).index_select(0, &self.ends)
    }

    /// Edge values `[E·H]` as those of the reverse edges.
    pub(super) fn reversed(&self, values: &Tensor) -> Tensor {
        values.index_select(0, &self.reverse)
    }

    /// `Σ_h shares_h ∘ Σ_j values_ihj · rows_j` of every entity i, for `values` `[E·H]`, `shares` `[H, D]` and `rows` `[N, D]`: `[N, D]`.
    pub(super) fn aggregate(&self, values: &Tensor, shares: &Tensor, rows: &Tensor) -> Tensor {
        match &self.gathers {
            Gathers::OnePass(kernel) => {
                let mut output = rows.empty_like();
                kernel.aggregate(aggregation(values, shares, rows), floats_mut(&mut output), threads());
                output
            }
            Gathers::Products(_) => joined(&self.times(values, rows), shares),
        }
    }

    /// The way back from the aggregation of `input`, given the `gradient` of its result, `[N, D]` both, and its edges' values `reversed`:
    /// as every edge has its reverse, each entity can ask its neighbours for their gradients, which serve for all that is wanted.
    pub(super) fn aggregate_back(
        &self,
        reversed: &Tensor,
        shares: &Tensor,
        input: &Tensor,
        gradient: &Tensor,
    ) -> AggregationGradients {
        match &self.gathers {
            Gathers::OnePass(kernel) => {
                let (mut rows, mut values) = (gradient.empty_like(), reversed.empty_like());
                let aggregation = aggregation(reversed, shares, gradient);
                let [of_rows, of_values] = [&mut rows, &mut values].map(floats_mut);
                let of_shares = kernel.aggregate_back(aggregation, floats(input), of_rows, of_values, threads());
                AggregationGradients { rows, shares: Tensor::from_slice(&of_shares).view_as(shares), reversed: values }
            }
            Gathers::Products(pieces) => {
                let (of_heads, input) = (self.times(reversed, gradient), input.unsqueeze(1));
                AggregationGradients {
                    shares: (&of_heads * &input).sum_dim_intlist([0_i64].as_slice(), false, Kind::Float),
                    reversed: self.dots(&(input * shares), gradient, pieces),
                    rows: joined(&of_heads, shares),
                }
            }
        }
    }

    /// Every head's matrix of edge values `[E·H]` times `dense` `[N, D]`: `[N, H, D]`.
    fn times(&self, values: &Tensor, dense: &Tensor) -> Tensor {
        sparse::product(&self.offsets, &self.targets, values, dense).view([dense.size()[0], -1, dense.size()[1]])
    }

    /// `⟨left_ih, right_j⟩` of every edge, for `left` `[N, H, D]` and `right` `[N, D]`: `[E·H]`.
    fn dots(&self, left: &Tensor, right: &Tensor, Pieces { offsets, rows }: &Pieces) -> Tensor {
        let zeros = Tensor::zeros(self.targets.size(), (right.kind(), right.device()));
        let left = left.flatten(0, 1).index_select(0, rows);
        let matrix = sparse::matrix(offsets, &self.targets, &zeros, right.size()[0]);
        matrix.sparse_sampled_addmm(&left, &right.tr()).values()
    }
}

#[cfg(test)]
impl Pattern {
    /// The same, by the products of a GPU, with pieces of `size` edges.
    pub(super) fn in_pieces(self, size: i64) -> Self {
        let pieces = Pieces::new(&self.offsets, size);
        let longest = pieces.offsets.diff::<Tensor>(1, 0, None, None).max();
        assert!(
            pieces.rows.size()[0] > self.sources.max().int64_value(&[]) + 1 && longest == Tensor::from(size),
            "rows are cut"
        );
        Self { gathers: Gathers::Products(pieces), ..self }
    }
}

impl Gathers {
    /// `offsets` are the rows' of all heads, the adjacency's the entities'.
    fn new(adjacency: &Adjacency, heads: i64, offsets: &Tensor) -> Self {
        if offsets.device() != Device::Cpu {
            return Self::Products(Pieces::new(offsets, PIECE));
        }
        let [offsets, targets] = [&adjacency.offsets, &adjacency.targets].map(positions);
        Self::OnePass(Kernel::new(heads as usize, offsets, targets))
    }
}

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

fn aggregation<'a>(values: &'a Tensor, shares: &'a Tensor, rows: &'a Tensor) -> Aggregation<'a> {
    let [values, shares, rows] = [values, shares, rows].map(floats);
    Aggregation { values, shares, rows }
}

/// Int64 numbers that are not negative.
fn positions(tensor: &Tensor) -> Vec<usize> {
    let mut numbers = vec![0_i64; tensor.numel()];
    tensor.copy_data(&mut numbers, tensor.numel());
    numbers.into_iter().map(|number| number as usize).collect()
}

/// `Σ_h heads_ih ∘ shares_h`, for `heads` `[N, H, D]` and `shares` `[H, D]`: `[N, D]`.
fn joined(heads: &Tensor, shares: &Tensor) -> Tensor {
    let mut heads = heads.unbind(1).into_iter().zip(shares.unbind(0));
    let first = heads.next().map(|(head, share)| head * share).unwrap_or_default();
    heads.fold(first, |mut sum, (head, share)| sum.addcmul_(&head, &share))
}
