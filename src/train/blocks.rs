//! The losses of one epoch, block by block, with their gradient written out: nothing of a block is kept for autograd.

use tch::{Device, Kind, Tensor};

use super::step::LossConfig;
use crate::loss::contrastive::contrastive;
use crate::loss::distillation::Teacher;
use crate::loss::joint::{Joint, Weights};
use crate::loss::similarity::{Masks, Similarities, picked};

/// What the losses of an epoch read, and what they leave for the layers below.
pub(super) struct Blocks<'a> {
    pub(super) loss: &'a LossConfig,
    /// Unit vectors of the training list's entities, `[M, n, D]`, without gradient.
    pub(super) z: Tensor,
    /// How much each modality counts in the joint embeddings of those entities.
    pub(super) weights: &'a Weights,
    /// Factors `[M]` of the gradient of each modality's contrastive loss and divergence; none if the loss is off.
    pub(super) factors: [Option<Tensor>; 2],
    pub(super) sums: Sums,
}

/// Running sums over the blocks, on the device.
pub(super) struct Sums {
    /// Gradient of the unit vectors, `[M, n, D]`.
    pub(super) z: Tensor,
    /// Gradient of what is learnt of the weights.
    pub(super) weights: Tensor,
    /// The joint's contrastive loss, `[1]`.
    pub(super) joint: Tensor,
    /// Each modality's contrastive loss and divergence, `[M]`.
    pub(super) parts: [Tensor; 2],
}

impl Sums {
    /// Nothing yet, for unit vectors `z`.
    pub(super) fn zero(z: &Tensor, weights: &Weights) -> Self {
        let zeros = |size: i64| Tensor::zeros([size], (Kind::Float, z.device()));
        let (count, weights) = (z.size()[0], weights.learnt().detach().zeros_like());
        Self { z: z.zeros_like(), weights, joint: zeros(1), parts: [zeros(count), zeros(count)] }
    }
}

impl Blocks<'_> {
    /// Adds K blocks of pairs, given as rows of `z`, `[K, B]` each, of which the first `count` count.
    pub(super) fn add(&mut self, left: &Tensor, right: &Tensor, count: i64) {
        let masks = if self.loss.mask_duplicates { Masks::repeated(left, right) } else { Masks::Own };
        let size = [left.size()[0], left.size()[1]];
        let masks = masks.filled(size, count, left.device());
        let [l, r] = [left, right].map(|at| picked(&self.z, at));
        let cosines = Similarities::of_block(&l, &r);
        let sides = Tensor::stack(&[left, right], 1);
        let joint = Joint::of(&cosines, self.weights.at(&sides));
        let (loss, gradient) = contrastive(&joint.cosines, &masks, self.loss.tau_contrastive);
        self.sums.joint += loss;
        let (of_sum, of_weights) = joint.pull(&gradient, &cosines);
        match self.weights {
            Weights::Shared { .. } => self.sums.weights += of_weights,
            Weights::Own(_) => {
                let _ = self.sums.weights.index_add_(1, &sides.flatten(0, -1), &of_weights.flatten(1, -1));
            }
        }
        let teacher = self.factors[1].as_ref().map(|factors| {
            (factors, Teacher::new(&joint.cosines, &masks, self.loss.tau_distillation, self.loss.reduction))
        });
        for (first, count) in spans(&self.z) {
            let part = |tensor: &Tensor| tensor.narrow(0, first, count);
            let cosines = cosines.of(first, count);
            let mut gradient = joint.of_modalities(&of_sum, first, count);
            self.modalities((first, count), &cosines, &mut gradient, (&masks, teacher.as_ref()));
            let [of_left, of_right] = gradient.pull(&part(&l), &part(&r));
            let mut z = self.sums.z.narrow(0, first, count);
            for (at, gradient) in [(left, of_left), (right, of_right)] {
                let _ = z.index_add_(1, &at.flatten(0, 1), &gradient.flatten(1, 2));
            }
        }
    }

    /// The losses of `count` modalities from the `first`, added to the sums; their gradient in the cosines is added to the `gradient`.
    fn modalities(
        &self,
        (first, count): (i64, i64),
        cosines: &Similarities,
        gradient: &mut Similarities,
        (masks, teacher): (&Masks, Option<&(&Tensor, Teacher)>),
    ) {
        let part = |of: &Tensor| of.narrow(0, first, count);
        let column = |of: &Tensor| part(of).view([-1, 1, 1, 1, 1]);
        let mut add = |which: usize, factors: &Tensor, (loss, own): (Tensor, Similarities)| {
            let mut sum = part(&self.sums.parts[which]);
            sum += loss;
            gradient.add(&own, &column(factors));
        };
        if let Some(factors) = &self.factors[0] {
            add(0, factors, contrastive(cosines, masks, self.loss.tau_contrastive));
        }
        if let Some((factors, teacher)) = teacher {
            add(1, factors, teacher.distil(cosines));
        }
    }
}

/// Pairs of pairs in the blocks that a GPU works on together: with six modalities a matrix of them takes 50 MB.
const TOGETHER: usize = 1 << 21;

