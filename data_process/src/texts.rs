//! Relations and attributes as the text a language model reads.
//!
//! Names of entities and their labels never enter a text: on most benchmarks they give the answer away.

pub mod sample;

use std::fmt;
use std::str::FromStr;

use crate::values::{Date, Value};
use crate::words::words;

/// How names and values become text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Template {
    /// Names as they stand in the source; of attributes the names alone, in source order, separated by a comma. This is
    /// our reading of the published method, whose exact template is not among the files it was published with.
    Published,
    /// Names split into words; attributes with their values, made readable, in alphabetical order.
    #[default]
    Sentence,
}

impl Template {
    /// Both templates.
    pub const ALL: [Self; 2] = [Self::Published, Self::Sentence];

    /// Its name in configuration and metadata.
    pub fn name(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Sentence => "sentence",
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// There is no template of that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no text template {0:?}; the templates are \"published\" and \"sentence\"")]
pub struct UnknownTemplate(pub String);

impl crate::fault::Fault for UnknownTemplate {
    fn kind(&self) -> crate::fault::Kind {
        crate::fault::Kind::Configuration
    }
}

impl FromStr for Template {
    type Err = UnknownTemplate;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|template| template.name() == text).ok_or_else(|| UnknownTemplate(text.to_owned()))
    }
}

/// The most bytes of an attribute text; more than a model of 512 tokens reads.
pub const LONGEST_TEXT: usize = 2000;

/// The most bytes of one value within it.
const LONGEST_VALUE: usize = 80;

/// The most values shown of one attribute.
const MOST_VALUES: usize = 3;

/// The text of a relation, from its name.
pub fn relation_text(name: &str, template: Template) -> String {
    match template {
        Template::Published => name.to_owned(),
        Template::Sentence => words(name),
    }
}

/// A literal to be read: its attribute's name, its text, and the text as [`crate::values::typed`] understands it among the
/// others of its attribute.
pub type Literal<'a> = (&'a str, &'a str, Value);

/// The text of an entity's attributes, from its literals in source order; none if it has no attribute.
pub fn attribute_text<'a>(facts: impl Iterator<Item = Literal<'a>>, template: Template) -> Option<String> {
    let text = match template {
        Template::Published => names(facts),
        Template::Sentence => sentence(facts),
    };
    (!text.is_empty()).then_some(text)
}

fn names<'a>(facts: impl Iterator<Item = Literal<'a>>) -> String {
    let mut names: Vec<&str> = Vec::new();
    for (name, ..) in facts {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    bounded(names, ", ")
}

fn sentence<'a>(facts: impl Iterator<Item = Literal<'a>>) -> String {
    let mut facts: Vec<(String, String)> =
        facts.map(|(name, text, value)| (words(name), readable(text, value))).collect();
    facts.sort_unstable();
    facts.dedup();
    let clauses = facts.chunk_by(|a, b| a.0 == b.0).map(|group| {
        let values: Vec<&str> = group.iter().map(|(_, value)| &**value).filter(|value| !value.is_empty()).collect();
        let shown = values[..values.len().min(MOST_VALUES)].join(", ");
        if shown.is_empty() { group[0].0.clone() } else { format!("{}: {shown}", group[0].0) }
    });
    bounded(clauses, "; ")
}

/// Joins what fits into [`LONGEST_TEXT`], whole pieces only, the first one cut if it alone is too long.
fn bounded(pieces: impl IntoIterator<Item = impl AsRef<str>>, separator: &str) -> String {
    let mut text = String::new();
    for piece in pieces {
        let piece = cut(piece.as_ref(), LONGEST_TEXT);
        let gap = if text.is_empty() { "" } else { separator };
        if text.len() + gap.len() + piece.len() > LONGEST_TEXT {
            break;
        }
        text.push_str(gap);
        text.push_str(piece);
    }
    text
}

/// The longest prefix of at most `most` bytes that ends between two characters.
fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// A value as a person would write it. Both graphs then write the same day, the same place and the same size alike.
fn readable(text: &str, value: Value) -> String {
    match value {
        Value::Number(number) => readable_number(number),
        Value::Date(date) => readable_date(date),
        Value::Coordinate(at) => {
            at.latitude.iter().chain(&at.longitude).map(|degrees| format!("{degrees:.2}")).collect::<Vec<_>>().join(" ")
        }
        Value::Quantity(quantity) => {
            let number = readable_number(quantity.value);
            if quantity.unit.name == "foot" {
                format!("{number} feet")
            } else {
                format!("{number} {}s", quantity.unit.name)
            }
        }
        Value::Text => cut(text.trim(), LONGEST_VALUE).to_owned(),
    }
}

