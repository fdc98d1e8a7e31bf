//! The random numbers of an epoch, drawn by a thread of their own while the epoch before is at work: a GPU would wait for them.
//!
//! They are keyed by what they are for, so that it makes no difference who draws them and when.

use std::collections::HashMap;
use std::thread::{self, JoinHandle};

use tch::{Device, Tensor};

use crate::modality::Modality;
use crate::noise::{Purpose, Randomness};
use crate::transfer::Staged;

/// Something to be drawn for a modality in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Draw {
    pub(super) modality: Modality,
    pub(super) epoch: u64,
    pub(super) what: What,
}

/// What it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum What {
    /// Noise of the gates, `[1, rows, experts]`.
    Gating([i64; 2]),
    /// An order of so many rows, counted from the first number on.
    Permutation([i64; 2]),
}

/// What was asked for in this epoch, and what has been drawn ahead: for modalities that are worked on together one behind another.
#[derive(Debug)]
pub(super) struct Draws {
    randomness: Randomness,
    device: Device,
    asked: Vec<Vec<Draw>>,
    ahead: Option<JoinHandle<HashMap<Vec<Draw>, Staged>>>,
    drawn: HashMap<Vec<Draw>, Staged>,
}

impl Draws {
    /// Nothing drawn yet; what will be goes to `device`.
    pub(super) fn new(randomness: Randomness, device: Device) -> Self {
        Self { randomness, device, asked: Vec::new(), ahead: None, drawn: HashMap::new() }
    }

    /// What is asked for, joined along the first dimension; none if there is no such noise.
    pub(super) fn get(&mut self, draws: Vec<Draw>) -> Option<Tensor> {
        if let Some(thread) = self.ahead.take() {
            // Should the thread have died, everything is drawn here.
            self.drawn = thread.join().unwrap_or_default();
        }
        let drawn = self.drawn.remove(&draws).or_else(|| make(self.randomness, &draws, self.device));
        self.asked.push(draws);
        Some(drawn?.send())
    }

    /// Begins to draw for the next epoch what this one has asked for.
    pub(super) fn look_ahead(&mut self) {
        let (randomness, device) = (self.randomness, self.device);
        let mut next = std::mem::take(&mut self.asked);
        next.iter_mut().flatten().for_each(|draw| draw.epoch += 1);
        let draw = move || {
            let made = next.into_iter().filter_map(|draws| Some((make(randomness, &draws, device)?, draws)));
            made.map(|(made, draws)| (draws, made)).collect()
        };
        self.ahead = thread::Builder::new().name("draws".to_owned()).spawn(draw).ok();
    }
}

fn make(randomness: Randomness, draws: &[Draw], device: Device) -> Option<Staged> {
    let made: Option<Vec<Tensor>> = draws.iter().map(|draw| one(randomness, *draw)).collect();
    Some(Staged::new(&Tensor::cat(&made?, 0), device))
}

fn one(randomness: Randomness, Draw { modality, epoch, what }: Draw) -> Option<Tensor> {
    Some(match what {
        What::Gating(shape) => randomness.gating(modality, epoch, shape)?.unsqueeze(0),
        What::Permutation([first, rows]) => randomness.permutation(Purpose::Permutation, modality, epoch, rows) + first,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn what_is_drawn_ahead_is_what_would_be_drawn_now() {
        let randomness = Randomness::Seeded(7);
        let mut draws = Draws::new(randomness, Device::Cpu);
        let asked = |epoch: u64, rows: i64| {
            [What::Gating([rows, 3]), What::Permutation([4, rows])].map(|what| {
                [Modality::Image, Modality::Relation].map(|modality| Draw { modality, epoch, what }).to_vec()
            })
        };
        for (epoch, rows, ahead) in [(0, 5, false), (1, 5, true), (2, 6, false), (3, 6, true)] {
            for draw in asked(epoch, rows) {
                let now = draw.iter().map(|draw| one(randomness, *draw).unwrap()).collect::<Vec<_>>();
                assert_eq!(draws.get(draw).unwrap(), Tensor::cat(&now, 0));
            }
            draws.look_ahead();
            // A list of another length is drawn when it is asked for.
            assert_eq!(draws.drawn.is_empty(), ahead || epoch == 0, "{epoch}");
        }
        let [gating, permutation] = asked(0, 5);
        let mut recorded = Draws::new(Randomness::Recorded, Device::Cpu);
        assert!(recorded.get(gating).is_none() && recorded.get(permutation).is_some());
    }
}
