use super::*;
use crate::pair::{Fact, Names};

fn date(year: i32, month: u8, day: u8) -> Value {
    Value::Date(Date { year, month: (month > 0).then_some(month), day: (day > 0).then_some(day) })
}

const XSD: &str = "http://www.w3.org/2001/XMLSchema#";

#[test]
fn dates_in_every_notation_of_the_real_files() {
    let born = "<http://yago-knowledge.org/resource/wasBornOnDate>";
    for (text, expected) in [
        ("1946-03-12", date(1946, 3, 12)),
        ("1967-8-9", date(1967, 8, 9)),
        ("1973.0125", date(1973, 1, 25)),
        ("1887.0000", date(1887, 0, 0)),
        ("1980.0500", date(1980, 5, 0)),
        ("1786-##-##", date(1786, 0, 0)),
        ("1786-05-##", date(1786, 5, 0)),
        ("-63-0-0", date(-63, 0, 0)),
        ("1970-0-0", date(1970, 0, 0)),
        ("-383-1-1", date(-383, 1, 1)),
        ("0006-06-24", date(6, 6, 24)),
        ("1948.75", date(1948, 9, 0)),
        ("1949.0", date(1948, 12, 0)),
        ("1804.58333333", date(1804, 7, 0)),
        ("1998", date(1998, 0, 0)),
        ("44 BC", date(-44, 0, 0)),
        ("2001-10-26T21:32:52+02:00", date(2001, 10, 26)),
        ("2001-10-26-05:00", date(2001, 10, 26)),
        ("1998-01", date(1998, 1, 0)),
    ] {
        assert_eq!(parse(born, None, text), expected, "{text}");
    }
}

#[test]
fn the_datatype_alone_makes_a_date_and_the_name_overrules_a_wrong_one() {
    assert_eq!(parse("http://e.org/x", Some(&format!("{XSD}gYear")), "1946"), date(1946, 0, 0));
    assert_eq!(parse("http://e.org/bornOnDate", Some(&format!("{XSD}degrees")), "1973.0125"), date(1973, 1, 25));
    assert_eq!(parse("http://e.org/x", None, "1946-03-12"), date(1946, 3, 12));
    assert_eq!(parse("http://e.org/x", None, "1946"), Value::Number(1946.0));
}

#[test]
fn a_day_that_does_not_exist_is_no_date() {
    for text in ["1946-02-30", "1946-13-01", "1946-00x-01", "1946-1-1-1", "19460312345", "1946-", "--", "-", "1946.6"] {
        assert!(!matches!(parse("http://e.org/birthDate", None, text), Value::Date(_)), "{text}");
    }
}

#[test]
fn numbers_keep_to_finite_decimals() {
    for (text, expected) in [("75500000.0", 7.55e7), ("3.5e+13", 3.5e13), ("-7", -7.0), ("1,234,567.5", 1_234_567.5)] {
        assert_eq!(parse("http://e.org/gross", None, text), Value::Number(expected), "{text}");
    }
    for text in ["", "inf", "NaN", "1e999", "12,34", "0x10", "twelve", "1_000", "1.2.3", ",", "1,"] {
        assert_eq!(parse("http://e.org/gross", None, text), Value::Text, "{text}");
    }
}

#[test]
fn counting_names_are_no_dates() {
    assert_eq!(parse("time.month.number_of_days_in_month", None, "31.0"), Value::Number(31.0));
    assert_eq!(parse("http://dbpedia.org/ontology/numberOfSeasons", None, "11"), Value::Number(11.0));
}

#[test]
fn coordinates_stay_on_the_earth() {
    let latitude = parse("http://www.w3.org/2003/01/geo/wgs84_pos#lat", None, "53.4325");
    assert_eq!(latitude, Value::Coordinate(Coordinate { latitude: Some(53.4325), longitude: None }));
    let longitude = parse("ns/location.geocode.longitude", None, "9.7");
    assert_eq!(longitude, Value::Coordinate(Coordinate { latitude: None, longitude: Some(9.7) }));
    let point = Value::Coordinate(Coordinate { latitude: Some(53.5), longitude: Some(14.25) });
    assert_eq!(parse("http://www.georss.org/georss/point", None, "53.5 14.25"), point);
    assert_eq!(parse("http://e.org/where", None, "POINT(14.25 53.5)"), point);
    assert_eq!(parse("http://e.org/latitude", None, "91"), Value::Number(91.0));
    assert_eq!(parse("http://e.org/where", None, "point"), Value::Text);
}

