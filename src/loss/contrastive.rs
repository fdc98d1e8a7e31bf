//! The contrastive loss: each entity of a block must find its counterpart among all entities of the block.

use tch::{Kind, Tensor};

use super::odds::Odds;
use super::similarity::{Masks, Similarities};

/// The loss of each modality, `[M]`: the mean over a block and over both directions of −log softmax at the counterpart, summed
/// over the blocks; and its gradient in the cosines.
pub fn contrastive(cosines: &Similarities, masks: &Masks, temperature: f64) -> (Tensor, Similarities) {
    let pairs = cosines.pairs();
    let odds = Odds::new(cosines, masks, temperature);
    let sums = odds.sums();
    let found = (cosines.across().diagonal(0, -2, -1) - 1.0).flatten(1, -1);
    let found = found.sum_dim_intlist([1_i64].as_slice(), false, Kind::Float);
    let loss = sums.logs() / (2.0 * pairs) - found / (temperature * pairs);
    let scale = 1.0 / (2.0 * pairs * temperature);
    let gradient = odds.into_shares(&sums, scale);
    let mut own = gradient.across().diagonal(0, -2, -1);
    own -= 2.0 * scale;
    (loss, gradient)
}
