//! What a number of the configuration may be: each is named in `#[serde(deserialize_with = "…")]` beside its key. Which key it
//! was, and which file or flag gave it, is added where the whole configuration is read ([`crate::config::Layers`]).

use std::fmt::Display;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// A number that `fits`; `expected` completes "must be …".
///
/// # Errors
/// If it does not, or is no number.
pub(crate) fn checked<'de, D, T>(from: D, fits: impl Fn(T) -> bool, expected: &str) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Copy + Display,
{
    let number = T::deserialize(from)?;
    if fits(number) {
        return Ok(number);
    }
    Err(D::Error::custom(format!("must be {expected}; {number} is not")))
}

/// A whole number of things of which there must be some.
pub(crate) fn at_least_one<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Copy + Display + PartialOrd + From<u8>,
{
    checked(from, |number: T| number >= T::from(1), "at least 1")
}

/// A whole number that may be 0.
pub(crate) fn at_least_zero<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    checked(from, |number: i64| number >= 0, "0 or more")
}

/// A weight or a rate that may be 0.
pub(crate) fn not_negative<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    checked(from, |number: f64| number >= 0.0 && number.is_finite(), "a number that is not negative")
}

/// A length or a rate of which there must be some.
pub(crate) fn above_zero<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Copy + Display + Into<f64>,
{
    let fits = |number: T| number.into() > 0.0 && number.into().is_finite();
    checked(from, fits, "a number above 0")
}

/// A number at all; infinity compares as one does, nothing compares with `nan`.
pub(crate) fn number<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    checked(from, |number: f64| !number.is_nan(), "a number")
}

/// A part of a whole.
pub(crate) fn part<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    checked(from, |number: f64| (0.0..=1.0).contains(&number), "a part between 0 and 1")
}
