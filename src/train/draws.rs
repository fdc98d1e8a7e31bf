//! The random numbers of an epoch, drawn by a thread of their own while the epoch before is at work: a GPU would wait for them.
//!
//! They are keyed by what they are for, so that it makes no difference who draws them and when.

use std::collections::HashMap;
use std::thread::{self, JoinHandle};

use tch::{Device, Tensor};

use crate::modality::Modality;
use crate::noise::{Purpose, Randomness};
use crate::transfer;

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
    /// Noise of the gates, `[rows, experts]`.
    Gating([i64; 2]),
    /// An order of so many rows.
    Permutation(i64),
}

/// What was asked for in this epoch, and what has been drawn ahead.
#[derive(Debug)]
pub(super) struct Draws {
    randomness: Randomness,
    device: Device,
    asked: Vec<Draw>,
    ahead: Option<JoinHandle<HashMap<Draw, Tensor>>>,
    drawn: HashMap<Draw, Tensor>,
}

impl Draws {
    /// Nothing drawn yet; what will be goes to `device`.
    pub(super) fn new(randomness: Randomness, device: Device) -> Self {
        Self { randomness, device, asked: Vec::new(), ahead: None, drawn: HashMap::new() }
    }

    /// What is asked for; none if there is no such noise.
    pub(super) fn get(&mut self, draw: Draw) -> Option<Tensor> {
        self.asked.push(draw);
        if let Some(thread) = self.ahead.take() {
            // Should the thread have died, everything is drawn here.
            self.drawn = thread.join().unwrap_or_default();
        }
        let drawn = self.drawn.remove(&draw).or_else(|| make(self.randomness, draw))?;
        Some(transfer::send(&drawn, self.device))
    }

    /// Begins to draw for the next epoch what this one has asked for.
    pub(super) fn look_ahead(&mut self) {
        let randomness = self.randomness;
        let asked = std::mem::take(&mut self.asked);
        let next = asked.into_iter().map(|draw| Draw { epoch: draw.epoch + 1, ..draw });
        let next: Vec<Draw> = next.collect();
        let draw = move || next.into_iter().filter_map(|draw| Some((draw, make(randomness, draw)?))).collect();
        self.ahead = thread::Builder::new().name("draws".to_owned()).spawn(draw).ok();
    }
}

fn make(randomness: Randomness, Draw { modality, epoch, what }: Draw) -> Option<Tensor> {
    match what {
        What::Gating(shape) => randomness.gating(modality, epoch, shape),
        What::Permutation(rows) => Some(randomness.permutation(Purpose::Permutation, modality, epoch, rows)),
    }
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
            [What::Gating([rows, 3]), What::Permutation(rows)].map(|what| Draw {
                modality: Modality::Image,
                epoch,
                what,
            })
        };
        for (epoch, rows, ahead) in [(0, 5, false), (1, 5, true), (2, 6, false), (3, 6, true)] {
            for draw in asked(epoch, rows) {
                let got = draws.get(draw).unwrap();
                assert_eq!(got, make(randomness, draw).unwrap());
            }
            draws.look_ahead();
            // A list of another length is drawn when it is asked for.
            assert_eq!(draws.drawn.is_empty(), ahead || epoch == 0, "{epoch}");
        }
        let mut recorded = Draws::new(Randomness::Recorded, Device::Cpu);
        assert!(recorded.get(asked(0, 5)[0]).is_none() && recorded.get(asked(0, 5)[1]).is_some());
    }
}
