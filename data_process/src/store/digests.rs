//! The digests that the metadata keeps, from the bytes they are of.

use sha2::{Digest, Sha256};

use super::StoreError;
use super::mapped::Mapping;
use super::part::{Part, range_of};
use crate::digest::hex;
use crate::schema;

/// SHA-256 of a part's encoded ordinary columns, row group by row group.
pub(super) fn of_ordinary(part: &Part) -> Result<String, StoreError> {
    let descriptor = part.footer.file_metadata().schema_descr();
    let ordinary = |leaf: usize| schema::is_ordinary(part.schema.field(descriptor.get_column_root_idx(leaf)).name());
    let groups = part.footer.row_groups().iter();
    let chunks = groups.flat_map(|group| group.columns().iter().enumerate()).filter(|(leaf, _)| ordinary(*leaf));
    let mut digest = Sha256::new();
    for (_, chunk) in chunks {
        let column = || chunk.column_path().string();
        let range = range_of(chunk).ok_or_else(|| part.damaged(&column(), "its bytes lie outside the file"))?;
        let bytes = Mapping::new(&part.file, range).map_err(|source| part.unreadable(source))?;
        digest.update(bytes.bytes());
    }
    Ok(hex(&digest.finalize()))
}
