//! The losses of one epoch, block by block, with their gradient written out: nothing of a block is kept for autograd.

use tch::{Device, Kind, Tensor};

use super::step::LossConfig;
use crate::loss::contrastive::contrastive;
use crate::loss::distillation::Teacher;
use crate::loss::joint::Joint;
use crate::loss::similarity::{Masks, Similarities};

/// What the losses of an epoch read, and what they leave for the layers below.
pub(super) struct Blocks<'a> {
    pub(super) loss: &'a LossConfig,
    /// Unit vectors of the training list's entities, `[M, n, D]`, without gradient.
    pub(super) z: Tensor,
    /// Squares of the fusion's weights, `[M]`, without gradient.
    pub(super) squared: Tensor,
    /// `[M, n]` of 0 and 1.
    pub(super) presence: &'a Tensor,
    /// Factors `[M]` of the gradient of each modality's contrastive loss and divergence; none if the loss is off.
    pub(super) factors: [Option<Tensor>; 2],
    pub(super) sums: Sums,
}

/// Running sums over the blocks, on the device.
pub(super) struct Sums {
    /// Gradient of the unit vectors, `[M, n, D]`.
    pub(super) z: Tensor,
    /// Gradient of the squared weights, `[M]`.
    pub(super) squared: Tensor,
    /// The joint's contrastive loss, `[1]`.
    pub(super) joint: Tensor,
    /// Each modality's contrastive loss and divergence, `[M]`.
    pub(super) parts: [Tensor; 2],
}

impl Sums {
    /// Nothing yet, for unit vectors `z`.
    pub(super) fn zero(z: &Tensor) -> Self {
        let zeros = |size: i64| Tensor::zeros([size], (Kind::Float, z.device()));
        let count = z.size()[0];
        Self { z: z.zeros_like(), squared: zeros(count), joint: zeros(1), parts: [zeros(count), zeros(count)] }
    }
}

impl Blocks<'_> {
    /// Adds one block of pairs, given as rows of `z`, `[B]` each.
    pub(super) fn add(&mut self, left: &Tensor, right: &Tensor) {
        let masks = if self.loss.mask_duplicates { Masks::repeated(left, right) } else { Masks::Own };
        let [l, r] = [left, right].map(|at| self.z.index_select(1, at));
        let cosines = Similarities::of_block(&l, &r);
        let joint = Joint::of(&cosines, &self.squared, [left, right].map(|at| self.presence.index_select(1, at)));
        let (loss, gradient) = contrastive(&joint.cosines, &masks, self.loss.tau_contrastive);
        self.sums.joint += loss;
        let (of_sum, of_squared) = joint.pull(&gradient, &cosines);
        self.sums.squared += of_squared;
        let teacher = Teacher::new(&joint.cosines, &masks, self.loss.tau_distillation, self.loss.reduction);
        for (first, count) in spans(&self.z) {
            let part = |tensor: &Tensor| tensor.narrow(0, first, count);
            let gradient = self.modalities((first, count), &cosines.map(part), &of_sum, (&masks, &teacher));
            let [of_left, of_right] = gradient.pull(&part(&l), &part(&r));
            let mut z = self.sums.z.narrow(0, first, count);
            let _ = z.index_add_(1, left, &of_left);
            let _ = z.index_add_(1, right, &of_right);
        }
    }

    /// The losses of `count` modalities from the `first`, added to the sums; the gradient of their cosines.
    fn modalities(
        &self,
        (first, count): (i64, i64),
        cosines: &Similarities,
        of_sum: &Similarities,
        (masks, teacher): (&Masks, &Teacher),
    ) -> Similarities {
        let part = |of: &Tensor| of.narrow(0, first, count);
        let column = |of: &Tensor| part(of).view([-1, 1, 1]);
        let mut gradient = of_sum.map(|of_sum| of_sum * column(&self.squared));
        let mut add = |which: usize, factors: &Tensor, (loss, own): (Tensor, Similarities)| {
            let mut sum = part(&self.sums.parts[which]);
            sum += loss;
            gradient.add(&own, &column(factors));
        };
        if let Some(factors) = &self.factors[0] {
            add(0, factors, contrastive(cosines, masks, self.loss.tau_contrastive));
        }
        if let Some(factors) = &self.factors[1] {
            add(1, factors, teacher.distil(cosines));
        }
        gradient
    }
}

/// First modality and number of modalities that are worked on together: one on a CPU, whose caches hold its matrices;
/// all of them on a GPU.
fn spans(z: &Tensor) -> impl Iterator<Item = (i64, i64)> + use<> {
    let modalities = z.size()[0];
    let together = if z.device() == Device::Cpu { 1 } else { modalities };
    (0..modalities).step_by(together as usize).map(move |first| (first, together))
}
