//! What experts make of the entities that are decoupled, modality by modality or of several together.

use tch::Tensor;

use crate::modality::Modality;

/// Numbers of two experts.
pub(super) type Pair = (i64, i64);

/// Outputs of two experts of each of G modalities. They are computed for the estimators' step of one epoch and read again by the
/// next: nothing changes the parameters in between.
#[derive(Debug)]
pub(super) struct Outputs {
    /// Place of the first modality among those with experts; the others follow it.
    pub(super) first: i64,
    pub(super) of: Vec<(Modality, Pair)>,
    /// `[G, n, 2·D]`.
    pub(super) values: Tensor,
}

impl Outputs {
    /// Of all modalities with experts, in order, those that are worked on together: on a CPU, whose caches hold one modality's, each
    /// alone; on a GPU those that follow one another and have equally many rows.
    pub(super) fn grouped(all: impl Iterator<Item = (Modality, Pair, Tensor)>) -> Vec<Self> {
        let all: Vec<_> = all.collect();
        let fits = |one: &Tensor, other: &Tensor| one.device().is_cuda() && one.size() == other.size();
        let mut first = 0;
        let groups = all.chunk_by(|(_, _, one), (_, _, other)| fits(one, other)).map(|group| {
            let of = group.iter().map(|(modality, pair, _)| (*modality, *pair)).collect();
            // One alone is not copied.
            let values = match group {
                [(_, _, one)] => one.unsqueeze(0),
                _ => Tensor::stack(&group.iter().map(|(_, _, values)| values).collect::<Vec<_>>(), 0),
            };
            first += group.len() as i64;
            Self { first: first - group.len() as i64, of, values }
        });
        groups.collect()
    }
}
