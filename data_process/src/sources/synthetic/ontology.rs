//! The world's relations and attributes, and what either graph calls them.

use super::Knobs;
use super::dice::{Dice, Purpose};

/// The types an entity can have, with the Freebase-like domain they lie in.
pub(super) const TYPES: [(&str, &str); 8] = [
    ("people", "person"),
    ("location", "place"),
    ("organization", "company"),
    ("film", "film"),
    ("music", "artist"),
    ("sports", "team"),
    ("education", "university"),
    ("time", "event"),
];

const NOUNS: [&str; 16] = [
    "place", "country", "member", "owner", "author", "partner", "language", "genre", "award", "school", "producer",
    "manager", "region", "station", "subject", "rival",
];

const CIRCUMSTANCES: [&str; 13] = [
    "birth",
    "origin",
    "work",
    "residence",
    "foundation",
    "service",
    "study",
    "production",
    "burial",
    "training",
    "broadcast",
    "trade",
    "performance",
];

/// A relation of the world.
#[derive(Clone, Debug)]
pub(super) struct Relation {
    /// The type of its heads.
    pub(super) domain: usize,
    /// The type of its tails.
    pub(super) range: usize,
    /// What the left and the right graph call it, if they use it.
    pub(super) names: [Option<String>; 2],
}

/// What an attribute measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    Date,
    Length,
    Count,
    Words,
    Latitude,
    Area,
    Year,
    Longitude,
    Duration,
}

const MEASURES: [Measure; 9] = [
    Measure::Date,
    Measure::Length,
    Measure::Count,
    Measure::Words,
    Measure::Latitude,
    Measure::Area,
    Measure::Year,
    Measure::Longitude,
    Measure::Duration,
];

/// An attribute of the world.
#[derive(Clone, Debug)]
pub(super) struct Attribute {
    /// The type of the entities that have it.
    pub(super) domain: usize,
    /// What it measures.
    pub(super) measure: Measure,
    /// What the left and the right graph call it, if they use it.
    pub(super) names: [Option<String>; 2],
}

/// All relations and attributes.
#[derive(Clone, Debug)]
pub(super) struct Ontology {
    pub(super) relations: Vec<Relation>,
    pub(super) attributes: Vec<Attribute>,
}

impl Ontology {
    pub(super) fn new(knobs: &Knobs) -> Self {
        let mut dice = Dice::new(knobs.seed, Purpose::Ontology, 0);
        let relations = (0..knobs.relations).map(|number| relation(number, knobs, &mut dice)).collect();
        let attributes = (0..knobs.attributes).map(|number| attribute(number, knobs, &mut dice)).collect();
        Self { relations, attributes }
    }
}

fn relation(number: usize, knobs: &Knobs, dice: &mut Dice) -> Relation {
    let noun = NOUNS[number % NOUNS.len()];
    let of = CIRCUMSTANCES[number % CIRCUMSTANCES.len()];
    let domain = number % TYPES.len();
    let round = round_of(number, NOUNS.len() * CIRCUMSTANCES.len());
    let (field, kind) = TYPES[domain];
    let left = format!("/{field}/{kind}/{noun}_of_{of}{round}");
    let right = format!("http://example.org/ontology/{of}{}{round}", capital(noun));
    let other = format!("http://example.org/ontology/linkedBy{}", letters(number));
    let range = dice.below(TYPES.len());
    Relation { domain, range, names: names([left, right, other], knobs, dice) }
}

fn attribute(number: usize, knobs: &Knobs, dice: &mut Dice) -> Attribute {
    let measure = MEASURES[number % MEASURES.len()];
    let domain = number % TYPES.len();
    let (left, right) = wording(measure, number / MEASURES.len());
    let round = round_of(number, MEASURES.len() * TYPES.len());
    let (field, kind) = TYPES[domain];
    let left = format!("http://rdf.example.com/ns/{field}.{kind}.{left}{round}");
    let right = format!("http://example.org/ontology/{right}{round}");
    let other = format!("http://example.org/ontology/figure{}", letters(number));
    Attribute { domain, measure, names: names([left, right, other], knobs, dice) }
}

/// Leaves one name out if only one graph uses it, and gives the right graph another one where the words are not shared.
fn names([left, alike, other]: [String; 3], knobs: &Knobs, dice: &mut Dice) -> [Option<String>; 2] {
    let right = if dice.chance(knobs.named_alike) { alike } else { other };
    let (one_sided, on_the_left) = (dice.chance(knobs.one_sided), dice.chance(0.5));
    [(!one_sided || on_the_left).then_some(left), (!one_sided || !on_the_left).then_some(right)]
}

/// The words either graph uses for a measure.
fn wording(measure: Measure, round: usize) -> (&'static str, &'static str) {
    let choices: &[(&str, &str)] = match measure {
        Measure::Date => &[
            ("date_of_birth", "birthDate"),
            ("date_founded", "foundingDate"),
            ("initial_release_date", "releaseDate"),
            ("date_of_death", "deathDate"),
        ],
        Measure::Length => &[("height_meters", "height"), ("width_meters", "width"), ("depth_meters", "maximumDepth")],
        Measure::Count => &[("population_number", "populationTotal"), ("number_of_students", "numberOfStudents")],
        Measure::Words => &[("notable_for", "notableSubject"), ("description_words", "shortDescription")],
        Measure::Latitude => &[("geocode_latitude", "latitude")],
        Measure::Area => &[("area_square_kilometers", "areaTotal"), ("land_area_square_kilometers", "areaLand")],
        Measure::Year => &[("active_start", "activeYearsStartYear"), ("established", "establishedYear")],
        Measure::Longitude => &[("geocode_longitude", "longitude")],
        Measure::Duration => &[("running_time_minutes", "runtime"), ("season_time_minutes", "seasonDuration")],
    };
    choices[round % choices.len()]
}

/// Tells apart names that the word lists would repeat.
fn round_of(number: usize, names: usize) -> String {
    let round = number / names;
    if round == 0 { String::new() } else { letters(round).to_uppercase() }
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().collect::<String>() + letters.as_str())
}

/// A number in letters, so that no number is shared between the graphs' names.
fn letters(mut number: usize) -> String {
    let mut text = String::new();
    loop {
        text.push(char::from(b'a' + (number % 26) as u8));
        number /= 26;
        if number == 0 {
            return text;
        }
    }
}
