//! One Parquet file of a store: its footer, read and checked, and ways into its columns.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema};
use indexmap::IndexMap;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::{ProjectionMask, parquet_to_arrow_schema};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::schema::types::ColumnDescPtr;

use super::guarded::{Guarded, allowance};
use super::levels::Shape;
use super::mapped::Mapping;
use super::meta::Meta;
use super::{StoreError, header};
use crate::schema;

/// With which the name of a file's writer begins, where that is this crate.
pub(super) const CREATOR: &str = "humea version ";

/// One file of a store.
#[derive(Debug)]
pub(super) struct Part {
    /// Its path.
    pub path: PathBuf,
    /// The open file; a mapping or a read goes through it, so the file may be replaced under its name meanwhile.
    pub file: Arc<File>,
    /// Its footer.
    pub footer: Arc<ParquetMetaData>,
    /// Its columns; vector columns are fixed-size lists.
    pub schema: Schema,
    /// Its vector columns, in file order.
    pub vectors: IndexMap<String, VectorLeaf>,
    /// What it says of itself.
    pub meta: Option<Meta>,
    /// Id of its first row.
    pub first: usize,
    /// Its rows.
    pub rows: usize,
}

/// A vector column of a part.
#[derive(Clone, Copy, Debug)]
pub(super) struct VectorLeaf {
    /// Number of the Parquet leaf column.
    pub leaf: usize,
    /// How its levels read.
    pub shape: Shape,
}

impl Part {
    /// Opens a file and checks its footer against the contract and its own length.
    pub(super) fn open(path: &Path, first: usize) -> Result<Self, StoreError> {
        let (file, footer) = read_footer(path)?;
        let schema = schema_of(&footer).map_err(|source| StoreError::NotParquet { path: path.to_owned(), source })?;
        let mismatches = schema::check(&schema);
        if !mismatches.is_empty() {
            return Err(StoreError::Contract { path: path.to_owned(), mismatches });
        }
        let meta = Meta::read(&footer, path)?;
        let rows = check_chunks(&footer, &file, path)?;
        let vectors = vector_leaves(&footer, &schema);
        let (file, footer) = (Arc::new(file), Arc::new(footer));
        Ok(Self { path: path.to_owned(), file, footer, schema, vectors, meta, first, rows })
    }

    /// What it says of itself, if this crate wrote it. Other tools may keep the metadata and change the columns (pyarrow
    /// does), so that digests in it would be those of something else.
    pub(super) fn own_words(&self) -> Option<&Meta> {
        let by = self.footer.file_metadata().created_by();
        self.meta.as_ref().filter(|_| by.is_some_and(|by| by.starts_with(CREATOR)))
    }

    /// Chunks of one leaf column, each with the ids of its rows.
    pub(super) fn chunks(&self, leaf: usize) -> impl Iterator<Item = (Range<usize>, &ColumnChunkMetaData)> {
        let mut next = self.first;
        self.footer.row_groups().iter().map(move |group| {
            let first = next;
            next += group.num_rows() as usize;
            (first..next, group.column(leaf))
        })
    }

    /// Decodes some ordinary columns, a batch at a time, each with the id of its first row. `attributes.name` is one field of
    /// a list of structs.
    pub(super) fn batches(&self, names: &[&str]) -> Result<Batches<'_>, StoreError> {
        let wanted = |(leaf, column): (usize, &ColumnDescPtr)| {
            names.iter().any(|name| names_leaf(name, column.path().parts())).then_some(leaf)
        };
        let columns = self.footer.file_metadata().schema_descr().columns().iter();
        let leaves = columns.enumerate().filter_map(wanted).collect();
        let reader = self.reader(leaves, false)?.build().map_err(|source| self.undecodable(source))?;
        Ok(Batches { part: self, reader: Guarded::new(reader), next: self.first })
    }

    /// Decodes one leaf column of one row group, whose first row has the id `first`.
    pub(super) fn group(&self, leaf: usize, group: usize, first: usize) -> Result<Batches<'_>, StoreError> {
        let reader = self.reader(vec![leaf], true)?.with_row_groups(vec![group]);
        let reader = reader.build().map_err(|source| self.undecodable(source))?;
        Ok(Batches { part: self, reader: Guarded::new(reader), next: first })
    }

    /// The pages of a column chunk of so many rows, unpacked and not decoded.
    pub(super) fn pages(
        &self,
        chunk: &ColumnChunkMetaData,
        rows: usize,
    ) -> Result<SerializedPageReader<Positioned>, ParquetError> {
        SerializedPageReader::new(Arc::new(Positioned::new(self.file.clone())), chunk, rows, None)
    }

    fn reader(
        &self,
        leaves: Vec<usize>,
        hinted: bool,
    ) -> Result<ParquetRecordBatchReaderBuilder<Positioned>, StoreError> {
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(!hinted);
        let metadata = ArrowReaderMetadata::try_new(self.footer.clone(), options);
        let metadata = metadata.map_err(|source| self.undecodable(source))?;
        let mask = ProjectionMask::leaves(metadata.parquet_schema(), leaves);
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(Positioned::new(self.file.clone()), metadata);
        Ok(builder.with_projection(mask).with_batch_size(8192))
    }

    /// The error for something the Parquet reader cannot make sense of.
    pub(super) fn undecodable(&self, source: ParquetError) -> StoreError {
        StoreError::Decode { path: self.path.clone(), source }
    }

    /// The error for a column whose bytes contradict each other.
    pub(super) fn damaged(&self, column: &str, reason: impl Into<String>) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), column: column.to_owned(), reason: reason.into() }
    }

    /// The error for a file that cannot be read.
    pub(super) fn unreadable(&self, source: io::Error) -> StoreError {
        StoreError::Read { path: self.path.clone(), source }
    }
}

