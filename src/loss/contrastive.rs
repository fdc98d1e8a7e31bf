//! The contrastive loss: each entity of a block must find its counterpart among all entities of the block.

use tch::Tensor;

use super::odds::{Odds, total};
use super::similarity::{Masks, Similarities};

/// The loss of each modality, `[M]`: the mean over a block and over both directions of −log softmax at the counterpart, summed
/// over the blocks; and its gradient in the cosines.
pub fn contrastive(cosines: &Similarities, masks: &Masks, temperature: f64) -> (Tensor, Similarities) {
    let odds = Odds::new(cosines, masks, temperature);
    let sums = odds.sums();
    let found = (cosines.across().diagonal(0, -2, -1) - 1.0).unsqueeze(-2);
    let loss = total(&masks.over_pairs(&sums.logs(), 0.5)) - total(&masks.over_pairs(&found, 1.0 / temperature));
    let gradient = odds.into_shares(&masks.over_pairs(&sums.reciprocals(), 0.5 / temperature));
    let mut own = gradient.across().diagonal(0, -2, -1);
    own -= masks.over_pairs(&found.ones_like(), 1.0 / temperature).squeeze_dim(-2);
    (loss, gradient)
}
