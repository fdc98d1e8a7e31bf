//! Unimodal distillation: each modality's distribution over a block is drawn towards the joint's.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::odds::{Odds, Sums, total};
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
    reduction: Reduction,
    sums: Sums,
    /// Reduced, over the temperature.
    shares: Similarities,
}

impl<'a> Teacher<'a> {
    /// From the joint's cosines, `[1, …, B, B]` each.
    pub fn new(cosines: &'a Similarities, masks: &'a Masks, temperature: f64, reduction: Reduction) -> Self {
        let odds = Odds::new(cosines, masks, temperature);
        let sums = odds.sums();
        let shares = odds.into_shares(&reduction.reduced(&sums.reciprocals(), masks, 1.0 / temperature));
        Self { cosines, masks, temperature, reduction, sums, shares }
    }

    /// KL(teacher ‖ student) of each modality, `[M]`, both directions averaged and the blocks summed; and its gradient in the
    /// students' cosines. The teacher gets none.
    pub fn distil(&self, students: &Similarities) -> (Tensor, Similarities) {
        let odds = Odds::new(students, self.masks, self.temperature);
        let sums = odds.sums();
        // Σ p·(log p − log q), where log p − log q = (cos_p − cos_q)/τ − log(sum_p / sum_q).
        let apart = students.zip(self.cosines, |student, teacher| teacher - student);
        let of_sums = self.reduction.reduced(&self.sums.log_ratio(&sums), self.masks, 1.0);
        let divergence = apart.dot(&self.shares) - total(&of_sums);
        let scaled = self.reduction.reduced(&sums.reciprocals(), self.masks, 1.0 / self.temperature);
        let shares = odds.into_shares(&scaled);
        (divergence, shares.zip(&self.shares, |student, teacher| student - teacher))
    }
}

impl Reduction {
    /// What entities have, `[…, 2, B]`, times `factor`, as it counts once both directions are averaged.
    fn reduced(self, of: &Tensor, masks: &Masks, factor: f64) -> Tensor {
        match self {
            // B·2B elements, of two directions.
            Self::Mean => masks.over_pairs(&masks.over_pairs(of, factor), 0.25),
            Self::Sum => of * (factor * 0.5),
        }
    }
}
