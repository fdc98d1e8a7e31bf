//! Units of measurement: which words, symbols and datatypes state one.

/// What a unit measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dimension {
    /// In metres.
    Length,
    /// In square metres.
    Area,
    /// In cubic metres.
    Volume,
    /// In kilograms.
    Mass,
    /// In seconds.
    Duration,
}

/// A unit of measurement.
#[derive(Debug, PartialEq)]
pub struct Unit {
    /// What it measures.
    pub dimension: Dimension,
    /// Its name, in the singular.
    pub name: &'static str,
    /// Its symbol.
    pub symbol: &'static str,
    /// How many base units it is.
    pub factor: f64,
}

const fn unit(dimension: Dimension, name: &'static str, symbol: &'static str, factor: f64) -> Unit {
    Unit { dimension, name, symbol, factor }
}

/// Every unit that is known.
static UNITS: [Unit; 24] = [
    unit(Dimension::Length, "metre", "m", 1.0),
    unit(Dimension::Length, "millimetre", "mm", 0.001),
    unit(Dimension::Length, "centimetre", "cm", 0.01),
    unit(Dimension::Length, "kilometre", "km", 1000.0),
    unit(Dimension::Length, "inch", "in", 0.0254),
    unit(Dimension::Length, "foot", "ft", 0.3048),
    unit(Dimension::Length, "mile", "mi", 1_609.344),
    unit(Dimension::Area, "square metre", "m2", 1.0),
    unit(Dimension::Area, "square kilometre", "km2", 1.0e6),
    unit(Dimension::Area, "square mile", "sqmi", 2_589_988.110_336),
    unit(Dimension::Area, "hectare", "ha", 1.0e4),
    unit(Dimension::Area, "acre", "acre", 4_046.856_422_4),
    unit(Dimension::Volume, "cubic metre", "m3", 1.0),
    unit(Dimension::Volume, "cubic kilometre", "km3", 1.0e9),
    unit(Dimension::Volume, "litre", "l", 0.001),
    unit(Dimension::Mass, "kilogram", "kg", 1.0),
    unit(Dimension::Mass, "gram", "g", 0.001),
    unit(Dimension::Mass, "pound", "lb", 0.453_592_37),
    unit(Dimension::Mass, "tonne", "t", 1000.0),
    unit(Dimension::Duration, "second", "s", 1.0),
    unit(Dimension::Duration, "minute", "min", 60.0),
    unit(Dimension::Duration, "hour", "h", 3600.0),
    unit(Dimension::Duration, "day", "d", 86_400.0),
    unit(Dimension::Duration, "year", "yr", 31_557_600.0),
];

/// Symbols of one letter are too short to be believed inside a name.
const SHORTEST_SYMBOL_IN_NAME: usize = 2;

/// The unit a name ends in (`height meters`, `weight kg`, `area km2`).
pub(super) fn in_name(words: &str) -> Option<&'static Unit> {
    let last = words.rsplit(' ').next()?;
    // The year of an event is a date, not a duration, a day of an event too, and `log in` measures nothing.
    if matches!(last, "year" | "day" | "in" | "second" | "min") {
        return None;
    }
    let pair = words.rsplitn(3, ' ').take(2).collect::<Vec<_>>();
    let two = format!("{} {last}", pair.get(1).unwrap_or(&""));
    by_word(two.trim())
        .or_else(|| by_word(last))
        .or_else(|| UNITS.iter().find(|unit| unit.symbol.len() >= SHORTEST_SYMBOL_IN_NAME && unit.symbol == last))
}

/// The unit a datatype names (`http://dbpedia.org/datatype/squareKilometre`).
pub(super) fn in_datatype(datatype: &str) -> Option<&'static Unit> {
    by_word(&crate::words::words(datatype))
}

/// A number with what follows it: `1.88 m`, `6,720 s`, `75`. None if it does not begin with a number or what follows is no unit.
pub(super) fn split_text(text: &str) -> Option<(f64, Option<&'static Unit>)> {
    let end = text.find(|letter: char| !(letter.is_ascii_digit() || "+-.,eE".contains(letter))).unwrap_or(text.len());
    let value = super::number(&text[..end])?;
    let rest = text[end..].trim();
    if rest.is_empty() {
        return Some((value, None));
    }
    let unit =
        UNITS.iter().find(|unit| unit.symbol == rest.replace('²', "2").replace('³', "3")).or_else(|| by_word(rest))?;
    Some((value, Some(unit)))
}

/// The text without the commas between groups of three digits; none if its commas stand elsewhere.
pub(super) fn without_groups(text: &str) -> Option<String> {
    let mut groups = text.split(',');
    let first = groups.next()?;
    let grouped = |group: &str| group.len() >= 3 && group.bytes().take(3).all(|byte| byte.is_ascii_digit());
    let rest: Vec<&str> = groups.collect();
    let (last, middle) = match rest.split_last() {
        None => return Some(first.to_owned()),
        Some((last, middle)) => (*last, middle),
    };
    let last_ends = last.get(3..).is_some_and(|after| after.is_empty() || after.starts_with('.'));
    let well_formed = grouped(last) && last_ends && middle.iter().all(|group| grouped(group) && group.len() == 3);
    (well_formed && (1..=4).contains(&first.len())).then(|| text.replace(',', ""))
}

/// A unit by its name, British or American, singular or plural.
fn by_word(word: &str) -> Option<&'static Unit> {
    let word = word.to_lowercase();
    let british = word.replace("meter", "metre").replace("liter", "litre");
    let singular = match british.as_str() {
        "feet" => "foot",
        "inches" => "inch",
        other => other.strip_suffix('s').unwrap_or(other),
    };
    UNITS.iter().find(|unit| unit.name == singular)
}
