//! A vector column of an open store: borrowed from the file where it allows, otherwise read.
//!
//! Three rungs, taken per column chunk: (a) one aligned page of plain floats is mapped; (b) plain, uncompressed pages
//! of any number, alignment and origin are read straight into memory; (c) anything else goes through the ordinary
//! Parquet reader, with a debug line that says why.

use std::fs::File;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, AsArray, FixedSizeListArray};
use arrow::datatypes::Float32Type;
use parquet::basic::{Compression, Encoding};
use parquet::column::page::{Page, PageReader};
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;

use super::guarded::guarded;
use super::levels::{self, RowRun, Runs};
use super::mapped::{MappedFloats, Mapping};
use super::part::{Part, VectorLeaf, range_of, read_at};
use super::{StoreError, header};

/// Floats written by this crate start on a multiple of this many bytes in the file.
pub const ALIGNMENT: usize = 64;

/// A dense `[present, width]` float32 matrix and the ids its rows belong to.
#[derive(Debug)]
pub struct Vectors {
    width: usize,
    rows: Vec<u32>,
    pieces: Vec<Piece>,
    whole: OnceLock<Vec<f32>>,
}

/// The ids of some rows and their vectors, row after row.
pub type Block<'a> = (&'a [u32], &'a [f32]);

/// The vectors of one column chunk.
#[derive(Debug)]
struct Piece {
    /// Which of the matrix's rows.
    rows: Range<usize>,
    floats: Floats,
    path: std::path::PathBuf,
}

#[derive(Debug)]
enum Floats {
    Mapped(MappedFloats),
    InFile(Arc<File>, Vec<Run>),
    Read(Vec<f32>),
}

/// Floats that lie together in a file.
#[derive(Clone, Copy, Debug)]
struct Run {
    offset: u64,
    floats: usize,
}

impl Vectors {
    /// Floats per vector.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The ids that have a vector, strictly increasing; `rows()[i]` owns matrix row `i`.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// The whole matrix, row-major: borrowed if it is one aligned run of the file or was decoded in one piece, otherwise read
    /// into memory once.
    pub fn as_slice(&self) -> Result<&[f32], StoreError> {
        if let [piece] = self.pieces.as_slice()
            && let Some(floats) = piece.at_hand()
        {
            return Ok(floats);
        }
        if let Some(whole) = self.whole.get() {
            return Ok(whole);
        }
        let whole = self.read()?;
        Ok(self.whole.get_or_init(|| whole))
    }

    /// Whether [`Self::as_slice`] borrows from the file.
    pub fn is_mapped(&self) -> bool {
        matches!(self.pieces.as_slice(), [Piece { floats: Floats::Mapped(_), .. }])
    }

    /// The matrix in blocks that need no copy, each with the ids of its rows: one block per row group where the file
    /// can be mapped or had to be decoded, one in all where pages must be put together.
    pub fn blocks(&self) -> Result<Vec<Block<'_>>, StoreError> {
        let at_hand = self.pieces.iter().map(|piece| Some((&self.rows[piece.rows.clone()], piece.at_hand()?)));
        match at_hand.collect::<Option<Vec<_>>>() {
            Some(blocks) => Ok(blocks),
            None => Ok(vec![(&self.rows, self.as_slice()?)]),
        }
    }

    /// The matrix for the rest of the process: the private (copy-on-write) mapping or the buffer is never freed, so a
    /// tensor over it can live as long as it likes and be written to without touching the file.
    pub fn into_static(mut self) -> Result<(&'static mut [f32], Vec<u32>), StoreError> {
        if self.pieces.len() == 1
            && let Some(piece) = self.pieces.pop_if(|piece| piece.at_hand().is_some())
        {
            match piece.floats {
                Floats::Mapped(floats) => return Ok((floats.into_static(), self.rows)),
                Floats::Read(floats) => return Ok((floats.leak(), self.rows)),
                Floats::InFile(..) => {}
            }
        }
        self.as_slice()?;
        let whole = self.whole.take().unwrap_or_default();
        Ok((whole.leak(), self.rows))
    }

    fn read(&self) -> Result<Vec<f32>, StoreError> {
        let mut whole = vec![0_f32; self.rows.len() * self.width];
        for piece in &self.pieces {
            let target = &mut whole[piece.rows.start * self.width..piece.rows.end * self.width];
            piece.read(target).map_err(|source| StoreError::Read { path: piece.path.clone(), source })?;
        }
        Ok(whole)
    }

    /// Opens a column over all parts.
    pub(super) fn open(parts: &[Part], name: &str, width: usize) -> Result<Self, StoreError> {
        let mut vectors = Self { width, rows: Vec::new(), pieces: Vec::new(), whole: OnceLock::new() };
        for chunk in chunks(parts, name) {
            let (runs, floats) = match chunk.map_pages()? {
                Some(found) => found,
                None => chunk.decode()?,
            };
            vectors.push(chunk.part, &runs, chunk.ids.start, floats);
        }
        Ok(vectors)
    }

    /// Which rows have a vector, as in [`Self::rows`], without decoding a float where the levels say it.
    pub(super) fn rows_of(parts: &[Part], name: &str) -> Result<Vec<u32>, StoreError> {
        let mut rows = Vec::new();
        for chunk in chunks(parts, name) {
            let runs = match chunk.map_pages()? {
                Some((runs, _)) => runs,
                None => match chunk.walk_levels()? {
                    Some(runs) => runs,
                    None => chunk.decode()?.0,
                },
            };
            extend_rows(&mut rows, &runs, chunk.ids.start);
        }
        Ok(rows)
    }

    /// What [`Self::is_mapped`] says of an opened column, from page headers and levels alone.
    pub(super) fn would_be_mapped(parts: &[Part], name: &str) -> Result<bool, StoreError> {
        let mut pieces = Vec::new();
        for chunk in chunks(parts, name) {
            match chunk.map_pages()? {
                None => return Ok(false),
                Some((runs, _)) if runs.iter().all(|run| !run.present) => {}
                Some((_, floats)) => pieces.push(matches!(floats, Floats::Mapped(_))),
            }
        }
        Ok(pieces == [true])
    }

    fn push(&mut self, part: &Part, runs: &[RowRun], first: usize, floats: Floats) {
        let start = self.rows.len();
        extend_rows(&mut self.rows, runs, first);
        if self.rows.len() > start {
            self.pieces.push(Piece { rows: start..self.rows.len(), floats, path: part.path.clone() });
        }
    }
}

