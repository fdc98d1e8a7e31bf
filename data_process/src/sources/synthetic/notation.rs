//! How either graph writes a value of the world: its units, its rounding, its way with dates.

use super::dice::Dice;
use super::ontology::Measure;
use crate::pair::Side;

/// A value as a graph writes it, with its datatype.
pub(super) type Written = (String, Option<&'static str>);

const XSD_DATE: &str = "http://www.w3.org/2001/XMLSchema#date";
const XSD_YEAR: &str = "http://www.w3.org/2001/XMLSchema#gYear";
const XSD_DOUBLE: &str = "http://www.w3.org/2001/XMLSchema#double";
const XSD_INTEGER: &str = "http://www.w3.org/2001/XMLSchema#integer";
const CENTIMETRE: &str = "http://dbpedia.org/datatype/centimetre";
const SQUARE_METRE: &str = "http://dbpedia.org/datatype/squareMetre";
const SECOND: &str = "http://dbpedia.org/datatype/second";

/// Writes a measure of the world, given as random bits, as one graph does. `noise` is that graph's own chance.
pub(super) fn write(measure: Measure, bits: u64, side: Side, noise: &mut Dice) -> Written {
    match side {
        Side::Left => (left(measure, bits), None),
        Side::Right => right(measure, bits, noise),
    }
}

/// Like Freebase: no datatypes, metres and square kilometres, months as twelfths of a year.
fn left(measure: Measure, bits: u64) -> String {
    match measure {
        Measure::Date => {
            let (year, month, _) = day(bits);
            twelfths(year, month)
        }
        Measure::Year => format!("{}.0", 1850 + below(bits, 170)),
        Measure::Length => format!("{:.2}", millimetres(bits) as f64 / 1000.0),
        Measure::Count => format!("{}.0", size(bits, 100)),
        Measure::Area => format!("{:.1}", size(bits, 1) as f64 / 10.0),
        Measure::Duration => format!("{}.0", minutes(bits)),
        Measure::Latitude => format!("{:.8}", degrees(bits, 150) - 70.0),
        Measure::Longitude => format!("{:.8}", degrees(bits, 360) - 180.0),
        Measure::Words => words(bits),
    }
}

/// Like DBpedia: datatypes, centimetres, square metres and seconds, whole days, figures from another year.
fn right(measure: Measure, bits: u64, noise: &mut Dice) -> Written {
    match measure {
        Measure::Date => (date(bits, noise), Some(XSD_DATE)),
        Measure::Year => (format!("{}", 1850 + below(bits, 170)), Some(XSD_YEAR)),
        Measure::Length => (format!("{}.0", (millimetres(bits) + 5) / 10), Some(CENTIMETRE)),
        Measure::Count => (format!("{}", grown(size(bits, 100), noise)), Some(XSD_INTEGER)),
        Measure::Area => (format!("{}.0", grown(size(bits, 1) * 100_000, noise)), Some(SQUARE_METRE)),
        Measure::Duration => (format!("{}.0", minutes(bits) * 60), Some(SECOND)),
        Measure::Latitude => (format!("{:.4}", degrees(bits, 150) - 70.0 + jitter(noise)), Some(XSD_DOUBLE)),
        Measure::Longitude => (format!("{:.4}", degrees(bits, 360) - 180.0 + jitter(noise)), Some(XSD_DOUBLE)),
        Measure::Words => (words(if noise.chance(0.5) { bits } else { other_word(bits, noise) }), None),
    }
}

fn below(bits: u64, count: u64) -> u64 {
    ((u128::from(bits) * u128::from(count)) >> 64) as u64
}

/// Year, month and day.
fn day(bits: u64) -> (u64, u64, u64) {
    let day = below(bits, 170 * 12 * 28);
    (1850 + day / (12 * 28), day / 28 % 12 + 1, day % 28 + 1)
}

/// Year + month/12, as FB15K writes dates.
fn twelfths(year: u64, month: u64) -> String {
    let text = format!("{:.8}", year as f64 + month as f64 / 12.0);
    let short = text.trim_end_matches('0');
    if short.ends_with('.') { format!("{short}0") } else { short.to_owned() }
}

/// One date in five is known to the year only.
fn date(bits: u64, noise: &mut Dice) -> String {
    let (year, month, day) = day(bits);
    if noise.chance(0.2) { format!("{year:04}-##-##") } else { format!("{year:04}-{month:02}-{day:02}") }
}

fn millimetres(bits: u64) -> u64 {
    1000 + below(bits, 1500)
}

fn minutes(bits: u64) -> u64 {
    30 + below(bits, 210)
}

/// Three significant digits and a size of one to a hundred thousand times `unit`.
fn size(bits: u64, unit: u64) -> u64 {
    const SIZES: [u64; 5] = [1, 10, 100, 1000, 10_000];
    (100 + below(bits, 900)) * SIZES[(bits & 0xFF) as usize % SIZES.len()] * unit / 10
}

/// Up to four per cent more, as a figure from a later year is.
fn grown(count: u64, noise: &mut Dice) -> u64 {
    count + (count as f64 * 0.04 * noise.unit()) as u64
}

fn degrees(bits: u64, span: u64) -> f64 {
    below(bits, span * 1_000_000) as f64 / 1_000_000.0
}

fn jitter(noise: &mut Dice) -> f64 {
    (noise.unit() - 0.5) * 0.01
}

/// Two words out of a vocabulary of 4,096.
fn words(bits: u64) -> String {
    format!("{} {}", word(bits >> 8), word(bits >> 40))
}

fn other_word(bits: u64, noise: &mut Dice) -> u64 {
    (bits & 0xFFFF_FFFF) | noise.bits() << 32
}

fn word(bits: u64) -> String {
    const FIRST: [&str; 8] = ["ba", "do", "ki", "lu", "me", "no", "ra", "su"];
    const MIDDLE: [&str; 8] = ["lan", "mer", "nit", "pol", "run", "sav", "tor", "vel"];
    const LAST: [&str; 8] = ["a", "en", "ia", "ist", "or", "um", "y", "o"];
    let pick = |list: [&'static str; 8], shift: u32| list[(bits >> shift & 7) as usize];
    format!("{}{}{}", pick(FIRST, 0), pick(MIDDLE, 3), pick(LAST, 6))
}