fn readable_date(date: Date) -> String {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let year = if date.year < 0 { format!("{} BC", -date.year) } else { date.year.to_string() };
    let month = date.month.and_then(|month| MONTHS.get(usize::from(month) - 1));
    match (month, date.day) {
        (Some(month), Some(day)) => format!("{day} {month} {year}"),
        (Some(month), None) => format!("{month} {year}"),
        (None, _) => year,
    }
}

/// Up to four digits as they are, larger numbers to three significant digits with a word for their size.
fn readable_number(number: f64) -> String {
    for (size, word) in [(1e12, "trillion"), (1e9, "billion"), (1e6, "million"), (1e4, "thousand")] {
        if number.abs() >= size {
            let scaled = number / if word == "thousand" { 1e3 } else { size };
            let decimals = if scaled.abs() >= 100.0 { 0 } else { usize::from(scaled.abs() < 10.0) + 1 };
            return format!("{} {word}", trimmed(&format!("{scaled:.decimals$}")));
        }
    }
    trimmed(&format!("{number:.3}")).to_owned()
}

fn trimmed(decimal: &str) -> &str {
    if decimal.contains('.') { decimal.trim_end_matches('0').trim_end_matches('.') } else { decimal }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values;

    /// Each literal understood by itself.
    fn alone<'a>(facts: impl IntoIterator<Item = (&'a str, &'a str)>) -> impl Iterator<Item = Literal<'a>> {
        facts.into_iter().map(|(name, text)| (name, text, values::parse(name, None, text)))
    }

    const FACTS: [(&str, &str); 4] = [
        ("<http://dbpedia.org/ontology/runtime>", "6720.0"),
        ("<http://dbpedia.org/ontology/gross>", "75500000.0"),
        ("<http://dbpedia.org/ontology/birthDate>", "1946-03-12"),
        ("<http://dbpedia.org/ontology/gross>", "1.25e9"),
    ];

    #[test]
    fn sentence_has_words_and_readable_values_in_a_fixed_order() {
        let text = attribute_text(alone(FACTS), Template::Sentence).unwrap();
        assert_eq!(text, "birth date: 12 March 1946; gross: 1.25 billion, 75.5 million; runtime: 6720");
        let mut reversed = FACTS;
        reversed.reverse();
        assert_eq!(attribute_text(alone(reversed), Template::Sentence).unwrap(), text);
    }

    #[test]
    fn published_has_the_raw_names_once_in_source_order() {
        let text = attribute_text(alone(FACTS), Template::Published).unwrap();
        let ontology = "http://dbpedia.org/ontology";
        assert_eq!(text, format!("<{ontology}/runtime>, <{ontology}/gross>, <{ontology}/birthDate>"));
    }

    #[test]
    fn relations_read_as_words_or_raw() {
        let name = "/people/person/place_of_birth";
        assert_eq!(relation_text(name, Template::Published), name);
        assert_eq!(relation_text(name, Template::Sentence), "person place of birth");
    }

    #[test]
    fn an_entity_without_attributes_has_no_text() {
        for template in Template::ALL {
            assert_eq!(attribute_text(std::iter::empty(), template), None);
        }
    }

    #[test]
    fn names_without_values_are_listed() {
        let facts = [("http://e.org/birthDate", ""), ("http://e.org/area", "")];
        assert_eq!(attribute_text(alone(facts), Template::Sentence).unwrap(), "area; birth date");
    }

    fn readable(name: &str, text: &str) -> String {
        super::readable(text, values::parse(name, None, text))
    }

    #[test]
    fn the_same_fact_reads_alike_in_the_notations_of_both_graphs() {
        for (name, value) in [("wasBornOnDate", "1973.0125"), ("birthDate", "1973-1-25"), ("birthDate", "1973-01-25")] {
            assert_eq!(readable(name, value), "25 January 1973");
        }
        assert_eq!(readable("person.height_meters", "1.880"), "1.88 metres");
        assert_eq!(readable("geo#lat", "53.92472222"), "53.92");
        assert_eq!(readable("deathDate", "-63-0-0"), "63 BC");
        assert_eq!(readable("population", "405657"), "406 thousand");
    }

    #[test]
    fn texts_are_bounded_and_cut_between_characters() {
        let value = "ä".repeat(3000);
        let text = attribute_text(alone([("note", &*value)]), Template::Sentence).unwrap();
        assert_eq!(text.len(), "note: ".len() + LONGEST_VALUE);
        let names: Vec<String> = (0..2000).map(|i| format!("attribute{i}")).collect();
        for template in Template::ALL {
            let text = attribute_text(alone(names.iter().map(|name| (&**name, "v"))), template).unwrap();
            assert!(text.len() <= LONGEST_TEXT && text.len() > LONGEST_TEXT - 40);
        }
    }

    #[test]
    fn templates_are_known_by_name() {
        for template in Template::ALL {
            assert_eq!(template.name().parse(), Ok(template));
        }
        assert_eq!("poem".parse::<Template>(), Err(UnknownTemplate("poem".into())));
    }
}
