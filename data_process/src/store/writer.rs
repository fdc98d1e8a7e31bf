//! Writes a new store: ordinary columns through the Parquet writer, vector columns built by hand, joined by [`super::assembly`].

use std::fs::File;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema};
use parquet::arrow::{ARROW_SCHEMA_META_KEY, ArrowSchemaConverter, ArrowWriter, encode_arrow_schema};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, ParquetMetaData, RowGroupMetaData};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use rustc_hash::FxHashSet;
use sha2::{Digest, Sha256};

use super::assembly::{Assembly, Bytes, VectorChunk};
use super::meta::{ColumnMeta, META_KEY, Meta, Origin, Vocabulary};
use super::replace::{Pending, PendingFolder, Turn};
use super::table::Table;
use super::{Column, NewVectors, StoreError, levels};
use crate::digest::hex;
use crate::pair::GraphPair;
use crate::schema;

/// How a file is laid out. Memory while writing: the encoded ordinary columns of one row group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// Most rows in a row group.
    pub group_rows: usize,
    /// Most bytes of text and lists in a row group.
    pub group_bytes: usize,
    /// Most bytes in a page of vectors: page sizes are signed 32-bit numbers.
    pub page_bytes: usize,
}

impl Default for Layout {
    fn default() -> Self {
        Self { group_rows: 1 << 20, group_bytes: 512 << 20, page_bytes: i32::MAX as usize - (1 << 20) }
    }
}

impl Layout {
    /// Rows of a row group such that each vector column's part of it is one page.
    fn rows_for<C: Column>(self, vectors: &[C]) -> usize {
        let widest = vectors.iter().map(Column::width).max().unwrap_or(0);
        self.group_rows.min(levels::rows_per_page(self.page_bytes, widest)).max(1)
    }
}

/// Everything that goes into a store.
#[derive(Debug)]
pub(super) struct Content<'a, C> {
    /// The graphs.
    pub pair: &'a GraphPair,
    /// The vector columns.
    pub vectors: &'a [C],
    /// Where the graphs came from.
    pub origin: &'a Origin,
}

// Only references: derived, both would ask the same of `C`.
impl<C> Clone for Content<'_, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for Content<'_, C> {}

/// Writes a new store as one file.
pub(super) fn write<C: Column>(turn: Turn, content: Content<'_, C>, layout: Layout) -> Result<(), StoreError> {
    let table = content.check()?;
    let (path, rows) = (turn.path().to_owned(), 0..content.pair.entities());
    let mut pending = Pending::new(turn)?;
    write_file(pending.file(), &table, content, layout, rows).map_err(|source| encode_error(&path, source))?;
    pending.publish()
}

/// Writes a new store as a folder of parts.
pub(super) fn write_parts<C: Column>(
    turn: Turn,
    content: Content<'_, C>,
    layout: Layout,
    parts: NonZeroUsize,
) -> Result<(), StoreError> {
    let table = content.check()?;
    let path = turn.path().to_owned();
    let pending = PendingFolder::new(turn)?;
    let entities = content.pair.entities();
    let per_part = entities.div_ceil(parts.get()).max(1);
    for number in 0..entities.div_ceil(per_part).max(1) {
        let rows = number * per_part..entities.min((number + 1) * per_part);
        pending.part(format!("part-{number:05}.parquet"), |file| {
            write_file(file, &table, content, layout, rows).map_err(|source| encode_error(&path, source))
        })?;
    }
    pending.publish()
}

/// Writes ordinary columns that are already rows, and vectors, as one row group of one file that is not published yet.
pub(super) fn write_batch(
    turn: Turn,
    batch: &RecordBatch,
    left: usize,
    vectors: &[NewVectors<'_>],
) -> Result<Pending, StoreError> {
    check_vectors(vectors, batch.num_rows())?;
    let path = turn.path().to_owned();
    let mut pending = Pending::new(turn)?;
    let mut meta = Meta::new(&GraphPair::default(), &Origin::default());
    meta.entities = [left, batch.num_rows() - left];
    meta.graphs = ["left".to_owned(), "right".to_owned()];
    for column in vectors {
        meta.columns.insert(column.name.to_owned(), hashed_meta(column, left, &(0..batch.num_rows()))?);
    }
    let mut write = || {
        let schema = with_vectors(batch.schema().fields().iter().map(|field| field.as_ref().clone()), vectors);
        let parquet = Arc::new(ArrowSchemaConverter::new().convert(&schema)?);
        let mut assembly = Assembly::new(pending.file(), parquet, Layout::default().page_bytes)?;
        let mut digest = Sha256::new();
        if batch.num_rows() > 0 {
            copy_ordinary(&mut assembly, batch, &mut digest)?;
            for column in vectors {
                assembly.vectors(&chunk_of(column, &(0..batch.num_rows())))?;
            }
            assembly.end_group(batch.num_rows())?;
        }
        meta.sha256 = hex(&digest.finalize());
        assembly.finish(key_values(&schema, &meta, None)?)?;
        Ok(())
    };
    write().map_err(|source| encode_error(&path, source))?;
    Ok(pending)
}

/// The schema of a file with these ordinary columns and these vectors.
fn with_vectors<C: Column>(ordinary: impl IntoIterator<Item = Field>, vectors: &[C]) -> Schema {
    let vectors = vectors.iter().map(|column| schema::vector_field(column.name(), column.width()));
    Schema::new(ordinary.into_iter().chain(vectors).collect::<Vec<_>>())
}

impl<'a, C: Column> Content<'a, C> {
    fn check(&self) -> Result<Table<'a>, StoreError> {
        check_vectors(self.vectors, self.pair.entities())?;
        Table::new(self.pair)
    }
}