/// Blocks of a list of pairs that are worked on together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// Place of the first pair.
    pub(super) first: usize,
    /// Number of blocks, and places for pairs in each.
    pub(super) size: [usize; 2],
    /// Pairs; what places are left at the end are to be filled up.
    pub(super) pairs: usize,
}

/// Splits `pairs` into groups of blocks of `size`. One block after another on a CPU, whose caches hold its matrices, and the last no
/// larger than it is; several on a GPU, which would otherwise wait for the next one to be asked for.
pub(super) fn groups(pairs: usize, size: usize, device: Device) -> Vec<Group> {
    let together = if device.is_cuda() { (TOGETHER / (size * size)).max(1) } else { 1 };
    let of = |first: usize| {
        let pairs = (pairs - first).min(together * size);
        Group { first, size: [pairs.div_ceil(size), size.min(pairs)], pairs }
    };
    (0..pairs).step_by(together * size).map(of).collect()
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
    use crate::config::Layers;
    use crate::loss::similarity::normalise;

    fn numbers(shape: &[i64], factor: f64) -> Tensor {
        (Tensor::arange(shape.iter().product::<i64>(), (Kind::Float, Device::Cpu)) * factor).sin().view(shape)
    }

    /// What groups of blocks of six pairs between nine entities leave, three modalities wide.
    fn left_by(groups: &[Group], weights: &Weights, sets: &[&str]) -> [Tensor; 5] {
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        let loss = Layers::of(None, &sets, &[]).unwrap().config().unwrap().loss;
        let pairs = [[0_i64, 1, 2, 3, 3, 4], [5, 6, 7, 8, 6, 6]].map(|side| Tensor::from_slice(&side));
        let z = normalise(&numbers(&[3, 9, 4], 0.9));
        let factors = [0.3, 0.8].map(|factor| Some(numbers(&[3], factor)));
        let sums = Sums::zero(&z, weights);
        let mut blocks = Blocks { loss: &loss, z, weights, factors, sums };
        for Group { first, size, pairs: count } in groups {
            let size = size.map(|of| of as i64);
            let [left, right] =
                pairs.each_ref().map(|side| side.narrow(0, *first as i64, size[0] * size[1]).view(size));
            blocks.add(&left, &right, *count as i64);
        }
        let Sums { z, weights, joint, parts: [contrastive, distillation] } = blocks.sums;
        [z, weights, joint, contrastive, distillation]
    }

    fn assert_equal(ones: &[Tensor; 5], others: &[Tensor; 5]) {
        for (one, other) in ones.iter().zip(others) {
            let [apart, most] = [&(one - other), other].map(|of| of.abs().max().double_value(&[]));
            assert!(apart < 1e-4 * most, "{apart} of {most}");
        }
    }

    #[test]
    fn blocks_that_are_worked_on_together_are_each_by_itself() {
        let presence = numbers(&[3, 9], 1.7).gt(-0.8).to_kind(Kind::Float);
        let own = numbers(&[3, 9], 0.7).abs() * &presence;
        for weights in [Weights::Shared { squared: numbers(&[3], 0.4).square(), presence }, Weights::Own(own)] {
            let run = |of: &[Group]| left_by(of, &weights, &["loss.mask_duplicates=true"]);
            let alone = [0, 3].map(|first| Group { first, size: [1, 3], pairs: 3 });
            assert_equal(&run(&[Group { first: 0, size: [2, 3], pairs: 6 }]), &run(&alone));
        }
    }

    #[test]
    fn pairs_that_fill_up_a_block_do_not_count() {
        let weights = Weights::Own(numbers(&[3, 9], 0.7).abs());
        for sets in
            [["loss.reduction=sum", "loss.mask_duplicates=true"], ["loss.reduction=mean", "loss.tau_contrastive=0.02"]]
        {
            let [cpu, gpu] = [Device::Cpu, Device::Cuda(0)].map(|device| groups(5, 3, device));
            assert!(gpu.len() < cpu.len());
            assert_equal(&left_by(&gpu, &weights, &sets), &left_by(&cpu, &weights, &sets));
        }
    }

    #[test]
    fn every_pair_is_in_one_block_and_a_gpu_takes_several_at_once() {
        let of = |pairs, size, device| {
            let groups = groups(pairs, size, device).into_iter();
            groups.map(|Group { first, size, pairs }| (first, size, pairs)).collect::<Vec<_>>()
        };
        assert_eq!(of(9, 4, Device::Cpu), [(0, [1, 4], 4), (4, [1, 4], 4), (8, [1, 1], 1)]);
        assert_eq!(of(9, 4, Device::Cuda(0)), [(0, [3, 4], 9)]);
        assert_eq!(of(3, 4, Device::Cuda(0)), [(0, [1, 3], 3)]);
        assert_eq!(of(10 * 512, 512, Device::Cuda(0)), [(0, [8, 512], 8 * 512), (8 * 512, [2, 512], 2 * 512)]);
        assert_eq!(of(4096, 2048, Device::Cuda(0)), [(0, [1, 2048], 2048), (2048, [1, 2048], 2048)]);
        assert_eq!(of(0, 4, Device::Cpu), []);
    }
}
