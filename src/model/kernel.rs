//! Sums over every entity's neighbours on a CPU, in one pass: each neighbour's row is fetched from memory once, for all heads and, on the
//! way back, for the products that the attention's gradient is made of. Slices in, slices out; knows no tensors.
#![allow(unsafe_code, reason = "the hint that fetches a row ahead of time takes an address")]
#![allow(
    clippy::inline_always,
    reason = "what is not part of the function that was chosen for this processor does not use its vectors"
)]

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use pulp::{Arch, Simd, WithSimd};

/// Entities that a thread takes at a time.
const TOGETHER: usize = 256;
/// How many neighbours ahead a row is asked for; one, four and eight took as long, within what the runs spread by.
const AHEAD: usize = 2;

/// The adjacency of N entities with E edges, the same for each of H heads; it has the reverse of every edge.
#[derive(Debug)]
pub(super) struct Kernel {
    arch: Arch,
    heads: usize,
    /// `[N + 1]`.
    offsets: Vec<usize>,
    /// `[E]`, the neighbour at the end of each edge.
    targets: Vec<usize>,
}

/// What entity i gets from its neighbours j: `Σ_h shares_h ∘ Σ_j values_ihj · rows_j`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Aggregation<'a> {
    /// `[E·H]`: of every entity the edges for the first head, then those for the next.
    pub(super) values: &'a [f32],
    /// `[H, D]`.
    pub(super) shares: &'a [f32],
    /// `[N, D]`.
    pub(super) rows: &'a [f32],
}

impl Kernel {
    /// From compressed rows: offsets `[N + 1]` and neighbours `[E]`.
    pub(super) fn new(heads: usize, offsets: Vec<usize>, targets: Vec<usize>) -> Self {
        Self { arch: Arch::new(), heads, offsets, targets }
    }

    /// Writes it for every entity, to `output` `[N, D]`.
    pub(super) fn aggregate(&self, aggregation: Aggregation, output: &mut [f32], threads: usize) {
        let width = aggregation.shares.len() / self.heads;
        let parts = self.parts().zip(output.chunks_mut(TOGETHER * width));
        share_out(threads, parts, |(entities, output)| {
            self.arch.dispatch(Part { kernel: self, aggregation, entities, output, back: None });
        });
    }

    /// The way back of an aggregation of `input` `[N, D]`, which is one itself: of the gradient of its result, with the reverse edges'
    /// values. Writes the gradient of the input to `of_input` `[N, D]`, that of the values, each at the place of its reverse edge, to
    /// `of_values` `[E·H]`, and returns that of the shares, `[H, D]`.
    pub(super) fn aggregate_back(
        &self,
        aggregation: Aggregation,
        input: &[f32],
        of_input: &mut [f32],
        of_values: &mut [f32],
        threads: usize,
    ) -> Vec<f32> {
        let width = aggregation.shares.len() / self.heads;
        let mut of_shares = vec![0.0; self.parts().len() * aggregation.shares.len()];
        let values = Split { rest: of_values, lengths: self.parts().map(|part| self.edges(&part).len() * self.heads) };
        let outputs =
            of_input.chunks_mut(TOGETHER * width).zip(values).zip(of_shares.chunks_mut(aggregation.shares.len()));
        share_out(threads, self.parts().zip(outputs), |(entities, ((output, of_values), of_shares))| {
            let (first, own) = (self.edges(&entities).start * self.heads, vec![0.0; of_shares.len()]);
            let back = Some(Back { input, of_values, first, of_shares, own });
            self.arch.dispatch(Part { kernel: self, aggregation, entities, output, back });
        });
        // One after another, so that the sum does not depend on who was ready first.
        let mut sum = vec![0.0; aggregation.shares.len()];
        for part in of_shares.chunks(sum.len()) {
            sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        }
        sum
    }

    /// All entities, some at a time.
    fn parts(&self) -> impl ExactSizeIterator<Item = Range<usize>> + Send {
        let entities = self.offsets.len() - 1;
        (0..entities.div_ceil(TOGETHER)).map(move |part| part * TOGETHER..((part + 1) * TOGETHER).min(entities))
    }

    /// The edges of entities that follow one another.
    fn edges(&self, entities: &Range<usize>) -> Range<usize> {
        self.offsets[entities.start]..self.offsets[entities.end]
    }
}

/// Hands out what is left of a slice, piece by piece.
struct Split<'a, L> {
    rest: &'a mut [f32],
    lengths: L,
}

impl<'a, L: Iterator<Item = usize>> Iterator for Split<'a, L> {
    type Item = &'a mut [f32];

    fn next(&mut self) -> Option<Self::Item> {
        let (piece, rest) = std::mem::take(&mut self.rest).split_at_mut(self.lengths.next()?);
        self.rest = rest;
        Some(piece)
    }
}

