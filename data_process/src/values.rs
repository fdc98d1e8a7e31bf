//! Attribute values as typed quantities: numbers, dates, coordinates and quantities with a unit.
//!
//! A literal is judged by its attribute's name, its datatype and its text together, because the datatypes of the real files
//! cannot be trusted (YAGO15K calls dates `xsd:degrees`) and FB15K has none. A unit is believed only where the name, the
//! datatype or the text states one; it is never guessed. What is none of these stays text.

mod date;
mod unit;

pub use date::{Date, WholeYears};
pub use unit::{Dimension, Unit};

use crate::pair::Graph;
use crate::words;

/// What a literal says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A number without a unit.
    Number(f64),
    /// A day, a month or a year.
    Date(Date),
    /// A place on the Earth, or one half of it.
    Coordinate(Coordinate),
    /// A number with a unit.
    Quantity(Quantity),
    /// None of these; the text itself stays with the fact.
    Text,
}

/// A latitude, a longitude or both, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coordinate {
    /// Degrees north, −90 to 90.
    pub latitude: Option<f64>,
    /// Degrees east, −180 to 360 as some sources count eastwards all the way round.
    pub longitude: Option<f64>,
}

/// A number with a unit, as written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantity {
    /// How many of the unit.
    pub value: f64,
    /// The unit.
    pub unit: &'static Unit,
}

impl Quantity {
    /// The value in the base unit of its dimension: metres, square metres, cubic metres, kilograms or seconds.
    pub fn in_base_unit(&self) -> f64 {
        self.value * self.unit.factor
    }
}

/// How many values are of which kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Numbers without a unit.
    pub numbers: usize,
    /// Dates.
    pub dates: usize,
    /// Coordinates.
    pub coordinates: usize,
    /// Quantities with a unit.
    pub quantities: usize,
    /// Values kept as text.
    pub texts: usize,
}

impl Counts {
    fn count(&mut self, value: Value) {
        *match value {
            Value::Number(_) => &mut self.numbers,
            Value::Date(_) => &mut self.dates,
            Value::Coordinate(_) => &mut self.coordinates,
            Value::Quantity(_) => &mut self.quantities,
            Value::Text => &mut self.texts,
        } += 1;
    }
}

/// The facts of a graph, parsed once.
#[derive(Clone, Debug, PartialEq)]
pub struct TypedFacts {
    /// The value of each fact, in the order of [`Graph::facts`].
    pub values: Vec<Value>,
    /// How many are of which kind.
    pub counts: Counts,
}

/// Parses every fact of a graph. Whether `1949.0` is a year or the December before it is decided for each attribute from
/// all its values, see [`WholeYears`].
pub fn typed(graph: &Graph) -> TypedFacts {
    let mut columns: Vec<Column> = graph.attributes.iter().map(|name| Column::new(name)).collect();
    for fact in &graph.facts {
        columns[fact.attribute as usize].months.add(&fact.value);
    }
    for column in &mut columns {
        column.whole_years = column.months.whole_years();
    }
    let mut typed = TypedFacts { values: Vec::with_capacity(graph.facts.len()), counts: Counts::default() };
    for fact in &graph.facts {
        let datatype = fact.datatype.map(|tag| &*graph.tags[tag as usize]);
        let value = columns[fact.attribute as usize].parse(datatype, &fact.value);
        typed.counts.count(value);
        typed.values.push(value);
    }
    typed
}

/// Parses one literal by itself; `1949.0` of a date is then December 1948, as in FB15K's birth dates.
pub fn parse(attribute: &str, datatype: Option<&str>, text: &str) -> Value {
    Column::new(attribute).parse(datatype, text)
}

/// What an attribute's name says about its values.
#[derive(Clone, Debug)]
struct Column {
    subject: Subject,
    unit: Option<&'static Unit>,
    months: date::Months,
    whole_years: WholeYears,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Date,
    Latitude,
    Longitude,
    Point,
    Other,
}

