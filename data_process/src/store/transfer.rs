//! Vectors into a store from a matrix of all its entities, or from another store.

use std::path::Path;

use rustc_hash::FxHashMap;

use super::{NewVectors, Provenance, Store, StoreError};

/// The rows of a matrix that are vectors: those that are not all NaN, and their values. (One that holds a NaN among numbers
/// is refused by the store it is put into.)
pub fn present_rows(width: usize, matrix: &[f32]) -> (Vec<u32>, Vec<f32>) {
    let (mut rows, mut values) = (Vec::new(), Vec::new());
    for (row, vector) in matrix.chunks_exact(width.max(1)).enumerate() {
        if !vector.iter().all(|value| value.is_nan()) {
            rows.push(row as u32);
            values.extend_from_slice(vector);
        }
    }
    (rows, values)
}

/// Copies a vector column from another store; entities are matched by side and identifier.
pub fn copy_vectors(to: &Path, name: &str, from: &Path) -> Result<(), StoreError> {
    let source = Store::open(from)?;
    let column = source.column(name)?;
    let vectors = source.vectors(name)?;
    let floats = vectors.as_slice()?;
    let uris = source.uris()?;
    let position: FxHashMap<(bool, &str), usize> = vectors
        .rows()
        .iter()
        .enumerate()
        .map(|(at, &row)| ((row as usize >= source.left(), uris[row as usize].as_ref()), at))
        .collect();
    let target = Store::open(to)?;
    let (mut rows, mut values) = (Vec::new(), Vec::new());
    for (row, uri) in target.uris()?.iter().enumerate() {
        if let Some(at) = position.get(&(row >= target.left(), uri.as_ref())) {
            rows.push(row as u32);
            values.extend_from_slice(&floats[at * column.width..(at + 1) * column.width]);
        }
    }
    if rows.is_empty() {
        return Err(StoreError::Unmatched { path: to.to_owned(), from: from.to_owned(), name: name.to_owned() });
    }
    let none = Provenance::default();
    let provenance = column.provenance.as_ref().unwrap_or(&none);
    target.put_vectors(&[NewVectors { name, width: column.width, rows: &rows, values: &values, provenance }])
}
