//! Everything random in training: one `ChaCha8` stream for each (seed, purpose, modality, epoch), drawn on the host.
//!
//! Streams are keyed, not consumed in turn: a resumed run draws what the uninterrupted one would have drawn, and
//! removing a modality does not disturb the noise of another.

use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal, Uniform};
use tch::{Device, Tensor};

use crate::modality::Modality;

/// What random numbers are drawn for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Initial parameters.
    Parameters = 1,
    /// The noise of the experts' gates.
    Gating,
    /// Which two experts are decoupled.
    ExpertPair,
    /// The permutation of the decoupling loss.
    Permutation,
    /// The order of the training links.
    Shuffle = 6,
    /// Vectors drawn for entities that lack a modality.
    Imputation,
}

/// Where random numbers come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Randomness {
    /// Streams keyed by a seed.
    Seeded(u64),
    /// The deterministic stand-ins with which the reference figures were recorded: no gating noise, experts 0 and 1,
    /// the reversal as permutation, links never shuffled.
    Recorded,
}

impl Randomness {
    /// The stream for one purpose. `Recorded` has streams too, for what it does not replace.
    pub fn stream(self, purpose: Purpose, modality: Option<Modality>, epoch: u64) -> ChaCha8Rng {
        let seed = match self {
            Self::Seeded(seed) => seed,
            Self::Recorded => 0,
        };
        let parts = [seed, purpose as u64, modality.map_or(0, |m| m as u64 + 1), epoch];
        let mut key = [0_u8; 32];
        for (bytes, part) in key.chunks_exact_mut(8).zip(parts) {
            bytes.copy_from_slice(&part.to_le_bytes());
        }
        ChaCha8Rng::from_seed(key)
    }

    /// Gating noise `[rows, experts]` ~ N(0, 1) in the host's memory, or `None` where there is none.
    pub fn gating(self, modality: Modality, epoch: u64, shape: [i64; 2]) -> Option<Tensor> {
        match self {
            Self::Seeded(_) => Some(normal(&mut self.stream(Purpose::Gating, Some(modality), epoch), &shape, 1.0)),
            Self::Recorded => None,
        }
    }

    /// Two different experts of `experts`, of which there must be two, in order of drawing.
    pub fn expert_pair(self, modality: Modality, epoch: u64, experts: i64) -> (i64, i64) {
        if self == Self::Recorded {
            return (0, 1);
        }
        let mut stream = self.stream(Purpose::ExpertPair, Some(modality), epoch);
        let first = stream.next_u64() as i64 & i64::MAX;
        let second = stream.next_u64() as i64 & i64::MAX;
        let first = first % experts;
        let other = second % (experts - 1);
        (first, if other < first { other } else { other + 1 })
    }

    /// A permutation of `0..n` as int64 `[n]` in the host's memory.
    pub fn permutation(self, purpose: Purpose, modality: Modality, epoch: u64, n: i64) -> Tensor {
        let mut order: Vec<i64> = (0..n).collect();
        match self {
            Self::Seeded(_) => order.shuffle(&mut self.stream(purpose, Some(modality), epoch)),
            Self::Recorded => order.reverse(),
        }
        Tensor::from_slice(&order)
    }

    /// Shuffles the training links of an epoch in place.
    pub fn shuffle<T>(self, epoch: u64, links: &mut [T]) {
        if let Self::Seeded(_) = self {
            links.shuffle(&mut self.stream(Purpose::Shuffle, None, epoch));
        }
    }
}

/// A float32 CPU tensor of `shape` ~ N(0, `std`²).
pub fn normal(stream: &mut ChaCha8Rng, shape: &[i64], std: f32) -> Tensor {
    sample(stream, shape, |stream| std * <StandardNormal as Distribution<f32>>::sample(&StandardNormal, stream))
}

/// A float32 CPU tensor of `shape` ~ U(−`bound`, `bound`).
pub fn uniform(stream: &mut ChaCha8Rng, shape: &[i64], bound: f32) -> Tensor {
    match Uniform::new_inclusive(-bound, bound) {
        Ok(range) => sample(stream, shape, |stream| range.sample(stream)),
        Err(_) => Tensor::zeros(shape, (tch::Kind::Float, Device::Cpu)),
    }
}

fn sample(stream: &mut ChaCha8Rng, shape: &[i64], mut draw: impl FnMut(&mut ChaCha8Rng) -> f32) -> Tensor {
    let count: i64 = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|_| draw(stream)).collect();
    Tensor::from_slice(&values).view(shape)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    const SEEDED: Randomness = Randomness::Seeded(42);

    #[test]
    fn streams_of_different_purpose_modality_or_epoch_differ() {
        let first = |purpose, modality, epoch| SEEDED.stream(purpose, modality, epoch).next_u64();
        let base = first(Purpose::Gating, Some(Modality::Image), 3);
        assert_eq!(base, first(Purpose::Gating, Some(Modality::Image), 3));
        assert_ne!(base, first(Purpose::Gating, Some(Modality::Image), 4));
        assert_ne!(base, first(Purpose::Gating, Some(Modality::Relation), 3));
        assert_ne!(base, first(Purpose::Shuffle, Some(Modality::Image), 3));
    }

    #[test]
    fn the_two_experts_always_differ_and_all_take_part() {
        let mut seen = [false; 5];
        for epoch in 0..200 {
            let (first, second) = SEEDED.expert_pair(Modality::Image, epoch, 5);
            assert_ne!(first, second);
            seen[usize::try_from(second).unwrap()] = true;
        }
        assert_eq!(seen, [true; 5]);
    }

    #[test]
    fn normals_have_the_asked_spread() {
        let x = normal(&mut SEEDED.stream(Purpose::Parameters, None, 0), &[100, 100], 0.02);
        let std = x.std(true).double_value(&[]);
        assert!((std - 0.02).abs() < 0.001, "{std}");
    }
}
