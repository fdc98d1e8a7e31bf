//! A store in several files, and back in one. Both decode the ordinary columns and lay them out anew; vectors are copied
//! from the mapping.

use std::num::NonZeroUsize;
use std::path::Path;

use super::replace::Turn;
use super::writer::{self, Content, Layout};
use super::{Column, NewVectors, Origin, Provenance, Store, StoreError, Vectors};
use crate::pair::GraphPair;

/// Writes a new store as a folder of at most `parts` files.
pub fn write_parts<C: Column>(
    path: &Path,
    pair: &GraphPair,
    vectors: &[C],
    origin: &Origin,
    parts: NonZeroUsize,
) -> Result<(), StoreError> {
    writer::write_parts(Turn::take(path)?, Content { pair, vectors, origin }, Layout::default(), parts)
}

/// Writes the content of a store as a folder of at most `parts` files; `to` may be the store itself.
pub fn split(from: &Path, to: &Path, parts: NonZeroUsize) -> Result<(), StoreError> {
    let turn = Turn::take(to)?;
    with_content(from, |content| writer::write_parts(turn, content, Layout::default(), parts))
}

/// Writes the content of a store as one file; `to` may not be a folder.
pub fn merge(from: &Path, to: &Path) -> Result<(), StoreError> {
    let turn = Turn::take(to)?;
    with_content(from, |content| writer::write(turn, content, Layout::default()))
}

fn with_content(
    from: &Path,
    write: impl FnOnce(Content<'_, NewVectors<'_>>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let store = Store::open(from)?;
    let pair = store.pair()?;
    let origin = store.origin().cloned().unwrap_or_default();
    let none = Provenance::default();
    let columns = store.vector_columns();
    let matrices: Vec<Vectors> = columns.iter().map(|column| store.vectors(&column.name)).collect::<Result<_, _>>()?;
    let mut vectors = Vec::new();
    for (column, matrix) in columns.iter().zip(&matrices) {
        vectors.push(NewVectors {
            name: &column.name,
            width: column.width,
            rows: matrix.rows(),
            values: matrix.as_slice()?,
            provenance: column.provenance.as_ref().unwrap_or(&none),
        });
    }
    write(Content { pair: &pair, vectors: &vectors, origin: &origin })
}
