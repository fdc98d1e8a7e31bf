//! What the model reads: the constant inputs of each modality as tensors. Built by `inputs`, never recomputed.

use tch::Tensor;

use crate::modality::PerModality;

/// The graph structure of both graphs together, in compressed sparse rows: entity `i`'s neighbours (itself included)
/// are `targets[offsets[i]..offsets[i + 1]]`, ascending.
#[derive(Debug)]
pub struct Adjacency {
    /// `[N + 1]`, int64.
    pub offsets: Tensor,
    /// `[E]`, int64.
    pub targets: Tensor,
}

/// A vector modality. Row `i` of `present` belongs to entity `rows[i]`; the model reads `present[i] · scale[i]`, so a
/// mapped column is normalised without being copied.
#[derive(Debug)]
pub struct DenseFeatures {
    /// Floats per vector, d.
    pub width: i64,
    /// `[P, d]`, float32 as in the store, or bfloat16; the experts multiply in the same kind.
    pub present: Tensor,
    /// `[P]`, int64, ascending entity ids.
    pub rows: Tensor,
    /// `[P]`, float32, 1/‖row‖.
    pub scale: Tensor,
    /// `[M]`, int64, the entities without a vector that are given an imputed one; empty if missing ones are masked.
    pub imputed_rows: Tensor,
    /// `[M, d]`, of the same kind, unit length.
    pub imputed: Tensor,
    /// `[N]`, float32, 1 where the entity takes part in this modality, 0 where it is masked out.
    pub mask: Option<Tensor>,
}

/// A bag modality in compressed sparse rows over all N entities.
#[derive(Debug)]
pub struct BagFeatures {
    /// Columns, d.
    pub width: i64,
    /// `[N + 1]`, int64.
    pub offsets: Tensor,
    /// `[nnz]`, int64, ascending within a row.
    pub columns: Tensor,
    /// `[nnz]`, float32.
    pub values: Tensor,
}

/// The features of one of the five modalities with experts.
#[derive(Debug)]
pub enum Features {
    /// Vectors.
    Dense(DenseFeatures),
    /// A sparse bag.
    Bag(BagFeatures),
}

/// Everything constant the model reads.
#[derive(Debug)]
pub struct ModelInputs {
    /// N, entities of both graphs.
    pub entities: i64,
    /// Entities of the left graph; ids below this are left.
    pub left: i64,
    /// The graph structure.
    pub adjacency: Adjacency,
    /// The features; `graph` is always `None` (it is learnt), an absent modality is `None` and left out of the fusion.
    pub features: PerModality<Option<Features>>,
}

impl Features {
    /// Floats per vector, or columns of the bag.
    pub fn width(&self) -> i64 {
        match self {
            Self::Dense(dense) => dense.width,
            Self::Bag(bag) => bag.width,
        }
    }
}
