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
    /// Adds K blocks of pairs, given as rows of `z`, `[K, B]` each.
    pub(super) fn add(&mut self, left: &Tensor, right: &Tensor) {
        let masks = if self.loss.mask_duplicates { Masks::repeated(left, right) } else { Masks::Own };
        let [l, r] = [left, right].map(|at| picked(&self.z, at));
        let cosines = Similarities::of_block(&l, &r);
        let joint = Joint::of(&cosines, &self.squared, picked(self.presence, &Tensor::stack(&[left, right], 1)));
        let (loss, gradient) = contrastive(&joint.cosines, &masks, self.loss.tau_contrastive);
        self.sums.joint += loss;
        let (of_sum, of_squared) = joint.pull(&gradient, &cosines);
        self.sums.squared += of_squared;
        let teacher = Teacher::new(&joint.cosines, &masks, self.loss.tau_distillation, self.loss.reduction);
        for (first, count) in spans(&self.z) {
            let part = |tensor: &Tensor| tensor.narrow(0, first, count);
            let cosines = cosines.of(first, count);
            let gradient = self.modalities((first, count), &cosines, &of_sum, (&masks, &teacher));
            let [of_left, of_right] = gradient.pull(&part(&l), &part(&r));
            let mut z = self.sums.z.narrow(0, first, count);
            for (at, gradient) in [(left, of_left), (right, of_right)] {
                let _ = z.index_add_(1, &at.flatten(0, 1), &gradient.flatten(1, 2));
            }
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
        let column = |of: &Tensor| part(of).view([-1, 1, 1, 1, 1]);
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

/// The rows `at` of each modality's `[M, n, …]`: `[M, `, sizes of `at`, `, …]`.
fn picked(of: &Tensor, at: &Tensor) -> Tensor {
    of.index_select(1, &at.flatten(0, -1)).unflatten(1, at.size())
}

/// Pairs of pairs in the blocks that a GPU works on together: with six modalities a matrix of them takes 50 MB.
const TOGETHER: usize = 1 << 21;

/// Splits `pairs` into groups of blocks: first pair of each group, number of blocks, and pairs in a block. One block after another on a
/// CPU, whose caches hold its matrices; several on a GPU, which would otherwise wait for the next one to be asked for.
pub(super) fn groups(pairs: usize, size: usize, device: Device) -> Vec<(usize, [usize; 2])> {
    let together = if device.is_cuda() { (TOGETHER / (size * size)).max(1) } else { 1 };
    let (whole, rest) = (pairs / size, pairs % size);
    let of_whole = (0..whole).step_by(together).map(|first| (first * size, [together.min(whole - first), size]));
    of_whole.chain((rest > 0).then_some((whole * size, [1, rest]))).collect()
}

/// First modality and number of modalities that are worked on together: one on a CPU, whose caches hold its matrices;
/// all of them on a GPU.
fn spans(z: &Tensor) -> impl Iterator<Item = (i64, i64)> + use<> {
    let modalities = z.size()[0];
    let together = if z.device() == Device::Cpu { 1 } else { modalities };
    (0..modalities).step_by(together as usize).map(move |first| (first, together))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use crate::loss::similarity::normalise;
    use crate::pipeline::Layers;

    #[test]
    fn blocks_that_are_worked_on_together_are_each_by_itself() {
        let numbers = |shape: &[i64], factor: f64| {
            (Tensor::arange(shape.iter().product::<i64>(), (Kind::Float, Device::Cpu)) * factor).sin().view(shape)
        };
        let mut loss = Layers::of(None, &[], &[]).unwrap().config().unwrap().loss;
        loss.mask_duplicates = true;
        let presence = numbers(&[3, 9], 1.7).gt(-0.8).to_kind(Kind::Float);
        let pairs = [[0_i64, 1, 2, 3, 3, 4], [5, 6, 7, 8, 6, 6]].map(|side| Tensor::from_slice(&side));
        let run = |sizes: [i64; 2]| {
            let factors = [0.3, 0.8].map(|factor| Some(numbers(&[3], factor)));
            let (z, squared) = (normalise(&numbers(&[3, 9, 4], 0.9)), numbers(&[3], 0.4).square());
            let sums = Sums::zero(&z);
            let mut blocks = Blocks { loss: &loss, z, squared, presence: &presence, factors, sums };
            for first in (0..6).step_by((sizes[0] * sizes[1]) as usize) {
                let [left, right] = pairs.each_ref().map(|side| side.narrow(0, first, sizes[0] * sizes[1]).view(sizes));
                blocks.add(&left, &right);
            }
            let Sums { z, squared, joint, parts: [contrastive, distillation] } = blocks.sums;
            [z, squared, joint, contrastive, distillation]
        };
        for (together, alone) in run([2, 3]).iter().zip(&run([1, 3])) {
            assert!(((together - alone) / (alone.abs() + 1e-3)).abs().max().double_value(&[]) < 1e-4);
        }
    }

    #[test]
    fn every_pair_is_in_one_block_and_a_gpu_takes_several_at_once() {
        assert_eq!(groups(9, 4, Device::Cpu), [(0, [1, 4]), (4, [1, 4]), (8, [1, 1])]);
        assert_eq!(groups(9, 4, Device::Cuda(0)), [(0, [2, 4]), (8, [1, 1])]);
        assert_eq!(groups(10 * 512, 512, Device::Cuda(0)), [(0, [8, 512]), (8 * 512, [2, 512])]);
        assert_eq!(groups(4096, 2048, Device::Cuda(0)), [(0, [1, 2048]), (2048, [1, 2048])]);
        assert_eq!(groups(0, 4, Device::Cpu), []);
    }
}
