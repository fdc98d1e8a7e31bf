//! Files that were damaged or made to do harm: an error or correct data, never a panic, a hang or a huge allocation.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rand::{RngExt, SeedableRng};

use super::*;
use crate::store::{StoreError, write};

/// Reads everything of whatever these bytes are.
pub(super) fn read_all(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    fs::write(path, bytes).unwrap();
    let store = Store::open(path)?;
    for column in store.vector_columns() {
        let vectors = store.vectors(&column.name)?;
        assert_eq!(vectors.as_slice()?.len(), vectors.rows().len() * vectors.width());
        assert!(vectors.rows().windows(2).all(|pair| pair[0] < pair[1]));
        assert!(vectors.rows().iter().all(|&row| (row as usize) < store.entities()));
    }
    // Each is asked, also after another failed.
    let (uris, structure, pair) = (store.uris(), store.structure(), store.pair());
    uris?;
    structure?;
    pair.map(drop)
}

pub(super) fn survives(path: &Path, bytes: &[u8], what: impl std::fmt::Display) {
    let outcome = catch_unwind(AssertUnwindSafe(|| read_all(path, bytes).is_ok()));
    assert!(outcome.is_ok(), "{what}");
}

fn small_store() -> (tempfile::TempDir, PathBuf, Vec<u8>) {
    let (folder, path) = temporary();
    let (values, about) = (floats(4 * 3), provenance());
    write(&path, &small_pair(), &[new_vectors("image", 3, &[0, 2, 3, 5], &values, &about)]).unwrap();
    let bytes = fs::read(&path).unwrap();
    (folder, path, bytes)
}

/// Where the vector chunk and the footer lie.
fn sensitive(path: &Path, length: usize) -> Vec<std::ops::Range<usize>> {
    let chunks = Store::open(path).unwrap().chunks();
    let image = chunks.iter().find(|chunk| chunk.column.starts_with("image")).unwrap();
    let end = (image.offset + image.bytes) as usize;
    vec![0..4, image.offset as usize..end, end..length]
}

/// Found by the fuzz target `store_open`: a page header with an unknown field, lists in lists of two thousand million numbers
/// beyond the end of the file, which the Parquet library would count out.
#[test]
fn a_page_header_that_claims_lists_without_end() {
    let (_folder, path) = temporary();
    let bytes = include_bytes!("../../../../tests/fixtures/store/endless_page_header.parquet");
    let before = std::time::Instant::now();
    let error = read_all(&path, bytes).unwrap_err();
    assert!(matches!(&error, StoreError::Decode { .. }) && error.to_string().contains("page header"), "{error}");
    crate::store::convert(&path, &path.with_extension("converted")).unwrap_err();
    assert!(before.elapsed().as_secs() < 10);
}

/// Found by the same target: the Parquet library panics at a number of too many bytes among a page's levels.
#[test]
fn a_page_at_which_the_library_panics() {
    let (_folder, path) = temporary();
    let bytes = include_bytes!("../../../../tests/fixtures/store/overlong_level.parquet");
    let error = read_all(&path, bytes).unwrap_err();
    assert!(matches!(&error, StoreError::Decode { .. }) && error.to_string().contains("gave up"), "{error}");
    assert!(crate::store::convert(&path, &path.with_extension("converted")).is_err());
}

#[test]
fn every_byte_of_header_pages_and_footer_changed() {
    let (_folder, path, bytes) = small_store();
    for at in sensitive(&path, bytes.len()).into_iter().flatten() {
        for change in [0x01, 0xff] {
            let mut changed = bytes.clone();
            changed[at] ^= change;
            survives(&path, &changed, format_args!("byte {at} ^ {change:#x}"));
        }
    }
}

#[test]
fn every_byte_of_the_ordinary_columns_changed() {
    let (_folder, path, bytes) = small_store();
    let end = sensitive(&path, bytes.len())[1].start;
    for at in 4..end {
        let mut changed = bytes.clone();
        changed[at] ^= 0xff;
        survives(&path, &changed, format_args!("byte {at}"));
    }
}

#[test]
fn cut_short_at_every_length() {
    let (_folder, path, bytes) = small_store();
    for length in 0..bytes.len() {
        fs::write(&path, &bytes[..length]).unwrap();
        assert!(read_all(&path, &bytes[..length]).is_err(), "{length}");
    }
}

#[test]
fn random_changes_in_several_places() {
    let (_folder, path, bytes) = small_store();
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(7);
    let places: Vec<usize> = sensitive(&path, bytes.len()).into_iter().flatten().collect();
    for round in 0..1000 {
        let mut changed = bytes.clone();
        for _ in 0..random.random_range(1..6) {
            changed[places[random.random_range(0..places.len())]] = random.random();
        }
        survives(&path, &changed, format_args!("round {round}"));
    }
}

#[test]
fn a_footer_length_beyond_the_file_and_nonsense_after_the_magic() {
    let (_folder, path, bytes) = small_store();
    let mut changed = bytes.clone();
    let end = changed.len();
    changed[end - 8..end - 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(read_all(&path, &changed).is_err());
    let mut appended = bytes;
    appended.extend([0; 100]);
    assert!(read_all(&path, &appended).is_err());
}