impl Piece {
    /// Its floats, where they lie in memory as they are.
    fn at_hand(&self) -> Option<&[f32]> {
        match &self.floats {
            Floats::Mapped(floats) => Some(floats.as_slice()),
            Floats::Read(floats) => Some(floats),
            Floats::InFile(..) => None,
        }
    }

    fn read(&self, mut target: &mut [f32]) -> std::io::Result<()> {
        match &self.floats {
            Floats::Mapped(floats) => target.copy_from_slice(floats.as_slice()),
            Floats::Read(floats) => target.copy_from_slice(floats),
            Floats::InFile(file, runs) => {
                for run in runs {
                    let (now, later) = target.split_at_mut(run.floats);
                    read_at(file, bytemuck::cast_slice_mut(now), run.offset)?;
                    if cfg!(target_endian = "big") {
                        swap_bytes(now);
                    }
                    target = later;
                }
            }
        }
        Ok(())
    }
}

fn swap_bytes(values: &mut [f32]) {
    for value in values {
        *value = f32::from_bits(value.to_bits().swap_bytes());
    }
}

/// Appends the ids of the rows that have a vector.
pub(super) fn extend_rows(rows: &mut Vec<u32>, runs: &[RowRun], first: usize) {
    let mut next = first;
    for run in runs {
        let end = next + run.rows as usize;
        if run.present {
            rows.extend(next as u32..end as u32);
        }
        next = end;
    }
}

/// Where in a column chunk its floats begin, if they lie together: a writer that copies it keeps them aligned.
pub(super) fn floats_at(
    part: &Part,
    name: &str,
    ids: &Range<usize>,
    chunk: &ColumnChunkMetaData,
) -> Result<Option<usize>, StoreError> {
    let Some(&leaf) = part.vectors.get(name).filter(|_| chunk.compression() == Compression::UNCOMPRESSED) else {
        return Ok(None);
    };
    let (mapping, _) = map_chunk(part, name, chunk)?;
    match plain_pages(mapping.bytes(), leaf, ids.len() as u64) {
        Ok((_, pages)) => Ok(if let [page] = pages.as_slice() { Some(page.start) } else { None }),
        Err(Trouble::Unusual(_)) => Ok(None),
        Err(Trouble::Damaged(reason)) => Err(part.damaged(name, reason)),
    }
}

/// The bytes of a chunk, and where in the file they begin.
fn map_chunk(part: &Part, name: &str, chunk: &ColumnChunkMetaData) -> Result<(Mapping, u64), StoreError> {
    let range = range_of(chunk).ok_or_else(|| part.damaged(name, "its bytes lie outside the file"))?;
    let start = range.start;
    let mapping = Mapping::new(&part.file, range).map_err(|source| part.unreadable(source))?;
    Ok((mapping.in_huge_pages(), start))
}