/// Does the work of every part, each on the first thread that is free. The threads are not those of libtorch's operators, which stay awake
/// for some milliseconds: to work on those, by OpenMP's C interface, saved a twentieth of a small epoch and nothing of a large one.
fn share_out<P>(threads: usize, parts: impl Iterator<Item = P> + Send, work: impl Fn(P) + Sync) {
    let parts = Mutex::new(parts);
    let next = || parts.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || std::iter::from_fn(next).for_each(&work);
    std::thread::scope(|scope| {
        (1..threads).for_each(|_| drop(scope.spawn(work)));
        work();
    });
}

/// The entities of a part and where what they get is written.
struct Part<'a> {
    kernel: &'a Kernel,
    aggregation: Aggregation<'a>,
    entities: Range<usize>,
    /// `[n, D]`.
    output: &'a mut [f32],
    back: Option<Back<'a>>,
}

impl WithSimd for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { kernel, aggregation: Aggregation { values, shares, rows }, entities, output, mut back } = self;
        let (heads, width) = (kernel.heads, shares.len() / kernel.heads);
        let mut sums = vec![0.0; shares.len()];
        for (entity, output) in entities.zip(output.chunks_exact_mut(width)) {
            let edges = kernel.edges(&(entity..entity + 1));
            let (first, degree) = (edges.start * heads, edges.len());
            if let Some(back) = &mut back {
                back.begin(simd, shares, row(back.input, entity, width));
            }
            sums.fill(0.0);
            for (place, edge) in edges.enumerate() {
                if let Some(&later) = kernel.targets.get(edge + AHEAD) {
                    ask_for(row(rows, later, width));
                }
                let neighbour = row(rows, kernel.targets[edge], width);
                for (head, sum) in sums.chunks_exact_mut(width).enumerate() {
                    add_scaled(simd, sum, values[first + head * degree + place], neighbour);
                }
                if let Some(back) = &mut back {
                    back.meet(simd, neighbour, first + place, degree);
                }
            }
            output.fill(0.0);
            for (sum, share) in sums.chunks_exact(width).zip(shares.chunks_exact(width)) {
                add_product(simd, output, share, sum);
            }
            if let Some(back) = &mut back {
                back.end(simd, &sums, row(back.input, entity, width));
            }
        }
    }
}

/// What the way back collects beside.
struct Back<'a> {
    /// `[N, D]`, what was aggregated on the way there.
    input: &'a [f32],
    /// `[e·H]`, of the edges of the part: `⟨shares_h ∘ input_i, rows_j⟩`.
    of_values: &'a mut [f32],
    /// The number of the first of them among all edges.
    first: usize,
    /// `[H, D]`: the sum over the part of `input_i ∘ Σ_j values_ihj · rows_j`.
    of_shares: &'a mut [f32],
    /// `[H, D]`, of the entity at hand: `shares_h ∘ input_i`.
    own: Vec<f32>,
}

impl Back<'_> {
    #[inline(always)]
    fn begin<S: Simd>(&mut self, simd: S, shares: &[f32], input: &[f32]) {
        self.own.fill(0.0);
        for (own, share) in self.own.chunks_exact_mut(input.len()).zip(shares.chunks_exact(input.len())) {
            add_product(simd, own, share, input);
        }
    }

    /// The first head's edge to this neighbour is the one numbered `edge`, and the next heads' are `degree` further on each.
    #[inline(always)]
    fn meet<S: Simd>(&mut self, simd: S, neighbour: &[f32], edge: usize, degree: usize) {
        for (head, own) in self.own.chunks_exact(neighbour.len()).enumerate() {
            self.of_values[edge - self.first + head * degree] = dot(simd, own, neighbour);
        }
    }

    #[inline(always)]
    fn end<S: Simd>(&mut self, simd: S, sums: &[f32], input: &[f32]) {
        for (of, sum) in self.of_shares.chunks_exact_mut(input.len()).zip(sums.chunks_exact(input.len())) {
            add_product(simd, of, input, sum);
        }
    }
}

#[inline(always)]
fn row(rows: &[f32], entity: usize, width: usize) -> &[f32] {
    &rows[entity * width..][..width]
}

/// sum += factor · x.
#[inline(always)]
fn add_scaled<S: Simd>(simd: S, sum: &mut [f32], factor: f32, x: &[f32]) {
    let ((sums, last_sums), (xs, last_xs)) = (S::as_mut_simd_f32s(sum), S::as_simd_f32s(x));
    let factors = simd.splat_f32s(factor);
    for (sum, x) in sums.iter_mut().zip(xs) {
        *sum = simd.mul_add_f32s(factors, *x, *sum);
    }
    for (sum, x) in last_sums.iter_mut().zip(last_xs) {
        *sum = factor.mul_add(*x, *sum);
    }
}

/// sum += x ∘ y.
#[inline(always)]
fn add_product<S: Simd>(simd: S, sum: &mut [f32], x: &[f32], y: &[f32]) {
    let (sums, last_sums) = S::as_mut_simd_f32s(sum);
    let ((xs, last_xs), (ys, last_ys)) = (S::as_simd_f32s(x), S::as_simd_f32s(y));
    for ((sum, x), y) in sums.iter_mut().zip(xs).zip(ys) {
        *sum = simd.mul_add_f32s(*x, *y, *sum);
    }
    for ((sum, x), y) in last_sums.iter_mut().zip(last_xs).zip(last_ys) {
        *sum = x.mul_add(*y, *sum);
    }
}

