//! Unimodal distillation: each modality's distribution over a block is drawn towards the joint's.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

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

/// KL(teacher ‖ student) of each modality, `[M]`, both directions averaged. The teacher `[1, B, B]` gets no gradient.
pub fn distillation(
    students: &Similarities,
    teacher: &Similarities,
    masks: &Masks,
    temperature: f64,
    reduction: Reduction,
) -> Tensor {
    let students = students.logits(masks, temperature);
    let teachers = teacher.detach().logits(masks, temperature);
    let [forward, backward] = [0, 1].map(|direction: usize| {
        let student = students[direction].log_softmax(2, Kind::Float);
        let teacher = teachers[direction].log_softmax(2, Kind::Float);
        // A masked logit is very low but finite, so that its share of the divergence is 0 and not 0·∞.
        let divergence = teacher.exp() * (teacher - student);
        match reduction {
            Reduction::Mean => divergence.mean_dim([1_i64, 2].as_slice(), false, Kind::Float),
            Reduction::Sum => divergence.sum_dim_intlist([1_i64, 2].as_slice(), false, Kind::Float),
        }
    });
    (forward + backward) / 2.0
}
