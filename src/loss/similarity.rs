//! Cosines within one block of B linked pairs, computed once per modality; every loss reads them.

use tch::{Kind, Tensor};

/// What is subtracted from a logit so that it never wins.
const NEVER: f64 = 1e9;

/// Cosines of one block for each of M modalities: three `[M, B, B]` matrices.
#[derive(Debug)]
pub struct Similarities {
    /// Left entity i with right entity j.
    pub left_right: Tensor,
    /// Left with left.
    pub left_left: Tensor,
    /// Right with right.
    pub right_right: Tensor,
}

impl Similarities {
    /// From unit vectors `z` `[M, n, D]` and the rows of the block's left and right entities, `[B]` each.
    pub fn of_block(z: &Tensor, left: &Tensor, right: &Tensor) -> Self {
        let (left, right) = (z.index_select(1, left), z.index_select(1, right));
        let product = |a: &Tensor, b: &Tensor| a.bmm(&b.transpose(1, 2));
        Self {
            left_right: product(&left, &right),
            left_left: product(&left, &left),
            right_right: product(&right, &right),
        }
    }

    /// Cosines of the joint embeddings, `[1, B, B]` each. The joint is `concat_m(w_m·z_m)`, so its cosines are
    /// `Σ_m` `w_m²·cos_m` over the norms: nothing is concatenated.
    ///
    /// `weights` `[M]`; `left` and `right` `[B]` are the norms of the block's joint embeddings.
    #[must_use]
    pub fn joint(&self, weights: &Tensor, left: &Tensor, right: &Tensor) -> Self {
        let squared = weights.square().view([-1, 1, 1]);
        let mix = |cosines: &Tensor, rows: &Tensor, columns: &Tensor| {
            let sum = (cosines * &squared).sum_dim_intlist([0_i64].as_slice(), true, Kind::Float);
            sum / rows.unsqueeze(1) / columns.unsqueeze(0)
        };
        Self {
            left_right: mix(&self.left_right, left, right),
            left_left: mix(&self.left_left, left, left),
            right_right: mix(&self.right_right, right, right),
        }
    }

    /// The same without gradient.
    #[must_use]
    pub fn detach(&self) -> Self {
        Self {
            left_right: self.left_right.detach(),
            left_left: self.left_left.detach(),
            right_right: self.right_right.detach(),
        }
    }

    /// The logits of both directions, `[M, B, 2B]` each: `[lr ‖ ll]` and `[rl ‖ rr]`, with what must never win
    /// masked, divided by the temperature.
    pub fn logits(&self, masks: &Masks, temperature: f64) -> [Tensor; 2] {
        let row = |across: &Tensor, within: &Tensor, across_mask: Option<&Tensor>, within_mask: &Tensor| {
            let across = across_mask.map_or_else(|| across.shallow_clone(), |mask| across - mask);
            Tensor::cat(&[across, within - within_mask], 2) / temperature
        };
        let backward_mask = masks.across.as_ref().map(Tensor::tr);
        [
            row(&self.left_right, &self.left_left, masks.across.as_ref(), &masks.left),
            row(&self.left_right.transpose(1, 2), &self.right_right, backward_mask.as_ref(), &masks.right),
        ]
    }
}

/// What is subtracted from the cosines of a block, `[B, B]` each.
#[derive(Debug)]
pub struct Masks {
    across: Option<Tensor>,
    left: Tensor,
    right: Tensor,
}

impl Masks {
    /// Masks an entity against itself only, as published.
    pub fn identity(size: i64, device: tch::Device) -> Self {
        let diagonal = Tensor::eye(size, (Kind::Float, device)) * NEVER;
        Self { across: None, left: diagonal.shallow_clone(), right: diagonal }
    }

    /// Masks every repetition of an entity in the block too; otherwise they count as negatives of themselves.
    /// `left` and `right` `[B]` are the entities of the pairs.
    pub fn duplicates(left: &Tensor, right: &Tensor) -> Self {
        let equal = |ids: &Tensor| ids.unsqueeze(0).eq_tensor(&ids.unsqueeze(1));
        let (left, right) = (equal(left), equal(right));
        let own = Tensor::eye(left.size()[0], (Kind::Bool, left.device()));
        let across = left.logical_or(&right).logical_and(&own.logical_not());
        let mask = |which: &Tensor| which.to_kind(Kind::Float) * NEVER;
        Self { across: Some(mask(&across)), left: mask(&left), right: mask(&right) }
    }
}

/// Rows of `x` `[…, D]` divided by their length.
pub fn normalise(x: &Tensor) -> Tensor {
    x / x.norm_scalaropt_dim(2, [-1_i64].as_slice(), true).clamp_min(1e-12)
}
