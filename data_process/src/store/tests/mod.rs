//! Tests of the store as a whole.

mod errors;
mod footers;
mod foreign;
mod hostile;
mod round_trip;
mod tools;
mod writers;

use std::path::{Path, PathBuf};

use crate::pair::{Fact, Graph, GraphPair, Triple};

use super::{NewVectors, Provenance, Store, write};

/// A small pair with every kind of irregularity: doubles among the links, entities without anything, names with odd
/// characters, typed and untyped literals.
pub(super) fn small_pair() -> GraphPair {
    let names = |words: &[&str]| words.iter().map(|&word| Box::from(word)).collect();
    let triple = |head, relation, tail| Triple { head, relation, tail };
    let fact = |entity, attribute, value: &str, datatype, lang| Fact {
        entity,
        attribute,
        value: value.into(),
        datatype,
        lang,
    };
    GraphPair {
        left: Graph {
            name: "Links".into(),
            entities: names(&["a", "b (c), d", "č", "unbound"]),
            labels: vec![Some("A".into()), None, None, Some("".into())],
            relations: names(&["never used", "knows", "is"]),
            triples: vec![triple(2, 2, 0), triple(0, 1, 1), triple(2, 1, 2), triple(0, 2, 2)],
            attributes: names(&["height", "name"]),
            facts: vec![
                fact(1, 1, "Bé\"\n", None, Some(1)),
                fact(0, 0, "1.80", Some(0), None),
                fact(1, 0, "", None, None),
            ],
            tags: names(&["xsd:double", "fr"]),
        },
        right: Graph {
            name: "Rechts".into(),
            entities: names(&["a", "x", "y"]),
            labels: Vec::new(),
            relations: names(&["is", "kennt"]),
            triples: vec![triple(2, 1, 1), triple(1, 0, 2)],
            attributes: names(&["name"]),
            facts: vec![fact(2, 0, "Y", None, None)],
            tags: names(&[]),
        },
        links: vec![(2, 2), (0, 1), (0, 0), (1, 0)],
    }
}

/// Floats that are all different.
pub(super) fn floats(count: usize) -> Vec<f32> {
    (0..count).map(|at| at as f32 * 0.5 - 3.0).collect()
}

pub(super) fn provenance() -> Provenance {
    Provenance { source: "a test".into(), model: Some("none".into()), ..Provenance::default() }
}

pub(super) fn new_vectors<'a>(
    name: &'a str,
    width: usize,
    rows: &'a [u32],
    values: &'a [f32],
    provenance: &'a Provenance,
) -> NewVectors<'a> {
    NewVectors { name, width, rows, values, provenance }
}

pub(super) fn temporary() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pair.parquet");
    (folder, path)
}

/// The small pair with vectors three wide for four of its seven entities, whose rows and floats are given back.
pub(super) fn with_image(path: &Path) -> (Vec<u32>, Vec<f32>) {
    let (rows, values, about) = (vec![0, 2, 3, 5], floats(4 * 3), provenance());
    write(path, &small_pair(), &[new_vectors("image", 3, &rows, &values, &about)]).unwrap();
    (rows, values)
}

/// The rows and floats of a column, as our reader gives them.
pub(super) fn column(path: &Path, name: &str) -> (Vec<u32>, Vec<f32>) {
    let vectors = Store::open(path).unwrap().vectors(name).unwrap();
    (vectors.rows().to_vec(), vectors.as_slice().unwrap().to_vec())
}

/// The rows and floats of a column, as the plain Arrow reader gives them.
pub(super) fn column_by_arrow(path: &Path, name: &str) -> (Vec<u32>, Vec<f32>) {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::Float32Type;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    let file = std::fs::File::open(path).unwrap();
    let (mut rows, mut values, mut next) = (Vec::new(), Vec::new(), 0);
    for batch in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
        let batch = batch.unwrap();
        let lists = batch.column_by_name(name).unwrap().as_fixed_size_list().clone();
        for row in 0..lists.len() {
            if lists.is_valid(row) {
                rows.push(next + row as u32);
                values.extend_from_slice(lists.value(row).as_primitive::<Float32Type>().values());
            }
        }
        next += lists.len() as u32;
    }
    (rows, values)
}
