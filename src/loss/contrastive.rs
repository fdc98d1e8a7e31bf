//! The contrastive loss: each entity of a block must find its counterpart among all entities of the block.

use tch::{Kind, Tensor};

use super::similarity::{Masks, Similarities};

/// The loss of each modality, `[M]`: the mean over the block and over both directions of −log softmax at the
/// counterpart.
pub fn contrastive(similarities: &Similarities, masks: &Masks, temperature: f64) -> Tensor {
    let [forward, backward] = similarities.logits(masks, temperature).map(|logits| {
        let targets = logits.log_softmax(2, Kind::Float).diagonal(0, 1, 2);
        -targets.mean_dim([1_i64].as_slice(), false, Kind::Float)
    });
    (forward + backward) / 2.0
}
