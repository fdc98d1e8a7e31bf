//! Pseudo-labels: mutual nearest neighbours among the entities without a known link join the training list for as long as
//! they stay mutual. The generator is given the seeds and the model's vectors; it has no way to see a test link.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::align::{self, Candidates, Decoding};
use crate::bounds;
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
    #[serde(deserialize_with = "bounds::at_least_one")]
    pub every: usize,
    /// Neighbours of the CSLS correction.
    #[serde(deserialize_with = "bounds::at_least_one")]
    pub csls_k: usize,
    /// Pairs whose CSLS score is below this are not believed.
    #[serde(deserialize_with = "bounds::number")]
    pub least_score: f64,
}

impl PseudoLabelsConfig {
    /// Whether a round is due when so many epochs are done.
    pub fn due(&self, epochs: usize) -> bool {
        let start = self.start.max(1);
        self.enabled && epochs >= start && (epochs - start).is_multiple_of(self.every.max(1))
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
    unlinked: &Candidates,
    config: &PseudoLabelsConfig,
) -> Result<Vec<Link>, tch::TchError> {
    let mutual = align::decode(vectors, evidence, unlinked, Decoding::Mutual, config.csls_k)?;
    let believed = mutual.into_iter().filter(|pair| f64::from(pair.score) >= config.least_score);
    let mut links: Vec<Link> = believed.map(|pair| [pair.left, pair.right]).collect();
    links.sort_unstable();
    Ok(links)
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
        let at_once = PseudoLabelsConfig { start: 0, every: 20, ..CONFIG };
        let due: Vec<usize> = (0..45).filter(|epochs| at_once.due(*epochs)).collect();
        assert_eq!(due, [1, 21, 41], "nothing is learnt before the first epoch");
        assert!(!PseudoLabelsConfig { enabled: false, ..CONFIG }.due(20));
    }

    #[test]
    fn mutual_neighbours_are_found_and_dropped_when_no_longer_mutual() {
        let unlinked = Candidates::without(&[[0, 3]], 3, 6);
        assert_eq!(unlinked, Candidates { left: vec![1, 2], right: vec![4, 5] });
        let apart = vectors(&[[1., 0.], [1., 0.], [0., 1.], [1., 0.], [1., 0.], [0., 1.]]);
        assert_eq!(round(&apart, None, &unlinked, &CONFIG).unwrap(), [[1, 4], [2, 5]]);
        let crossed = vectors(&[[1., 0.], [1., 0.], [0., 1.], [1., 0.], [0., 1.], [1., 0.]]);
        assert_eq!(round(&crossed, None, &unlinked, &CONFIG).unwrap(), [[1, 5], [2, 4]]);
        let unsure = PseudoLabelsConfig { least_score: 10.0, ..CONFIG };
        assert!(round(&apart, None, &unlinked, &unsure).unwrap().is_empty());
    }

    #[test]
    fn without_unlinked_entities_there_are_no_pairs() {
        let unlinked = Candidates::without(&[[0, 1]], 1, 2);
        assert!(round(&vectors(&[[1., 0.], [1., 0.]]), None, &unlinked, &CONFIG).unwrap().is_empty());
    }
}
