//! The store's contract, read from `schemas/store.toml`: which columns a store has, of which Arrow type.
//!
//! The file is the one place where this is written: the writer takes its Arrow schema from here, the reader checks a
//! file against it and reports every difference at once, and the table of `docs/store.md` is made from it.

use std::fmt;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Fields, Schema};
use serde::Deserialize;

/// One column of the contract.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnRule {
    /// Column name; empty for the rule that all vector columns share.
    #[serde(default)]
    pub name: String,
    /// Its type, in the small language explained at the top of `schemas/store.toml`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether a row may lack it.
    pub nullable: bool,
    /// What it means.
    pub meaning: String,
    /// In what unit.
    pub unit: String,
    /// Where it comes from.
    pub source: String,
}

/// The whole contract.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contract {
    /// Version of the contract; a store of another version is refused.
    pub version: u32,
    /// The columns every store has, in order.
    #[serde(rename = "column")]
    pub columns: Vec<ColumnRule>,
    /// What holds for every vector column.
    pub vector: ColumnRule,
}

/// One way in which a file differs from the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// A column of the contract is not there.
    Missing {
        /// Its name.
        column: String,
        /// Its type in the contract.
        expected: String,
    },
    /// A column has another type.
    Type {
        /// Its name.
        column: String,
        /// Its type in the contract.
        expected: String,
        /// Its type in the file.
        found: String,
    },
    /// A column occurs more than once.
    Repeated {
        /// Its name.
        column: String,
    },
    /// A column that is neither in the contract nor a vector column.
    Unknown {
        /// Its name.
        column: String,
        /// Its type in the file.
        found: String,
    },
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { column, expected } => write!(f, "column `{column}` ({expected}) is missing"),
            Self::Type { column, expected, found } => write!(f, "column `{column}` is {found}, expected {expected}"),
            Self::Repeated { column } => write!(f, "column `{column}` occurs twice"),
            Self::Unknown { column, found } => {
                write!(f, "column `{column}` is {found}; further columns must be {}", contract().vector.kind)
            }
        }
    }
}

#[expect(clippy::expect_used, reason = "the file is part of the program; a test parses it")]
static CONTRACT: LazyLock<Contract> =
    LazyLock::new(|| toml::from_str(include_str!("../../schemas/store.toml")).expect("schemas/store.toml parses"));

/// The contract.
pub fn contract() -> &'static Contract {
    &CONTRACT
}

impl ColumnRule {
    /// The Arrow field of this column.
    pub fn field(&self) -> Option<Field> {
        let (kind, rest) = parse_type(&self.kind)?;
        rest.is_empty().then(|| Field::new(&self.name, kind, self.nullable))
    }
}

/// The Arrow fields every store has, in order.
pub fn ordinary_fields() -> Vec<Field> {
    contract().columns.iter().filter_map(ColumnRule::field).collect()
}

/// The Arrow field of a vector column of `width` floats.
pub fn vector_field(name: &str, width: usize) -> Field {
    let item = Arc::new(Field::new("element", DataType::Float32, false));
    Field::new(name, DataType::FixedSizeList(item, width as i32), contract().vector.nullable)
}

/// Whether the contract gives this name to a column that is no vector column.
pub fn is_ordinary(name: &str) -> bool {
    contract().columns.iter().any(|rule| rule.name == name)
}

/// Floats per vector, if this is the type of a vector column.
pub fn vector_width(kind: &DataType) -> Option<usize> {
    match kind {
        DataType::FixedSizeList(item, width) if *item.data_type() == DataType::Float32 && *width > 0 => {
            Some(*width as usize)
        }
        _ => None,
    }
}

/// Every difference between a file's schema and the contract.
///
/// Two spellings of one Parquet type are the same (`utf8`, `large_utf8`, `utf8_view`; `list`, `large_list`); a file may
/// declare a column nullable that has no nulls, as most writers do.
pub fn check(schema: &Schema) -> Vec<Mismatch> {
    let mut found = repeated(schema);
    for rule in &contract().columns {
        let expected = || rule.kind.clone();
        match (schema.field_with_name(&rule.name), rule.field()) {
            (Err(_), _) => found.push(Mismatch::Missing { column: rule.name.clone(), expected: expected() }),
            (Ok(field), Some(rule_field)) if !same_type(rule_field.data_type(), field.data_type()) => {
                let (column, found_type) = (rule.name.clone(), type_name(field.data_type()));
                found.push(Mismatch::Type { column, expected: expected(), found: found_type });
            }
            _ => {}
        }
    }
    let further = schema.fields().iter().filter(|field| !is_ordinary(field.name()));
    found.extend(
        further
            .filter(|field| vector_width(field.data_type()).is_none())
            .map(|field| Mismatch::Unknown { column: field.name().clone(), found: type_name(field.data_type()) }),
    );
    found
}

fn repeated(schema: &Schema) -> Vec<Mismatch> {
    let mut names: Vec<&String> = schema.fields().iter().map(|field| field.name()).collect();
    names.sort_unstable();
    let mut twice: Vec<&String> = names.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    twice.dedup();
    twice.into_iter().map(|column| Mismatch::Repeated { column: column.clone() }).collect()
}