/// Batches of decoded columns.
pub(super) struct Batches<'a> {
    part: &'a Part,
    reader: Guarded<ParquetRecordBatchReader>,
    next: usize,
}

impl Iterator for Batches<'_> {
    type Item = Result<(usize, RecordBatch), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = match self.reader.next()? {
            Ok(batch) => batch,
            Err(source) => return Some(Err(self.part.undecodable(source.into()))),
        };
        let first = self.next;
        self.next += batch.num_rows();
        Some(Ok((first, batch)))
    }
}

/// Whether a leaf is meant by the name of its column, or by `column.field` (writers call what is between differently).
fn names_leaf(name: &str, leaf: &[String]) -> bool {
    let (Some(column), Some(field)) = (leaf.first(), leaf.last()) else { return false };
    name == column
        || name.strip_prefix(column.as_str()).and_then(|rest| rest.strip_prefix('.')).is_some_and(|rest| rest == field)
}

/// Opens a Parquet file and reads its footer.
pub(super) fn read_footer(path: &Path) -> Result<(File, ParquetMetaData), StoreError> {
    let file = File::open(path).map_err(|source| StoreError::Open { path: path.to_owned(), source })?;
    let footer = ParquetMetaDataReader::new().parse_and_finish(&file);
    Ok((file, footer.map_err(|source| not_parquet(path, source))?))
}

/// The error for a footer that cannot be read. What the system refuses says nothing of the file.
fn not_parquet(path: &Path, source: ParquetError) -> StoreError {
    let path = path.to_owned();
    let ParquetError::External(cause) = source else { return StoreError::NotParquet { path, source } };
    match cause.downcast::<io::Error>() {
        Ok(refused) if refused.raw_os_error().is_some() => StoreError::Read { path, source: *refused },
        Ok(other) => StoreError::NotParquet { path, source: ParquetError::External(other) },
        Err(other) => StoreError::NotParquet { path, source: ParquetError::External(other) },
    }
}

/// The Arrow schema of a file: its own Parquet types, except that vector columns take their width from `ARROW:schema`.
pub(super) fn schema_of(footer: &ParquetMetaData) -> Result<Schema, ParquetError> {
    let about = footer.file_metadata();
    let plain = parquet_to_arrow_schema(about.schema_descr(), None)?;
    let hinted = parquet_to_arrow_schema(about.schema_descr(), about.key_value_metadata()).unwrap_or(plain.clone());
    let by_name: BTreeMap<&str, &Arc<Field>> =
        hinted.fields().iter().map(|field| (field.name().as_str(), field)).collect();
    let fields = plain.fields().iter().map(|field| match by_name.get(field.name().as_str()) {
        Some(hinted) if schema::vector_width(hinted.data_type()).is_some() => Arc::clone(hinted),
        _ => Arc::clone(field),
    });
    Ok(Schema::new(fields.collect::<Vec<_>>()))
}

/// The places of all vector columns, found in one pass: a file may have a million columns.
fn vector_leaves(footer: &ParquetMetaData, schema: &Schema) -> IndexMap<String, VectorLeaf> {
    let descriptor = footer.file_metadata().schema_descr();
    let place = |(leaf, column): (usize, &ColumnDescPtr)| {
        let field = schema.field(descriptor.get_column_root_idx(leaf));
        let width = schema::vector_width(field.data_type()).filter(|_| !schema::is_ordinary(field.name()))? as u64;
        let optional = descriptor.get_column_root(leaf).is_optional();
        let shape = Shape { width, max_def: u8::try_from(column.max_def_level()).ok()?, optional };
        Some((field.name().clone(), VectorLeaf { leaf, shape }))
    };
    descriptor.columns().iter().enumerate().filter_map(place).collect()
}

