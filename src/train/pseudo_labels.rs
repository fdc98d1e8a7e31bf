//! Pseudo-labels: mutual nearest neighbours among the entities without a known link join the training list for as long as
//! they stay mutual. The generator is given the seeds and the model's vectors; it has no way to see a test link.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::align::neighbours::Neighbours;
use crate::evidence::Evidence;
use crate::inputs::links::Link;

/// When pseudo-labels are looked for, and which are believed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PseudoLabelsConfig {
    /// Whether to generate any.
    pub enabled: bool,
    /// Epochs before the first round.
    pub start: usize,
    /// Epochs from one round to the next.
    pub every: usize,
    /// Neighbours of the CSLS correction.
    pub csls_k: usize,
    /// Pairs whose CSLS score is below this are not believed.
    pub least_score: f64,
}

impl PseudoLabelsConfig {
    /// Whether a round is due when so many epochs are done.
    pub fn due(&self, epochs: usize) -> bool {
        self.enabled && epochs >= self.start.max(1) && (epochs - self.start).is_multiple_of(self.every.max(1))
    }
}

/// The entities of each side that no known link names; ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unlinked {
    /// Left ids.
    pub left: Vec<u32>,
    /// Right ids.
    pub right: Vec<u32>,
}

impl Unlinked {
    /// All entities but those of `known` links.
    pub fn of<'a>(left: usize, entities: usize, known: impl IntoIterator<Item = &'a Link>) -> Self {
        let linked: HashSet<u32> = known.into_iter().flatten().copied().collect();
        let free =
            |range: std::ops::Range<usize>| range.map(|id| id as u32).filter(|id| !linked.contains(id)).collect();
        Self { left: free(0..left), right: free(left..entities) }
    }
}

/// One round: the pairs of unlinked entities that are each other's nearest neighbour now. They replace the pairs of the
/// round before, so a pair that is no longer mutual is dropped.
///
/// `vectors` is `[N, d]`, one joint vector per entity, of unit length; evidence is learnt from the seeds alone.
///
/// # Errors
/// If libtorch refuses.
pub fn round(
    vectors: &Tensor,
    evidence: Option<&Evidence>,
    unlinked: &Unlinked,
    config: &PseudoLabelsConfig,
) -> Result<Vec<Link>, tch::TchError> {
    if unlinked.left.is_empty() || unlinked.right.is_empty() {
        return Ok(Vec::new());
    }
    let rows = |ids: &[u32]| {
        let ids: Vec<i64> = ids.iter().map(|id| i64::from(*id)).collect();
        vectors.f_index_select(0, &Tensor::from_slice(&ids).to_device(vectors.device()))
    };
    let evidence = evidence.map(|evidence| evidence.between(&unlinked.left, &unlinked.right));
    let [left, right] = [rows(&unlinked.left)?, rows(&unlinked.right)?];
    let near = Neighbours::between(&left, &right, evidence.as_ref(), config.csls_k)?;
    let mutual = near.mutual().filter(|pair| f64::from(pair.score) >= config.least_score);
    Ok(mutual.map(|pair| [unlinked.left[pair.left], unlinked.right[pair.right]]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: PseudoLabelsConfig =
        PseudoLabelsConfig { enabled: true, start: 20, every: 10, csls_k: 1, least_score: -10.0 };

    fn vectors(rows: &[[f32; 2]]) -> Tensor {
        Tensor::from_slice2(rows)
    }

    #[test]
    fn rounds_are_due_from_the_start_on() {
        let due: Vec<usize> = (0..45).filter(|epochs| CONFIG.due(*epochs)).collect();
        assert_eq!(due, [20, 30, 40]);
        assert!(!PseudoLabelsConfig { enabled: false, ..CONFIG }.due(20));
    }

    #[test]
    fn mutual_neighbours_are_found_and_dropped_when_no_longer_mutual() {
        let unlinked = Unlinked::of(3, 6, &[[0, 3]]);
        assert_eq!(unlinked, Unlinked { left: vec![1, 2], right: vec![4, 5] });
        let apart = vectors(&[[1., 0.], [1., 0.], [0., 1.], [1., 0.], [1., 0.], [0., 1.]]);
        assert_eq!(round(&apart, None, &unlinked, &CONFIG).unwrap(), [[1, 4], [2, 5]]);
        let crossed = vectors(&[[1., 0.], [1., 0.], [0., 1.], [1., 0.], [0., 1.], [1., 0.]]);
        assert_eq!(round(&crossed, None, &unlinked, &CONFIG).unwrap(), [[1, 5], [2, 4]]);
        let unsure = PseudoLabelsConfig { least_score: 10.0, ..CONFIG };
        assert!(round(&apart, None, &unlinked, &unsure).unwrap().is_empty());
    }

    #[test]
    fn without_unlinked_entities_there_are_no_pairs() {
        let unlinked = Unlinked::of(1, 2, &[[0, 1]]);
        assert!(round(&vectors(&[[1., 0.], [1., 0.]]), None, &unlinked, &CONFIG).unwrap().is_empty());
    }
}