/// A type in the contract's own words.
pub fn type_name(kind: &DataType) -> String {
    match kind {
        DataType::UInt8 => "uint8".into(),
        DataType::UInt32 => "uint32".into(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "utf8".into(),
        DataType::Float32 => "float".into(),
        DataType::List(item) | DataType::LargeList(item) => format!("list<{}>", type_name(item.data_type())),
        DataType::FixedSizeList(item, width) => format!("fixed_size_list<{}, {width}>", type_name(item.data_type())),
        DataType::Struct(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|field| format!("{}: {}", field.name(), type_name(field.data_type()))).collect();
            format!("struct<{}>", fields.join(", "))
        }
        other => other.to_string().to_lowercase(),
    }
}

fn same_type(left: &DataType, right: &DataType) -> bool {
    type_name(left) == type_name(right)
}

/// Reads one type from the front of `text`; gives it and what is left.
fn parse_type(text: &str) -> Option<(DataType, &str)> {
    for (name, kind) in [("uint8", DataType::UInt8), ("uint32", DataType::UInt32), ("utf8", DataType::Utf8)] {
        if let Some(rest) = text.strip_prefix(name) {
            return Some((kind, rest));
        }
    }
    if let Some(rest) = text.strip_prefix("list<") {
        let (item, rest) = parse_type(rest)?;
        return Some((DataType::List(Arc::new(Field::new("element", item, false))), rest.strip_prefix('>')?));
    }
    parse_struct(text.strip_prefix("struct<")?)
}

fn parse_struct(mut text: &str) -> Option<(DataType, &str)> {
    let mut fields = Vec::new();
    loop {
        let (name, rest) = text.split_once(": ")?;
        let (kind, rest) = parse_type(rest)?;
        let (nullable, rest) = rest.strip_prefix('?').map_or((false, rest), |rest| (true, rest));
        fields.push(Field::new(name, kind, nullable));
        match rest.strip_prefix(", ") {
            Some(next) => text = next,
            None => return Some((DataType::Struct(Fields::from(fields)), rest.strip_prefix('>')?)),
        }
    }
}

/// The contract as a Markdown table, for the documentation.
pub fn markdown() -> String {
    let any_vector = ColumnRule { name: "any other".into(), ..contract().vector.clone() };
    let rows = contract().columns.iter().chain([&any_vector]).map(|rule| {
        let null = if rule.nullable { "yes" } else { "no" };
        let ColumnRule { name, kind, meaning, unit, source, .. } = rule;
        format!("| `{name}` | `{kind}` | {null} | {meaning} | {unit} | {source} |\n")
    });
    "| column | type | null | meaning | unit | source |\n|---|---|---|---|---|---|\n".to_owned()
        + &rows.collect::<Vec<_>>().concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema_without(left_out: &str) -> Vec<Field> {
        ordinary_fields().into_iter().filter(|field| field.name() != left_out).collect()
    }

    #[test]
    fn every_rule_has_an_arrow_type_that_is_spelt_as_in_the_file() {
        for rule in &contract().columns {
            let field = rule.field().unwrap_or_else(|| panic!("{}: {}", rule.name, rule.kind));
            assert_eq!(type_name(field.data_type()), rule.kind.replace('?', ""));
        }
    }

    #[test]
    fn the_contracts_own_schema_passes() {
        let mut fields = ordinary_fields();
        fields.push(vector_field("image", 3));
        assert_eq!(check(&Schema::new(fields)), []);
    }

    #[test]
    fn all_differences_are_reported_at_once() {
        let mut fields = schema_without("uri");
        fields.retain(|field| field.name() != "side");
        fields.push(Field::new("side", DataType::Int64, false));
        fields.push(Field::new("links", DataType::Utf8, true));
        fields.push(Field::new("has_image", DataType::Boolean, true));
        let found = check(&Schema::new(fields));
        let text: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 4, "{text:?}");
        assert!(text.iter().any(|line| line.contains("`links` occurs twice")));
        assert!(text.iter().any(|line| line.contains("`uri` (utf8) is missing")));
        assert!(text.iter().any(|line| line.contains("`side` is int64, expected uint8")));
        assert!(text.iter().any(|line| line.contains("`has_image` is boolean")));
    }

    /// `UPDATE_DOCS=1 cargo test` writes the table; without it, the page must have it already.
    #[test]
    fn the_documentation_has_the_same_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/store.md");
        let page = std::fs::read_to_string(path).unwrap();
        let (before, rest) = page.split_once("<!-- contract: begin -->\n").unwrap();
        let (table, after) = rest.split_once("<!-- contract: end -->").unwrap();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            let marked = format!("{before}<!-- contract: begin -->\n{}<!-- contract: end -->{after}", markdown());
            std::fs::write(path, marked).unwrap();
        } else {
            assert_eq!(table, markdown(), "run UPDATE_DOCS=1 cargo test -p data_process the_documentation");
        }
    }

    #[test]
    fn other_spellings_of_a_type_are_the_same_type() {
        let mut fields = schema_without("uri");
        fields.push(Field::new("uri", DataType::LargeUtf8, true));
        assert_eq!(check(&Schema::new(fields)), []);
    }
}