impl Column {
    fn new(attribute: &str) -> Self {
        let words = words::property(attribute);
        Self {
            subject: subject(&words),
            unit: unit::in_name(&words),
            months: date::Months::default(),
            whole_years: WholeYears::December,
        }
    }

    fn parse(&self, datatype: Option<&str>, text: &str) -> Value {
        let text = text.trim();
        let datatype =
            datatype.map_or("", |datatype| datatype.rsplit(['#', '/']).next().unwrap_or("").trim_matches('>'));
        self.parse_date(datatype, text)
            .map(Value::Date)
            .or_else(|| self.parse_coordinate(text).map(Value::Coordinate))
            .or_else(|| self.parse_quantity(datatype, text).map(Value::Quantity))
            .or_else(|| number(text).map(Value::Number))
            .unwrap_or(Value::Text)
    }

    /// A date where name or datatype announce one; elsewhere only what can be nothing else (`1946-03-12`).
    fn parse_date(&self, datatype: &str, text: &str) -> Option<Date> {
        if self.subject == Subject::Date || date::is_datatype(datatype) {
            date::parse(text, self.whole_years)
        } else {
            date::parse_full(text)
        }
    }

    fn parse_coordinate(&self, text: &str) -> Option<Coordinate> {
        let coordinate = match self.subject {
            Subject::Latitude => Coordinate { latitude: Some(number(text)?), longitude: None },
            Subject::Longitude => Coordinate { latitude: None, longitude: Some(number(text)?) },
            Subject::Point => point(text)?,
            Subject::Date | Subject::Other => well_known_text(text)?,
        };
        let latitude = coordinate.latitude.is_none_or(|degrees| degrees.abs() <= 90.0);
        let longitude = coordinate.longitude.is_none_or(|degrees| (-180.0..=360.0).contains(&degrees));
        (latitude && longitude).then_some(coordinate)
    }

    fn parse_quantity(&self, datatype: &str, text: &str) -> Option<Quantity> {
        let (value, stated) = unit::split_text(text)?;
        let unit = stated.or_else(|| unit::in_datatype(datatype)).or(self.unit)?;
        Some(Quantity { value, unit })
    }
}

/// What an attribute is about, from the words of its name.
fn subject(words: &str) -> Subject {
    let mut each = words.split(' ');
    let last = words.rsplit(' ').next().unwrap_or("");
    match last {
        "lat" | "latitude" => Subject::Latitude,
        "lon" | "long" | "longitude" => Subject::Longitude,
        "point" | "coordinates" | "geometry" => Subject::Point,
        _ if date::counts(words) => Subject::Other,
        _ if date::is_last_word(last) || each.any(date::is_word) => Subject::Date,
        _ => Subject::Other,
    }
}

/// A finite decimal number; no `inf`, no `nan`, and a comma only between groups of three digits.
fn number(text: &str) -> Option<f64> {
    let plain = unit::without_groups(text)?;
    let numeric = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E');
    if plain.len() > 64 || !plain.bytes().all(numeric) {
        return None;
    }
    plain.parse::<f64>().ok().filter(|number| number.is_finite())
}

/// `latitude longitude`, as in `georss:point`, or well-known text.
fn point(text: &str) -> Option<Coordinate> {
    well_known_text(text).or_else(|| {
        let (latitude, longitude) = text.split_once([' ', ',', ';'])?;
        Some(Coordinate { latitude: Some(number(latitude.trim())?), longitude: Some(number(longitude.trim())?) })
    })
}

/// `POINT(longitude latitude)`.
fn well_known_text(text: &str) -> Option<Coordinate> {
    let head = text.get(..5).filter(|head| head.eq_ignore_ascii_case("point"))?;
    let inner = text[head.len()..].trim().strip_prefix('(')?.strip_suffix(')')?;
    let (longitude, latitude) = inner.trim().split_once(' ')?;
    Some(Coordinate { latitude: Some(number(latitude.trim())?), longitude: Some(number(longitude.trim())?) })
}

#[cfg(test)]
mod tests;