/// A column chunk of vectors, and what is needed to make sense of it.
struct Chunk<'a> {
    part: &'a Part,
    name: &'a str,
    leaf: VectorLeaf,
    /// The number of its row group, and the ids of its rows.
    group: usize,
    ids: Range<usize>,
    about: &'a ColumnChunkMetaData,
}

/// The chunks of a column over all parts.
fn chunks<'a>(parts: &'a [Part], name: &'a str) -> impl Iterator<Item = Chunk<'a>> {
    parts.iter().filter_map(move |part| Some((part, *part.vectors.get(name)?))).flat_map(move |(part, leaf)| {
        let chunks = part.chunks(leaf.leaf).enumerate();
        chunks.map(move |(group, (ids, about))| Chunk { part, name, leaf, group, ids, about })
    })
}

impl Chunk<'_> {
    /// The first two rungs; none if the chunk is not made of plain pages.
    fn map_pages(&self) -> Result<Option<(Vec<RowRun>, Floats)>, StoreError> {
        let (part, name) = (self.part, self.name);
        let (mapping, start) = map_chunk(part, name, self.about)?;
        let pages = if self.about.compression() == Compression::UNCOMPRESSED {
            plain_pages(mapping.bytes(), self.leaf, self.ids.len() as u64)
        } else {
            Err(Trouble::Unusual("it is compressed"))
        };
        match pages {
            Ok((runs, pages)) => Ok(Some((runs, float_source(part, mapping, start, &pages)))),
            Err(Trouble::Damaged(reason)) => Err(part.damaged(name, reason)),
            Err(Trouble::Unusual(reason)) => {
                log::debug!("{}: column `{name}` is decoded, not mapped: {reason}", part.path.display());
                Ok(None)
            }
        }
    }

    /// Which rows have a vector, from the levels of pages whose values are left alone, however they are encoded; none if
    /// the lists are not whole vectors, or the levels no runs.
    fn walk_levels(&self) -> Result<Option<Vec<RowRun>>, StoreError> {
        let walk = || -> Result<_, ParquetError> {
            let mut pages = self.part.pages(self.about, self.ids.len())?;
            let (mut runs, mut open) = (Runs::default(), self.ids.len() as u64);
            while let Some(page) = pages.get_next_page()? {
                if matches!(page, Page::DictionaryPage { .. }) {
                    continue;
                }
                let Some(walked) = page_rows(&page, self.leaf, open) else { return Ok(None) };
                for run in walked {
                    let Some(rest) = open.checked_sub(run.rows) else { return Ok(None) };
                    open = rest;
                    runs.push(run.present, run.rows);
                }
            }
            Ok((open == 0).then_some(runs.0))
        };
        guarded(walk).map_err(|source| self.part.undecodable(source))
    }

    /// The third rung: the ordinary reader.
    fn decode(&self) -> Result<(Vec<RowRun>, Floats), StoreError> {
        let Self { part, name, leaf, ids, .. } = self;
        let (mut runs, mut floats) = (Runs::default(), Vec::new());
        for batch in part.group(leaf.leaf, self.group, ids.start)? {
            let (_, batch) = batch?;
            let lists = batch
                .column(0)
                .as_fixed_size_list_opt()
                .filter(|lists| lists.value_length() as u64 == leaf.shape.width);
            let lists = lists.ok_or_else(|| part.damaged(name, "its lists are not vectors of the declared width"))?;
            for row in 0..lists.len() {
                runs.push(lists.is_valid(row), 1);
                push_row(lists, row, &mut floats).ok_or_else(|| part.damaged(name, "a vector has a null in it"))?;
            }
        }
        if runs.0.iter().map(|run| run.rows).sum::<u64>() != ids.len() as u64 {
            return Err(part.damaged(name, "it has another number of rows than its row group"));
        }
        Ok((runs.0, Floats::Read(floats)))
    }
}

/// Which rows of a page have a vector.
fn page_rows(page: &Page, leaf: VectorLeaf, open: u64) -> Option<Vec<RowRun>> {
    let lengths = match page {
        Page::DataPage { def_level_encoding: Encoding::RLE, rep_level_encoding: Encoding::RLE, .. } => None,
        Page::DataPageV2 { rep_levels_byte_len, def_levels_byte_len, .. } => {
            Some((*rep_levels_byte_len as usize, *def_levels_byte_len as usize))
        }
        _ => return None,
    };
    let (repetition, definition, _) = split_page(page.buffer(), lengths)?;
    levels::rows(repetition, definition, leaf.shape, page.num_values().into(), open)
}