/// ⟨x, y⟩, in four sums that do not wait for one another.
#[inline(always)]
fn dot<S: Simd>(simd: S, x: &[f32], y: &[f32]) -> f32 {
    let ((xs, last_xs), (ys, last_ys)) = (S::as_simd_f32s(x), S::as_simd_f32s(y));
    let ((xs, single_xs), (ys, single_ys)) = (xs.as_chunks::<4>(), ys.as_chunks::<4>());
    let mut sums = [simd.splat_f32s(0.0); 4];
    for (x, y) in xs.iter().zip(ys) {
        for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
            *sum = simd.mul_add_f32s(*x, *y, *sum);
        }
    }
    for ((sum, x), y) in sums.iter_mut().zip(single_xs).zip(single_ys) {
        *sum = simd.mul_add_f32s(*x, *y, *sum);
    }
    let [a, b, c, d] = sums;
    let sum = simd.reduce_sum_f32s(simd.add_f32s(simd.add_f32s(a, b), simd.add_f32s(c, d)));
    last_xs.iter().zip(last_ys).fold(sum, |sum, (x, y)| x.mul_add(*y, sum))
}

/// Has the processor fetch a row that is read soon, where there is a hint for that.
#[inline(always)]
fn ask_for(row: &[f32]) {
    const LINE: usize = 64 / size_of::<f32>();
    for line in row.chunks(LINE) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a hint, which reads nothing; every x86-64 has it.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = line;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers from −1 to 1, other ones for another `kind`.
    fn numbers(count: usize, kind: usize) -> Vec<f32> {
        (0..count).map(|at| ((at * 7919 + kind * 104_729) % 2003) as f32 / 1001.0 - 1.0).collect()
    }

    /// Of three parts and some entities, each with up to three that follow it and with the first; one has no edges.
    fn ring(heads: usize) -> Kernel {
        let entities = 3 * TOGETHER + 5;
        let of = |entity: usize| (1..=entity % 4).map(move |step| (entity + step) % entities).chain([0]);
        let neighbours: Vec<Vec<usize>> =
            (0..entities).map(|e| if e == 1 { Vec::new() } else { of(e).collect() }).collect();
        let mut offsets = vec![0];
        offsets.extend(neighbours.iter().scan(0, |sum, of| {
            *sum += of.len();
            Some(*sum)
        }));
        Kernel::new(heads, offsets, neighbours.concat())
    }

    fn near(found: &[f32], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
            assert!((f64::from(*found) - expected).abs() < 1e-4, "{at}: {found} instead of {expected}");
        }
    }

    /// Both ways for one shape, beside sums of products one by one in double precision.
    fn check(heads: usize, width: usize) {
        let kernel = ring(heads);
        let (entities, edges) = (kernel.offsets.len() - 1, kernel.targets.len());
        let [values, shares, rows, input] =
            [(edges * heads, 0), (heads * width, 1), (entities * width, 2), (entities * width, 3)]
                .map(|(n, kind)| numbers(n, kind));
        let (mut out, mut of_values) = (vec![0.0; entities * width], vec![0.0; edges * heads]);
        let mut of_shares = vec![0.0; heads * width];
        for entity in 0..entities {
            let own = kernel.edges(&(entity..entity + 1));
            for (place, edge) in own.clone().enumerate() {
                for head in 0..heads {
                    let at = own.start * heads + head * own.len() + place;
                    for d in 0..width {
                        let [value, share, row, input] = [
                            values[at],
                            shares[head * width + d],
                            rows[kernel.targets[edge] * width + d],
                            input[entity * width + d],
                        ]
                        .map(f64::from);
                        out[entity * width + d] += share * value * row;
                        of_values[at] += share * input * row;
                        of_shares[head * width + d] += input * value * row;
                    }
                }
            }
        }
        let aggregation = Aggregation { values: &values, shares: &shares, rows: &rows };
        let found = [1, 2, 5].map(|threads| {
            let (mut forward, mut back) = (vec![9.0; out.len()], vec![9.0; out.len()]);
            let mut at_edges = vec![9.0; of_values.len()];
            kernel.aggregate(aggregation, &mut forward, threads);
            let at_shares = kernel.aggregate_back(aggregation, &input, &mut back, &mut at_edges, threads);
            [forward, back, at_edges, at_shares]
        });
        for (found, expected) in found[0].iter().zip([&out, &out, &of_values, &of_shares]) {
            near(found, expected);
        }
        assert!(found[1..].iter().all(|other| *other == found[0]), "the same with any number of threads");
    }

    #[test]
    fn both_ways_are_the_sums_of_products_they_stand_for() {
        for (heads, width) in [(1, 1), (2, 7), (3, 8), (2, 45), (1, 300)] {
            check(heads, width);
        }
    }
}
