//! Digests of a part's columns: those that the metadata keeps where they can be trusted, otherwise from the bytes.

use parquet::file::metadata::ColumnChunkMetaData;
use sha2::{Digest, Sha256};

use super::StoreError;
use super::mapped::Mapping;
use super::part::{Part, range_of};
use crate::digest::hex;
use crate::schema;

/// SHA-256 of a part's encoded ordinary columns.
pub(super) fn ordinary(part: &Part) -> Result<String, StoreError> {
    let said = part.own_words().map(|meta| &meta.sha256).filter(|said| !said.is_empty());
    said.cloned().map_or_else(|| ordinary_bytes(part), Ok)
}

/// SHA-256 of a part's encoded ordinary columns, row group by row group, from their bytes.
pub(super) fn ordinary_bytes(part: &Part) -> Result<String, StoreError> {
    let descriptor = part.footer.file_metadata().schema_descr();
    let is_ordinary = |leaf: usize| schema::is_ordinary(part.schema.field(descriptor.get_column_root_idx(leaf)).name());
    let leaves: Vec<usize> = (0..descriptor.num_columns()).filter(|&leaf| is_ordinary(leaf)).collect();
    let groups = part.footer.row_groups().iter();
    hash(part, groups.flat_map(|group| leaves.iter().map(move |&leaf| group.column(leaf))))
}

/// SHA-256 that changes with a part's share of a vector column: of its rows and floats, where the metadata has it.
pub(super) fn vectors(part: &Part, name: &str) -> Result<String, StoreError> {
    let said = part.own_words().and_then(|meta| meta.columns.get(name)).map(|column| &column.sha256);
    match (said.filter(|said| !said.is_empty()), part.vectors.get(name)) {
        (Some(said), _) => Ok(said.clone()),
        (None, Some(leaf)) => hash(part, part.chunks(leaf.leaf).map(|(_, chunk)| chunk)),
        (None, None) => Ok(String::new()),
    }
}

fn hash<'a>(part: &Part, chunks: impl Iterator<Item = &'a ColumnChunkMetaData>) -> Result<String, StoreError> {
    let mut digest = Sha256::new();
    for chunk in chunks {
        let column = || chunk.column_path().string();
        let range = range_of(chunk).ok_or_else(|| part.damaged(&column(), "its bytes lie outside the file"))?;
        let bytes = Mapping::new(&part.file, range).map_err(|source| part.unreadable(source))?;
        digest.update(bytes.bytes());
    }
    Ok(hex(&digest.finalize()))
}