fn float_source(part: &Part, mapping: Mapping, start: u64, pages: &[Range<usize>]) -> Floats {
    let runs = |pages: &[Range<usize>]| {
        let run = |page: &Range<usize>| Run { offset: start + page.start as u64, floats: page.len() / 4 };
        Floats::InFile(part.file.clone(), pages.iter().map(run).collect())
    };
    if let [page] = pages {
        return mapping.floats(page.clone()).map_or_else(|_| runs(pages), Floats::Mapped);
    }
    runs(pages)
}

/// Why a chunk is not read as plain pages.
enum Trouble {
    /// It is another, legal, way of storing vectors.
    Unusual(&'static str),
    /// It cannot be right.
    Damaged(&'static str),
}

/// Walks the pages of a chunk: which rows have a vector, and where in the chunk each page's floats lie.
fn plain_pages(chunk: &[u8], leaf: VectorLeaf, rows: u64) -> Result<(Vec<RowRun>, Vec<Range<usize>>), Trouble> {
    let (mut runs, mut floats, mut at, mut open) = (Runs::default(), Vec::new(), 0, rows);
    while at < chunk.len() {
        let page = match header::read(&chunk[at..]) {
            None => return Err(Trouble::Damaged("a page header cannot be read")),
            Some(Err(reason)) => return Err(Trouble::Unusual(reason)),
            Some(Ok(page)) => page,
        };
        let body = at + page.header;
        let end = body.checked_add(page.size).filter(|&end| end <= chunk.len());
        let end = end.ok_or(Trouble::Damaged("a page reaches beyond its chunk"))?;
        let (repetition, definition, values) =
            split_page(&chunk[body..end], page.v2).ok_or(Trouble::Damaged("a page's levels reach beyond the page"))?;
        let walked = levels::rows(repetition, definition, leaf.shape, page.levels, open)
            .ok_or(Trouble::Unusual("its lists are not whole vectors of one width"))?;
        let count =
            |present: bool| walked.iter().filter(|run| present || !run.present).map(|run| run.rows).sum::<u64>();
        let (all, absent) = (count(true), count(false));
        open = open.checked_sub(all).ok_or(Trouble::Damaged("its pages have more rows than the row group"))?;
        if page.rows.is_some_and(|rows| rows != all) {
            return Err(Trouble::Damaged("a page has another number of rows than its header says"));
        }
        if ((all - absent) * leaf.shape.width).checked_mul(4) != Some(values as u64) {
            return Err(Trouble::Damaged("a page has another number of floats than its levels say"));
        }
        if values > 0 {
            floats.push(end - values..end);
        }
        for run in walked {
            runs.push(run.present, run.rows);
        }
        at = end;
    }
    if open > 0 {
        return Err(Trouble::Damaged("its pages do not add up to the rows of the row group"));
    }
    Ok((runs.0, floats))
}

/// A page's repetition levels, definition levels, and the number of bytes of its values.
fn split_page(page: &[u8], v2: Option<(usize, usize)>) -> Option<(&[u8], &[u8], usize)> {
    let Some((repetition, definition)) = v2 else {
        let (repetition, rest) = split_prefixed(page)?;
        let (definition, rest) = split_prefixed(rest)?;
        return Some((repetition, definition, rest.len()));
    };
    let levels = page.get(..repetition + definition)?;
    Some((&levels[..repetition], &levels[repetition..], page.len() - levels.len()))
}

fn split_prefixed(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize)
}

fn push_row(lists: &FixedSizeListArray, row: usize, floats: &mut Vec<f32>) -> Option<()> {
    if lists.is_valid(row) {
        let vector = lists.value(row);
        let vector = vector.as_primitive_opt::<Float32Type>()?;
        if vector.null_count() > 0 {
            return None;
        }
        floats.extend_from_slice(vector.values());
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page of ten bytes of levels that claims 2^62 rows without a vector, in a row group of five.
    #[test]
    fn a_page_of_more_rows_than_its_row_group_is_damaged() {
        let mut run = Vec::new();
        levels::put_varint(&mut run, 1 << 63);
        run.push(0);
        let page = |rows| header::write_v2(run.len() * 2, 1 << 62, 1 << 62, rows, run.len(), run.len());
        let leaf = VectorLeaf { leaf: 0, shape: levels::Shape { width: 3, max_def: 2, optional: true } };
        for rows in [5, 1 << 62] {
            let chunk = [page(rows), run.clone(), run.clone()].concat();
            let Err(Trouble::Damaged(reason)) = plain_pages(&chunk, leaf, 5) else { panic!("{rows}") };
            assert!(reason.contains("more rows"), "{reason}");
        }
    }
}
