//! Which links train, which validate and which test: the seeded split of the published runs, reproduced bit for bit.
//!
//! `numpy.random.seed(s); numpy.random.shuffle(links)` is an MT19937 seeded with one word, a Fisher–Yates shuffle from the
//! end, and masked rejection for each draw. The train part is the first ⌊n·rate⌋ of the shuffled positions.

use std::str::FromStr;

use rand_mt::Mt;
use serde::{Deserialize, Serialize};

use crate::fault::{Fault, Kind};

/// A share strictly between 0 and 1: of the links that train.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Rate(f64);

/// A share of the train part that is held out to choose the epoch: at least 0 and less than 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Share(f64);

/// A number that cannot be the share it was meant to be.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ShareError {
    /// The share of the links that train.
    #[error("the rate must lie between 0 and 1 (0.2 trains on a fifth of the links); {0} does not")]
    Rate(String),
    /// The share of the train part that validates.
    #[error("the validation share must be at least 0 and less than 1; {0} is not")]
    Validation(String),
}

impl Fault for ShareError {
    fn kind(&self) -> Kind {
        Kind::Configuration
    }
}

impl Rate {
    /// The share as a number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Share {
    /// The share as a number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Rate {
    type Error = ShareError;

    fn try_from(share: f64) -> Result<Self, ShareError> {
        if share > 0.0 && share < 1.0 { Ok(Self(share)) } else { Err(ShareError::Rate(share.to_string())) }
    }
}

impl From<Rate> for f64 {
    fn from(rate: Rate) -> Self {
        rate.0
    }
}

impl From<Share> for f64 {
    fn from(share: Share) -> Self {
        share.0
    }
}

impl TryFrom<f64> for Share {
    type Error = ShareError;

    fn try_from(share: f64) -> Result<Self, ShareError> {
        if (0.0..1.0).contains(&share) { Ok(Self(share)) } else { Err(ShareError::Validation(share.to_string())) }
    }
}

impl FromStr for Rate {
    type Err = ShareError;

    fn from_str(text: &str) -> Result<Self, ShareError> {
        text.parse::<f64>().map_err(|_| ShareError::Rate(text.to_owned()))?.try_into()
    }
}

impl FromStr for Share {
    type Err = ShareError;

    fn from_str(text: &str) -> Result<Self, ShareError> {
        text.parse::<f64>().map_err(|_| ShareError::Validation(text.to_owned()))?.try_into()
    }
}

/// Positions in a store's list of links, each in at most one part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Links whose counterparts are shown in training.
    pub train: Vec<usize>,
    /// Links held out of the train part, to choose the epoch.
    pub validation: Vec<usize>,
    /// Links only ever scored.
    pub test: Vec<usize>,
}

impl Split {
    /// Holds out the last ⌊train·share⌋ links of the train part, unless there is a validation part already.
    #[must_use]
    pub fn hold_out(mut self, share: Share) -> Self {
        if self.validation.is_empty() {
            let held_out = (self.train.len() as f64 * share.get()) as usize;
            self.validation = self.train.split_off(self.train.len() - held_out);
        }
        self
    }
}

/// Splits `links` positions as NumPy would: the first ⌊links·rate⌋ of the shuffled ones train, less a tail of
/// ⌊that·validation⌋, which validates; the rest test.
pub fn seeded(links: usize, seed: u32, rate: Rate, validation: Share) -> Split {
    let mut train = shuffled(links, seed);
    let test = train.split_off((links as f64 * rate.get()) as usize);
    Split { train, validation: Vec::new(), test }.hold_out(validation)
}

/// The positions `0..count` in the order `numpy.random.RandomState(seed).shuffle` leaves them in.
pub fn shuffled(count: usize, seed: u32) -> Vec<usize> {
    let mut random = Mt::new(seed);
    let mut positions: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        positions.swap(last, up_to(&mut random, last as u32) as usize);
    }
    positions
}

/// A number from 0 to `most`: draws are masked to its width, and those still beyond it thrown away.
fn up_to(random: &mut Mt, most: u32) -> u32 {
    let mask = u32::MAX >> most.leading_zeros();
    loop {
        let drawn = random.next_u32() & mask;
        if drawn <= most {
            return drawn;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(share: f64) -> Rate {
        share.try_into().unwrap()
    }

    #[test]
    fn the_first_positions_are_those_of_the_published_runs() {
        let of_db15k = [11392, 5587, 9156, 8969, 8806, 4526, 4983, 5306, 1983, 12739];
        let of_yago15k = [3532, 2899, 3822, 5846, 9036, 10581, 4403, 8847, 3031, 3994];
        assert_eq!(shuffled(12846, 42)[..10], of_db15k);
        assert_eq!(shuffled(11199, 42)[..10], of_yago15k);
    }

    #[test]
    fn the_parts_share_nothing_and_leave_nothing_out() {
        for (links, validation) in [(1, 0.0), (10, 0.1), (12846, 0.25)] {
            let split = seeded(links, 7, rate(0.2), validation.try_into().unwrap());
            let mut all = [split.train.clone(), split.validation.clone(), split.test.clone()].concat();
            all.sort_unstable();
            assert_eq!(all, (0..links).collect::<Vec<_>>());
            let seeds = (links as f64 * 0.2) as usize;
            assert_eq!(split.train.len() + split.validation.len(), seeds);
            assert_eq!(split.validation.len(), (seeds as f64 * validation) as usize);
        }
    }

    #[test]
    fn validation_is_the_tail_of_the_train_part() {
        let without = seeded(100, 42, rate(0.5), Share::default());
        let with = seeded(100, 42, rate(0.5), Share::try_from(0.1).unwrap());
        assert_eq!(without.train, [with.train, with.validation].concat());
        assert_eq!(without.test, with.test);
    }

    #[test]
    fn a_published_validation_part_is_not_added_to() {
        let split = Split { train: vec![0, 1, 2, 3], validation: vec![4], test: vec![5] };
        assert_eq!(split.clone().hold_out(Share::try_from(0.5).unwrap()), split);
    }

    #[test]
    fn nothing_to_split_gives_empty_parts() {
        assert_eq!(seeded(0, 42, rate(0.5), Share::default()), Split::default());
    }

    #[test]
    fn a_rate_must_leave_something_to_train_and_to_test() {
        for wrong in ["0", "1", "1.5", "-0.2", "nan", "inf", "a fifth"] {
            let error = wrong.parse::<Rate>().unwrap_err();
            assert!(matches!(error, ShareError::Rate(_)), "{error}");
        }
        assert!("0.2".parse::<Rate>().is_ok());
    }

    #[test]
    fn a_validation_share_may_be_nothing_but_not_all() {
        for wrong in ["1", "-0.1", "nan", "half"] {
            assert!(matches!(wrong.parse::<Share>(), Err(ShareError::Validation(_))), "{wrong}");
        }
        assert!("0".parse::<Share>().is_ok());
    }
}
