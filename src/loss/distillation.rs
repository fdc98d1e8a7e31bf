//! Unimodal distillation: each modality's distribution over a block is drawn towards the joint's.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::odds::{Odds, Sums};
use super::similarity::{Masks, Similarities};

/// How the divergences of a block become one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reduction {
    /// Over all B·2B elements, as published.
    Mean,
    /// Their sum.
    Sum,
}

/// The joint's distribution over the blocks, computed once for all its students.
#[derive(Debug)]
pub struct Teacher<'a> {
    cosines: &'a Similarities,
    masks: &'a Masks,
    temperature: f64,
    /// What the sum of both directions' divergences is multiplied with.
    scale: f64,
    sums: Sums,
    /// Times `scale / temperature`.
    shares: Similarities,
}

impl<'a> Teacher<'a> {
    /// From the joint's cosines, `[1, …, B, B]` each.
    pub fn new(cosines: &'a Similarities, masks: &'a Masks, temperature: f64, reduction: Reduction) -> Self {
        let pairs = cosines.pairs();
        let scale = match reduction {
            Reduction::Mean => 1.0 / (4.0 * pairs * pairs),
            Reduction::Sum => 0.5,
        };
        let odds = Odds::new(cosines, masks, temperature);
        let sums = odds.sums();
        let shares = odds.into_shares(&sums, scale / temperature);
        Self { cosines, masks, temperature, scale, sums, shares }
    }

    /// KL(teacher ‖ student) of each modality, `[M]`, both directions averaged and the blocks summed; and its gradient in the
    /// students' cosines. The teacher gets none.
    pub fn distil(&self, students: &Similarities) -> (Tensor, Similarities) {
        let odds = Odds::new(students, self.masks, self.temperature);
        let sums = odds.sums();
        // Σ p·(log p − log q), where log p − log q = (cos_p − cos_q)/τ − log(sum_p / sum_q).
        let apart = students.zip(self.cosines, |student, teacher| teacher - student);
        let divergence = apart.dot(&self.shares) - self.sums.log_ratio(&sums) * self.scale;
        let shares = odds.into_shares(&sums, self.scale / self.temperature);
        (divergence, shares.zip(&self.shares, |student, teacher| student - teacher))
    }
}
