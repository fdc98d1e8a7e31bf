//! Chance: one stream of ChaCha8 for each purpose and entity.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What a stream is for. The number is part of the stream, so it must never change.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    Ontology = 1,
    Kinds = 2,
    Popularity = 3,
    Edges = 4,
    Values = 5,
    State = 6,
    Projection = 7,
    LeftKey = 8,
    RightKey = 9,
    LeftEdges = 10,
    RightEdges = 11,
    LeftValues = 12,
    RightValues = 13,
    LeftImage = 14,
    RightImage = 15,
}

/// A stream of chance.
pub(super) struct Dice(ChaCha8Rng);

impl Dice {
    /// The stream of one purpose and one thing.
    pub(super) fn new(seed: u64, purpose: Purpose, thing: u64) -> Self {
        let mut source = ChaCha8Rng::seed_from_u64(seed);
        source.set_stream(((purpose as u64) << 48) | thing);
        Self(source)
    }

    /// 64 random bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in [0, 1).
    pub(super) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform below `count`, which is not 0.
    pub(super) fn below(&mut self, count: usize) -> usize {
        ((u128::from(self.bits()) * count as u128) >> 64) as usize
    }

    /// True with this probability.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Close to normal, mean 0 and variance 1: the sum of twelve uniform numbers, which needs no logarithm.
    pub(super) fn normal(&mut self) -> f64 {
        // Three draws give twelve numbers of 16 bits.
        let mut sum = 0;
        for _ in 0..3 {
            let bits = self.bits();
            sum += (bits & 0xFFFF) + (bits >> 16 & 0xFFFF) + (bits >> 32 & 0xFFFF) + (bits >> 48);
        }
        (sum as f64 + 6.0) / 65_536.0 - 6.0
    }
}
