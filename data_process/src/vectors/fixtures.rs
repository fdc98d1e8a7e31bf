//! The files that `tests/fixtures/vectors/make.py` made, for the tests of this room.

use std::path::{Path, PathBuf};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::table::{Keys, VectorTable};

/// The place of a fixture.
pub(super) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/vectors").join(name)
}

/// Its bytes.
pub(super) fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The vector every fixture has for an entity.
pub(super) fn row(entity: i64) -> Vec<f32> {
    (0..4).map(|position| entity as f32 + position as f32 / 4.0).collect()
}

/// Holds a table to the entities 3, 1 and 20 and their vectors.
pub(super) fn assert_is_the_table(table: &VectorTable, name: &str) {
    let numbers: Vec<i64> = match table.keys() {
        Keys::Ids(ids) => ids.clone(),
        Keys::Rows(rows) => (0..*rows as i64).collect(),
        Keys::Names(names) => names.iter().map(|name| name.trim_start_matches("/m/").parse().unwrap()).collect(),
    };
    let mut sorted = numbers.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, [1, 3, 20], "{name}");
    for (at, entity) in numbers.into_iter().enumerate() {
        assert_eq!(table.row(at), row(entity), "{name}: entity {entity}");
    }
}

/// Copies of a file with a few bytes changed, removed, repeated or cut off: the same ones at each run.
pub(super) fn mutations(original: &[u8], count: u64) -> impl Iterator<Item = Vec<u8>> + '_ {
    (0..count).map(|seed| {
        let (mut random, mut bytes) = (ChaCha8Rng::seed_from_u64(seed), original.to_vec());
        for _ in 0..random.random_range(1..6) {
            if bytes.is_empty() {
                break;
            }
            let at = random.random_range(0..bytes.len());
            match random.random_range(0..5) {
                0 => bytes[at] = random.random(),
                1 => bytes[at] ^= 1 << random.random_range(0..8),
                2 => drop(bytes.remove(at)),
                3 => bytes.insert(at, random.random()),
                _ => bytes.truncate(at),
            }
        }
        bytes
    })
}