/// Checks that every chunk lies within the file and none overlaps another; gives the number of rows.
fn check_chunks(footer: &ParquetMetaData, file: &File, path: &Path) -> Result<usize, StoreError> {
    let damaged = |column: &str, reason: &str| StoreError::Damaged {
        path: path.to_owned(),
        column: column.to_owned(),
        reason: reason.to_owned(),
    };
    let length = file.metadata().map_err(|source| StoreError::Read { path: path.to_owned(), source })?.len();
    let mut ranges = Vec::new();
    let mut rows = 0_usize;
    for group in footer.row_groups() {
        let group_rows = u32::try_from(group.num_rows()).map_err(|_| damaged("*", "a row group has too many rows"))?;
        rows += group_rows as usize;
        for chunk in group.columns() {
            let name = || chunk.column_path().string();
            let range = range_of(chunk).filter(|range| range.start >= 4 && range.end <= length);
            ranges.push(range.ok_or_else(|| damaged(&name(), "its bytes lie outside the file"))?);
            if chunk.num_values() < i64::from(group_rows) {
                return Err(damaged(&name(), "it has fewer values than there are rows"));
            }
        }
    }
    ranges.sort_unstable_by_key(|range| (range.start, range.end));
    if ranges.windows(2).any(|pair| pair[0].end > pair[1].start) {
        return Err(damaged("*", "two columns claim the same bytes"));
    }
    if i64::try_from(rows) != Ok(footer.file_metadata().num_rows()) {
        return Err(damaged("*", "the row groups do not add up to the file's rows"));
    }
    Ok(rows)
}

/// Where a chunk's bytes lie.
pub(super) fn range_of(chunk: &ColumnChunkMetaData) -> Option<Range<u64>> {
    let first = chunk.data_page_offset().min(chunk.dictionary_page_offset().unwrap_or(i64::MAX));
    let start = chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset());
    let (start, length) = (u64::try_from(start).ok()?, u64::try_from(chunk.compressed_size()).ok()?);
    let end = start.checked_add(length)?;
    (first >= 0 && (chunk.data_page_offset() as u64) < end.max(1)).then_some(start..end)
}

/// A reader of any Parquet file.
pub(crate) fn reader_of(file: File) -> Result<ParquetRecordBatchReaderBuilder<Positioned>, ParquetError> {
    let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())?;
    Ok(ParquetRecordBatchReaderBuilder::new_with_metadata(Positioned::new(Arc::new(file)), metadata))
}

/// A file read at given places, so that several readers can share it; the page headers in it are checked before the
/// Parquet library sees them.
#[derive(Debug)]
pub(crate) struct Positioned {
    file: Arc<File>,
    /// Values that pages may still claim: a few bytes may stand for two thousand million, and the library makes room.
    left: Arc<AtomicU64>,
}

impl Positioned {
    fn new(file: Arc<File>) -> Self {
        let left = Arc::new(AtomicU64::new(allowance(file.metadata().map_or(0, |about| about.len()))));
        Self { file, left }
    }
}

impl Length for Positioned {
    fn len(&self) -> u64 {
        self.file.metadata().map_or(0, |about| about.len())
    }
}

impl ChunkReader for Positioned {
    type T = io::BufReader<From>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(io::BufReader::new(From { file: self.file.clone(), left: self.left.clone(), at: start, checked: false }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<bytes::Bytes, ParquetError> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.len()) {
            return Err(ParquetError::EOF("the range reaches beyond the end of the file".into()));
        }
        let mut buffer = vec![0; length];
        read_at(&self.file, &mut buffer, start)?;
        Ok(buffer.into())
    }
}

/// Reads a file from a place onwards: page headers, which are checked when they are first looked at. (The library also asks
/// for readers of page bodies, but does not read from them.)
#[derive(Debug)]
pub(crate) struct From {
    file: Arc<File>,
    left: Arc<AtomicU64>,
    at: u64,
    checked: bool,
}

impl From {
    fn check(&mut self) -> io::Result<()> {
        let rest = Mapping::new(&self.file, self.at..self.file.metadata()?.len())?;
        let values = header::values(rest.bytes()).ok_or_else(|| io::Error::other("a page header cannot be read"))?;
        let granted = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(values));
        self.checked = granted.is_ok();
        granted
            .map(drop)
            .map_err(|_| io::Error::other("its pages claim more values than a file of its size is granted"))
    }
}

impl Read for From {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.checked {
            self.check()?;
        }
        let read = read_some(&self.file, buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

#[cfg(unix)]
fn read_some(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, at)
}

#[cfg(windows)]
fn read_some(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, at)
}

/// Fills a buffer from a place in a file.
pub(super) fn read_at(file: &File, mut buffer: &mut [u8], mut at: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match read_some(file, buffer, at) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => (buffer, at) = (&mut buffer[read..], at + read as u64),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