/// The error for a file that could not be put together. One of ours may have come through the Parquet library.
pub(super) fn encode_error(path: &Path, source: ParquetError) -> StoreError {
    let path = path.to_owned();
    let ParquetError::External(cause) = source else { return StoreError::Encode { path, source } };
    let cause = match cause.downcast::<StoreError>() {
        Ok(ours) => return *ours,
        Err(cause) => cause,
    };
    match cause.downcast::<std::io::Error>() {
        Ok(source) => StoreError::Write { path, source: *source },
        Err(cause) => StoreError::Encode { path, source: ParquetError::External(cause) },
    }
}

/// An error of ours on its way through the Parquet library, see [`encode_error`].
pub(super) fn through_parquet(error: StoreError) -> ParquetError {
    ParquetError::External(Box::new(error))
}

/// Checks vectors against the number of entities and each other.
pub(super) fn check_vectors<C: Column>(vectors: &[C], entities: usize) -> Result<(), StoreError> {
    let mut names = FxHashSet::default();
    for column in vectors {
        let (name, width, rows, values) = (column.name(), column.width(), column.rows(), column.total());
        let owned = || name.to_owned();
        if name.is_empty() || schema::is_ordinary(name) {
            return Err(StoreError::ColumnName { name: owned() });
        }
        if !names.insert(name) {
            return Err(StoreError::Twice { name: owned() });
        }
        if !(1..=1 << 24).contains(&width) || rows.len().checked_mul(width) != Some(values) {
            return Err(StoreError::Shape { name: owned(), rows: rows.len(), width, values });
        }
        let wrong = |&at: &usize| rows[at] as usize >= entities || (at > 0 && rows[at] <= rows[at - 1]);
        if let Some(at) = (0..rows.len()).find(wrong) {
            return Err(StoreError::VectorRows { name: owned(), position: at, row: rows[at], entities });
        }
    }
    Ok(())
}

/// Writes one file: some rows of the content.
fn write_file<C: Column>(
    file: &mut File,
    table: &Table<'_>,
    content: Content<'_, C>,
    layout: Layout,
    ids: Range<usize>,
) -> Result<(), ParquetError> {
    let Content { pair, vectors, origin } = content;
    let schema = with_vectors(schema::ordinary_fields(), vectors);
    let parquet = Arc::new(ArrowSchemaConverter::new().convert(&schema)?);
    let mut assembly = Assembly::new(file, parquet, layout.page_bytes)?;
    let mut digest = Sha256::new();
    let mut digests: Vec<Sha256> =
        vectors.iter().map(|column| rows_digest(&column.rows()[span(column.rows(), &ids)])).collect();
    for rows in table.groups(ids.clone(), layout.rows_for(vectors), layout.group_bytes) {
        copy_ordinary(&mut assembly, &table.batch(rows.clone())?, &mut digest)?;
        for (column, digest) in vectors.iter().zip(&mut digests) {
            let chunk = chunk_of(column, &rows);
            hash_floats(column, span(column.rows(), &rows), &chunk.floats, digest).map_err(through_parquet)?;
            assembly.vectors(&chunk)?;
        }
        assembly.end_group(rows.len())?;
    }
    let mut meta = Meta::new(pair, origin);
    meta.sha256 = hex(&digest.finalize());
    for (column, digest) in vectors.iter().zip(digests) {
        meta.columns.insert(column.name().to_owned(), column_meta(column, pair.left.entities.len(), digest));
    }
    let vocabulary = if ids.start == 0 { Vocabulary::of(pair).key_value() } else { None };
    assembly.finish(key_values(&schema, &meta, vocabulary)?)?;
    Ok(())
}

