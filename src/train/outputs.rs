//! What experts make of the entities that are decoupled, modality by modality or of several together.

use tch::Tensor;

use crate::modality::Modality;

/// Numbers of two experts.
pub(super) type Pair = (i64, i64);

/// Outputs of two experts of each of G modalities. They are computed for the estimators' step of one epoch and read again by the
/// next: nothing changes the parameters in between.
#[derive(Debug)]
pub(super) struct Outputs {
    pub(super) of: Vec<(Modality, Pair)>,
    /// `[G, n, 2·D]`.
    pub(super) values: Tensor,
}

impl Outputs {
    /// Those that are worked on together: on a CPU, whose caches hold one modality's, each alone; on a GPU all that have equally many
    /// rows.
    pub(super) fn grouped(all: impl Iterator<Item = (Modality, Pair, Tensor)>) -> Vec<Self> {
        let mut groups: Vec<Vec<(Modality, Pair, Tensor)>> = Vec::new();
        for one in all {
            let fits = |group: &&mut Vec<(Modality, Pair, Tensor)>| {
                one.2.device().is_cuda() && group.iter().all(|other| other.2.size() == one.2.size())
            };
            match groups.iter_mut().find(fits) {
                Some(group) => group.push(one),
                None => groups.push(vec![one]),
            }
        }
        groups.into_iter().map(Self::stacked).collect()
    }

    /// One alone is not copied.
    fn stacked(group: Vec<(Modality, Pair, Tensor)>) -> Self {
        let values = match group.as_slice() {
            [(_, _, one)] => one.unsqueeze(0),
            _ => Tensor::stack(&group.iter().map(|(_, _, values)| values).collect::<Vec<_>>(), 0),
        };
        Self { of: group.into_iter().map(|(modality, pair, _)| (modality, pair)).collect(), values }
    }
}
