//! Puts a Parquet file together from finished column chunks, copied byte for byte, and new vector chunks, built here.
//!
//! A vector chunk is one page: header, levels, floats. The floats start on a 64-byte boundary of the file, which is
//! reached by leaving up to 63 unused bytes in front of the chunk (a reader goes by the offsets in the footer).

use std::borrow::Cow;
use std::io::{self, Write};
use std::ops::Range;

use parquet::basic::{Compression, Encoding};
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    ColumnChunkMetaData, FileMetaData, KeyValue, ParquetMetaData, ParquetMetaDataWriter, RowGroupMetaData,
};
use parquet::file::statistics::Statistics;
use parquet::schema::types::{ColumnDescPtr, SchemaDescPtr};

use super::levels::{self, RowRun};
use super::part::{CREATOR, Part, read_at};
use super::writer::through_parquet;
use super::{header, vectors::ALIGNMENT};

const MAGIC: &[u8; 4] = b"PAR1";

/// Bytes of a huge page where those of memory are 4 KiB; elsewhere only the size of a write.
const HUGE_PAGE: usize = 2 << 20;

/// Where the bytes of a finished chunk lie.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bytes<'a> {
    /// In a store's file.
    Part(&'a Part),
    /// In memory.
    Memory(&'a [u8]),
}

/// The vectors of one row group.
#[derive(Clone, Debug)]
pub(super) struct VectorChunk<'a> {
    /// Which rows of the group have one.
    pub runs: Vec<RowRun>,
    /// Floats per vector.
    pub width: usize,
    /// The floats, row after row.
    pub floats: Cow<'a, [f32]>,
}

/// A Parquet file being written.
#[derive(Debug)]
pub(super) struct Assembly<W> {
    out: W,
    at: u64,
    schema: SchemaDescPtr,
    page_bytes: usize,
    groups: Vec<RowGroupMetaData>,
    chunks: Vec<ColumnChunkMetaData>,
}

impl<W: Write> Assembly<W> {
    /// Begins a file. A vector chunk of more than `page_bytes` is cut into several pages.
    pub(super) fn new(mut out: W, schema: SchemaDescPtr, page_bytes: usize) -> io::Result<Self> {
        out.write_all(MAGIC)?;
        Ok(Self { out, at: MAGIC.len() as u64, schema, page_bytes, groups: Vec::new(), chunks: Vec::new() })
    }

    fn next_column(&self) -> Result<ColumnDescPtr, ParquetError> {
        let column = self.schema.columns().get(self.chunks.len());
        column.cloned().ok_or_else(|| ParquetError::General("more chunks than columns".into()))
    }