#[test]
fn a_unit_is_taken_from_the_name_the_datatype_or_the_text() {
    let base = |value: Value| match value {
        // Rounded, because a factor such as 0.01 has no exact binary form.
        Value::Quantity(quantity) => (quantity.unit.dimension, (quantity.in_base_unit() * 1e6).round() / 1e6),
        other => panic!("{other:?} has no unit"),
    };
    assert_eq!(base(parse("ns/people.person.height_meters", None, "1.88")), (Dimension::Length, 1.88));
    assert_eq!(base(parse("http://e.org/height", None, "188 cm")), (Dimension::Length, 1.88));
    assert_eq!(base(parse("ns/people.person.weight_kg", None, "80.0")), (Dimension::Mass, 80.0));
    let kilometre = Some("http://dbpedia.org/datatype/squareKilometre");
    assert_eq!(base(parse("http://e.org/area", kilometre, "2")), (Dimension::Area, 2.0e6));
    assert_eq!(base(parse("http://e.org/area", None, "2 km²")), (Dimension::Area, 2.0e6));
    assert_eq!(base(parse("http://e.org/runtimeMinutes", None, "90")), (Dimension::Duration, 5400.0));
    assert_eq!(parse("http://e.org/height", None, "1.88"), Value::Number(1.88));
    assert_eq!(parse("http://e.org/height", None, "1.88 parsecs"), Value::Text);
}

fn graph(attribute: &str, values: &[&str]) -> Graph {
    let facts =
        values.iter().map(|&value| Fact { entity: 0, attribute: 0, value: value.into(), datatype: None, lang: None });
    let attributes: Names = [attribute.into()].into_iter().collect();
    Graph { attributes, facts: facts.collect(), ..Graph::default() }
}

#[test]
fn whole_years_are_decided_by_the_column() {
    let mostly_months = ["1949.0", "1948.75", "1950.5", "1951.25", "1952.16666667", "1953.5", "1954.75", "1955.25"];
    assert_eq!(typed(&graph("dateOfBirth", &mostly_months)).values[0], date(1948, 12, 0));
    let mostly_years = ["1949.0", "1950.0", "1951.0", "1948.75"];
    let founded = typed(&graph("dateFounded", &mostly_years));
    assert_eq!(founded.values[0], date(1949, 0, 0));
    assert_eq!(founded.values[3], date(1948, 9, 0));
}

#[test]
fn every_value_is_counted_once() {
    let typed = typed(&graph("http://e.org/birthDate", &["1946-03-12", "75000000", "unknown", "2 km", ""]));
    assert_eq!(typed.counts, Counts { numbers: 1, dates: 1, coordinates: 0, quantities: 1, texts: 2 });
    assert_eq!(typed.values.len(), 5);
}

#[test]
fn dates_of_different_precision_compare() {
    let years = |text| match parse("birthDate", None, text) {
        Value::Date(date) => date.years(),
        other => panic!("{other:?}"),
    };
    assert!((years("1946-03-12") - years("1946-03")).abs() < 0.05);
    assert!((years("1946-07-01") - years("1946")).abs() < 0.05);
    assert!(years("1946-12-31") < years("1947-01-01"));
}

/// Bounded mutation: any short text over the letters that matter is parsed without panic, by every kind of attribute.
#[test]
fn no_text_makes_the_parser_panic() {
    let letters: Vec<char> = "0123456789.-#+eTZ, kmPOINT()/ ²é\u{0}".chars().collect();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for round in 0..20_000 {
        let mut text = String::new();
        for _ in 0..round % 24 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.push(letters[(state >> 33) as usize % letters.len()]);
        }
        for attribute in ["birthDate", "geo#lat", "georss/point", "height_meters", "name", &text] {
            parse(attribute, Some(&text), &text);
        }
    }
}
