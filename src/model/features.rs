//! What the model reads: the constant inputs of each modality as tensors. Built by `inputs`, never recomputed.

use tch::{Kind, Tensor};

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

/// A vector modality. The model reads `present[i] · scale[i]`, so a mapped column is normalised without being copied; float32 that is
/// copied to a GPU is normalised on the way.
#[derive(Debug)]
pub struct DenseFeatures {
    /// Floats per vector, d.
    pub width: i64,
    /// `[P, d]`, float32 as in the store, or bfloat16; the experts multiply in the same kind.
    pub present: Tensor,
    /// `[P]`, float32, 1/‖row‖; none if the rows are of unit length.
    pub scale: Option<Tensor>,
    /// `[M, d]`, of the same kind, unit length; empty if entities without a vector are masked, or these rows follow the present ones.
    pub imputed: Tensor,
    /// `[N]`, int64, of [`slots`]: each entity's row in `present` followed by `imputed`.
    pub slots: Tensor,
    /// `[N]`, float32, 1 where the entity takes part in this modality, 0 where it is masked out.
    pub mask: Option<Tensor>,
}

/// Where each of N entities' row is, given the entities `[P]` that have a vector and those `[M]` that are given one, both int64, in
/// the order of their rows: `[N]`, P + M for the others.
pub fn slots(present: &Tensor, imputed: &Tensor, entities: i64) -> Tensor {
    let options = (Kind::Int64, present.device());
    let (first, end) = (present.size()[0], present.size()[0] + imputed.size()[0]);
    Tensor::full([entities], end, options).index_copy(0, present, &Tensor::arange(first, options)).index_copy(
        0,
        imputed,
        &Tensor::arange_start(first, end, options),
    )
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