    /// No write crosses a multiple of [`HUGE_PAGE`] in the file: the kernel then caches it in huge pages, and whoever
    /// maps it has it at a fraction of the page faults.
    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(self.room()));
            self.out.write_all(now)?;
            self.at += now.len() as u64;
            bytes = later;
        }
        Ok(())
    }

    /// Bytes to the next multiple of [`HUGE_PAGE`].
    fn room(&self) -> usize {
        HUGE_PAGE - self.at as usize % HUGE_PAGE
    }

    /// Appends bytes of a file. Not within the kernel (`copy_file_range`), which leaves them cached in small pages.
    fn write_from(&mut self, part: &Part, range: Range<u64>) -> Result<(), ParquetError> {
        let mut buffer = vec![0; (range.end - range.start).min(HUGE_PAGE as u64) as usize];
        let mut from = range.start;
        while from < range.end {
            let now = (range.end - from).min(self.room() as u64) as usize;
            read_at(&part.file, &mut buffer[..now], from).map_err(|source| through_parquet(part.unreadable(source)))?;
            self.write(&buffer[..now])?;
            from += now as u64;
        }
        Ok(())
    }

    /// Leaves unused bytes so that what comes `lead` bytes from there is on the boundary for floats.
    pub(super) fn align(&mut self, lead: usize) -> io::Result<()> {
        let gap = self.at.wrapping_add(lead as u64).wrapping_neg() as usize % ALIGNMENT;
        self.write(&[0; ALIGNMENT][..gap])
    }

    /// Appends a finished chunk, byte for byte.
    pub(super) fn copy(&mut self, from: Bytes<'_>, chunk: &ColumnChunkMetaData) -> Result<(), ParquetError> {
        let (start, length) = chunk.byte_range();
        self.record(chunk)?;
        match from {
            Bytes::Memory(bytes) => {
                let range = bytes.get(start as usize..(start + length) as usize);
                self.write(range.ok_or(io::ErrorKind::UnexpectedEof).map_err(io::Error::from)?)?;
            }
            Bytes::Part(part) => self.write_from(part, start..start + length)?,
        }
        Ok(())
    }

    /// Notes a finished chunk that begins here in the new file.
    fn record(&mut self, chunk: &ColumnChunkMetaData) -> Result<(), ParquetError> {
        let moved = |offset: i64| offset - chunk.byte_range().0 as i64 + self.at as i64;
        let mut builder = ColumnChunkMetaData::builder(self.next_column()?)
            .set_compression_codec(chunk.compression_codec())
            .set_encodings_mask(*chunk.encodings_mask())
            .set_num_values(chunk.num_values())
            .set_total_compressed_size(chunk.compressed_size())
            .set_total_uncompressed_size(chunk.uncompressed_size())
            .set_data_page_offset(moved(chunk.data_page_offset()))
            .set_dictionary_page_offset(chunk.dictionary_page_offset().map(moved));
        if let Some(statistics) = chunk.statistics() {
            builder = builder.set_statistics(statistics.clone());
        }
        self.chunks.push(builder.build()?);
        Ok(())
    }

    /// Appends a vector chunk.
    pub(super) fn vectors(&mut self, chunk: &VectorChunk<'_>) -> Result<(), ParquetError> {
        let column = self.next_column()?;
        let pages = Pages::cut(&chunk.runs, chunk.width, self.page_bytes);
        self.align(pages.first_lead())?;
        let start = self.at;
        let mut floats: &[f32] = &chunk.floats;
        for page in &pages.0 {
            let (now, later) = floats
                .split_at_checked(page.floats)
                .ok_or_else(|| ParquetError::General("fewer floats than rows".into()))?;
            self.write(&page.lead)?;
            self.write(bytemuck::cast_slice(now))?;
            floats = later;
        }
        let size = (self.at - start) as i64;
        let nulls = chunk.runs.iter().filter(|run| !run.present).map(|run| run.rows).sum();
        let metadata = ColumnChunkMetaData::builder(column)
            .set_compression(Compression::UNCOMPRESSED)
            .set_encodings(vec![Encoding::PLAIN, Encoding::RLE])
            .set_num_values(pages.0.iter().map(|page| page.levels as i64).sum())
            .set_total_compressed_size(size)
            .set_total_uncompressed_size(size)
            .set_data_page_offset(start as i64)
            .set_statistics(Statistics::float(None, None, None, Some(nulls), false));
        self.chunks.push(metadata.build()?);
        Ok(())
    }

    /// Ends a row group.
    pub(super) fn end_group(&mut self, rows: usize) -> Result<(), ParquetError> {
        let chunks = std::mem::take(&mut self.chunks);
        let offset = chunks.first().map_or(self.at, |chunk| chunk.byte_range().0);
        let size = chunks.iter().map(ColumnChunkMetaData::uncompressed_size).sum();
        let group = RowGroupMetaData::builder(self.schema.clone())
            .set_column_metadata(chunks)
            .set_num_rows(rows as i64)
            .set_total_byte_size(size)
            .set_file_offset(offset as i64)
            .set_ordinal(self.groups.len() as i32);
        self.groups.push(group.build()?);
        Ok(())
    }

    /// Writes the footer; gives back the writer.
    pub(super) fn finish(mut self, key_values: Vec<KeyValue>) -> Result<W, ParquetError> {
        let rows = self.groups.iter().map(RowGroupMetaData::num_rows).sum();
        let by = format!("{CREATOR}{}", env!("CARGO_PKG_VERSION"));
        let about = FileMetaData::new(2, rows, Some(by), Some(key_values), self.schema.clone(), None);
        let footer = ParquetMetaData::new(about, std::mem::take(&mut self.groups));
        let mut bytes = Vec::new();
        ParquetMetaDataWriter::new(&mut bytes, &footer).finish()?;
        self.out.write_all(&bytes)?;
        self.out.flush()?;
        Ok(self.out)
    }
}

/// One page of a vector chunk: what comes before its floats, and how many floats it has.
struct Page {
    lead: Vec<u8>,
    levels: u64,
    floats: usize,
}

struct Pages(Vec<Page>);

impl Pages {
    /// Cuts rows into pages of at most `page_bytes` (or one row).
    fn cut(runs: &[RowRun], width: usize, page_bytes: usize) -> Self {
        let per_page = levels::rows_per_page(page_bytes, width) as u64;
        let (mut pages, mut current, mut room) = (Vec::new(), levels::Runs::default(), per_page);
        for run in runs {
            let mut rows = run.rows;
            while rows > 0 {
                let now = rows.min(room);
                current.push(run.present, now);
                (rows, room) = (rows - now, room - now);
                if room == 0 {
                    pages.push(Page::new(&std::mem::take(&mut current).0, width));
                    room = per_page;
                }
            }
        }
        if !current.0.is_empty() {
            pages.push(Page::new(&current.0, width));
        }
        Self(pages)
    }

    fn first_lead(&self) -> usize {
        self.0.first().map_or(0, |page| page.lead.len())
    }
}

impl Page {
    fn new(runs: &[RowRun], width: usize) -> Self {
        let encoded = levels::encode(runs, width);
        let rows_with = |present| runs.iter().filter(|run| run.present == present).map(|run| run.rows).sum::<u64>();
        let (present, nulls) = (rows_with(true), rows_with(false));
        let floats = present as usize * width;
        let (repetition, definition) = (encoded.repetition.len(), encoded.definition.len());
        let size = repetition + definition + floats * size_of::<f32>();
        let mut lead = header::write_v2(size, encoded.levels, nulls, present + nulls, repetition, definition);
        lead.extend(encoded.repetition);
        lead.extend(encoded.definition);
        Self { lead, levels: encoded.levels, floats }
    }
}