/// The key-value metadata of a file.
pub(super) fn key_values(
    schema: &Schema,
    meta: &Meta,
    others: impl IntoIterator<Item = KeyValue>,
) -> Result<Vec<KeyValue>, ParquetError> {
    let text = serde_json::to_string(meta).map_err(|error| ParquetError::External(Box::new(error)))?;
    let mut pairs = vec![
        KeyValue::new(ARROW_SCHEMA_META_KEY.to_owned(), encode_arrow_schema(schema)),
        KeyValue::new(META_KEY.to_owned(), text),
    ];
    pairs.extend(others);
    Ok(pairs)
}

/// Encodes one row group's ordinary columns in memory and appends them.
fn copy_ordinary(
    assembly: &mut Assembly<&mut File>,
    batch: &RecordBatch,
    digest: &mut Sha256,
) -> Result<(), ParquetError> {
    let (bytes, footer) = encode_ordinary(batch)?;
    for chunk in footer.row_groups().iter().flat_map(RowGroupMetaData::columns) {
        let (start, length) = chunk.byte_range();
        digest.update(&bytes[start as usize..(start + length) as usize]);
        assembly.copy(Bytes::Memory(&bytes), chunk)?;
    }
    Ok(())
}

/// Encodes a batch as a Parquet file of one row group.
pub(super) fn encode_ordinary(batch: &RecordBatch) -> Result<(Vec<u8>, ParquetMetaData), ParquetError> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_max_row_group_row_count(None)
        .set_max_row_group_bytes(None)
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties))?;
    writer.write(batch)?;
    let footer = writer.close()?;
    Ok((bytes, footer))
}

/// The part of a vector column that belongs to some rows.
pub(super) fn chunk_of<'a, C: Column>(column: &'a C, ids: &Range<usize>) -> VectorChunk<'a> {
    let positions = span(column.rows(), ids);
    VectorChunk {
        runs: levels::runs_of(&column.rows()[positions.clone()], ids.start, ids.len()),
        width: column.width(),
        floats: column.floats(positions),
    }
}

/// Positions in `rows` of the ids in a range.
fn span(rows: &[u32], ids: &Range<usize>) -> Range<usize> {
    let before = |id: usize| rows.partition_point(|&row| (row as usize) < id);
    before(ids.start)..before(ids.end)
}

/// What a file says of a vector column, given the digest of its part of it.
fn column_meta<C: Column>(column: &C, left: usize, digest: Sha256) -> ColumnMeta {
    let on_left = column.rows().partition_point(|&row| (row as usize) < left);
    ColumnMeta {
        width: column.width(),
        present: [on_left, column.rows().len() - on_left],
        sha256: hex(&digest.finalize()),
        provenance: column.provenance().clone(),
    }
}

/// What a file says of a vector column; `ids` are the file's rows.
pub(super) fn hashed_meta(column: &NewVectors<'_>, left: usize, ids: &Range<usize>) -> Result<ColumnMeta, StoreError> {
    let positions = span(column.rows, ids);
    let mut digest = rows_digest(&column.rows[positions.clone()]);
    hash_floats(column, positions.clone(), &column.floats(positions), &mut digest)?;
    Ok(column_meta(column, left, digest))
}

/// Floats that stay in the processor's cache between being looked at and being hashed.
const LOOKED_AT: usize = 1 << 13;

/// Hashes the vectors at some positions of a column, which must be finite.
fn hash_floats<C: Column>(
    column: &C,
    positions: Range<usize>,
    floats: &[f32],
    digest: &mut Sha256,
) -> Result<(), StoreError> {
    for (number, block) in floats.chunks(LOOKED_AT).enumerate() {
        // No early end: the loop is then one over whole registers.
        if !block.iter().fold(true, |all, float| all & float.is_finite()) {
            let within = block.iter().take_while(|float| float.is_finite()).count();
            let (at, name) = (number * LOOKED_AT + within, column.name().to_owned());
            let (row, position) = (column.rows()[positions.start + at / column.width()], at % column.width());
            return Err(StoreError::NotFinite { name, row, position, value: floats[at] });
        }
        digest.update(bytemuck::cast_slice::<f32, u8>(block));
    }
    Ok(())
}

/// The beginning of the digest of a file's part of a vector column: SHA-256 over its rows, then its floats, both
/// little-endian.
pub(super) fn rows_digest(rows: &[u32]) -> Sha256 {
    Sha256::new_with_prefix(bytemuck::cast_slice::<u32, u8>(rows))
}

/// The Arrow field of a vector column, as a Parquet type.
pub(super) fn vector_type(field: &Field) -> Result<parquet::schema::types::TypePtr, ParquetError> {
    let one = ArrowSchemaConverter::new().convert(&Schema::new(vec![field.clone()]))?;
    let first = one.root_schema().get_fields().first().cloned();
    first.ok_or_else(|| ParquetError::General("an empty schema".into()))
}
