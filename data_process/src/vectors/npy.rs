//! Vectors from numpy's own files: `.npy` (one matrix, the keys of its rows in `NAME.rows.npy` beside it, if that is there)
//! and `.npz` (named arrays).
//!
//! Versions 1 to 3, C and Fortran order, both byte orders. Archives may be compressed; what they unfold to is bounded.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use super::arrays::{self, Arrays, Choice, Content, Named};
use super::element::{Dtype, Element};
use super::error::VectorError;
use super::pickle::value::{contiguous, elements, walk};
use super::table::{Keys, VectorTable, allowance};

/// What messages call the one array of a file.
const ARRAY: &str = "the array";

/// The longest header that is read; numpy's are 118 bytes, but for structured types.
const MAX_HEADER: usize = 1 << 16;

/// Bytes of a matrix that are decoded at a time: whole elements of any size, and few beside the floats they become.
const BLOCK: u64 = 1 << 20;

/// What can be wrong with a numpy file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NpyError {
    /// The file ends too early or cannot be read on.
    #[error("{name}: cut off or unreadable: {source}; write it anew with numpy.save or numpy.savez")]
    Read {
        /// The array.
        name: String,
        /// Why.
        source: std::io::Error,
    },
    /// The first bytes are not those of a numpy array.
    #[error("{name}: it does not begin with `\\x93NUMPY`, so this is not a numpy array; write one with numpy.save")]
    Magic {
        /// The array.
        name: String,
    },
    /// The header is not the dictionary numpy writes.
    #[error("{name}: the header is not one that numpy writes: {header:?}; write it anew with numpy.save")]
    Header {
        /// The array.
        name: String,
        /// Its start.
        header: String,
    },
    /// The element type is neither a number nor a string.
    #[error(
        "{name}: numpy type {descr:?} is not read; save plain floats, integers or strings, without pickled objects"
    )]
    Descr {
        /// The array.
        name: String,
        /// The type.
        descr: String,
    },
    /// The archive is damaged.
    #[error("the archive is damaged: {source}; write it anew with numpy.savez")]
    Archive {
        /// Why.
        source: zip::result::ZipError,
    },
}

/// What the elements of an array are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Number(Dtype),
    Unicode { letters: usize, big_endian: bool },
    Bytes { length: usize },
}

impl Kind {
    fn parse(descr: &str) -> Option<Self> {
        let big_endian = descr.starts_with('>');
        let code = descr.trim_start_matches(['<', '>', '|', '=']);
        if let Some(element) = Element::from_numpy(code) {
            return Some(Self::Number(Dtype { element, big_endian }));
        }
        let count = code.get(1..)?.parse::<u32>().ok()? as usize;
        match code.as_bytes().first()? {
            b'U' => Some(Self::Unicode { letters: count, big_endian }),
            b'S' => Some(Self::Bytes { length: count }),
            _ => None,
        }
    }

    fn size(self) -> usize {
        match self {
            Self::Number(dtype) => dtype.element.size(),
            Self::Unicode { letters, .. } => letters * 4,
            Self::Bytes { length } => length,
        }
    }

    fn content(self) -> Content {
        match self {
            Self::Number(dtype) if dtype.element.is_float() => Content::Floats,
            Self::Number(dtype) if dtype.element == Element::Bool => Content::Other,
            _ => Content::Keys,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Header {
    /// What the elements are, or the type that is not read.
    kind: Result<Kind, String>,
    fortran: bool,
    shape: Vec<usize>,
}

impl Header {
    fn read(name: &str, reader: &mut impl Read) -> Result<Self, NpyError> {
        let cut = |source| NpyError::Read { name: name.to_owned(), source };
        let mut start = [0; 8];
        reader.read_exact(&mut start).map_err(cut)?;
        if &start[..6] != b"\x93NUMPY" {
            return Err(NpyError::Magic { name: name.to_owned() });
        }
        let mut length = [0; 4];
        let width = if start[6] == 1 { 2 } else { 4 };
        reader.read_exact(&mut length[..width]).map_err(cut)?;
        let length = u32::from_le_bytes(length) as usize;
        let mut text = vec![0; length.min(MAX_HEADER)];
        reader.read_exact(&mut text).map_err(cut)?;
        Self::parse(name, &String::from_utf8_lossy(&text))
    }

    fn parse(name: &str, text: &str) -> Result<Self, NpyError> {
        let wrong = || NpyError::Header { name: name.to_owned(), header: text.chars().take(120).collect() };
        let descr = field(text, "descr").ok_or_else(wrong)?;
        let descr = match descr.strip_prefix(['\'', '"']) {
            Some(plain) => plain.split(['\'', '"']).next().unwrap_or_default(),
            // A list of fields, which is nothing to us; it ends where the next key begins.
            None => descr.split(", 'fortran_order'").next().unwrap_or_default(),
        };
        let fortran = match field(text, "fortran_order").ok_or_else(wrong)? {
            rest if rest.starts_with("True") => true,
            rest if rest.starts_with("False") => false,
            _ => return Err(wrong()),
        };
        let shape = field(text, "shape").and_then(|rest| rest.strip_prefix('(')?.split_once(')')).ok_or_else(wrong)?.0;
        let axes = shape.split(',').map(str::trim).filter(|axis| !axis.is_empty());
        let shape =
            axes.map(|axis| axis.trim_end_matches('L').parse().map_err(|_| wrong())).collect::<Result<_, _>>()?;
        let kind = Kind::parse(descr).ok_or_else(|| descr.chars().take(120).collect());
        Ok(Self { kind, fortran, shape })
    }

    fn content(&self) -> Content {
        self.kind.as_ref().map_or(Content::Other, |kind| kind.content())
    }

    fn outline(&self, name: &str) -> Named {
        Named { name: name.to_owned(), shape: self.shape.clone(), content: self.content() }
    }
}

/// What follows a key of the header's dictionary.
fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("'{key}'")).or_else(|| text.split_once(&format!("\"{key}\"")))?;
    Some(rest.trim_start().strip_prefix(':')?.trim_start())
}

/// An array in a file: its header, and the rest of its bytes yet to be read.
struct Reading<'a, R> {
    path: &'a Path,
    name: &'a str,
    header: Header,
    reader: R,
    /// Bytes that the file may unfold to in all.
    allowed: u64,
}

impl<'a, R: Read> Reading<'a, R> {
    fn start(path: &'a Path, name: &'a str, mut reader: R, allowed: u64) -> Result<Self, VectorError> {
        let header = Header::read(name, &mut reader).map_err(|source| npy_error(path, source))?;
        Ok(Self { path, name, header, reader, allowed })
    }

    fn kind(&self) -> Result<Kind, VectorError> {
        let unread = |descr: &String| NpyError::Descr { name: self.name.to_owned(), descr: descr.clone() };
        self.header.kind.as_ref().copied().map_err(|descr| npy_error(self.path, unread(descr)))
    }

    /// How many bytes all elements take: no more than are allowed.
    fn claimed(&self) -> Result<u64, VectorError> {
        let size = self.kind()?.size();
        let bytes = elements(&self.header.shape).and_then(|count| count.checked_mul(size));
        let claimed = bytes.map_or(u64::MAX, |bytes| bytes as u64);
        if claimed > self.allowed {
            let (claimed, allowed) = (claimed / 4, self.allowed / 4);
            return Err(VectorError::TooLarge { path: self.path.to_owned(), claimed, allowed });
        }
        Ok(claimed)
    }

    /// The next bytes; nothing is set aside before it is there.
    fn bytes(&mut self, claimed: u64) -> Result<Vec<u8>, VectorError> {
        let mut bytes = Vec::new();
        let found = self.reader.by_ref().take(claimed).read_to_end(&mut bytes);
        let found = found.and_then(|found| {
            if found as u64 == claimed { Ok(()) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) }
        });
        found.map_err(|source| npy_error(self.path, NpyError::Read { name: self.name.to_owned(), source }))?;
        Ok(bytes)
    }

    /// Appends all elements, last axis fastest.
    fn floats(&mut self, out: &mut Vec<f32>) -> Result<(), VectorError> {
        let Kind::Number(dtype) = self.kind()? else { return Err(self.not_floats()) };
        if !dtype.element.is_float() {
            return Err(self.not_floats());
        }
        let mut left = self.claimed()?;
        if !self.header.fortran || self.header.shape.len() < 2 {
            while left > 0 {
                let bytes = self.bytes(left.min(BLOCK))?;
                dtype.floats(&bytes, out);
                left -= bytes.len() as u64;
            }
            return Ok(());
        }
        let bytes = self.bytes(left)?;
        let (shape, size) = (&self.header.shape, dtype.element.size());
        walk(shape, &contiguous(shape, true), |place| dtype.floats(&bytes[place * size..(place + 1) * size], out));
        Ok(())
    }

    fn not_floats(&self) -> VectorError {
        VectorError::NotFloats { path: self.path.to_owned(), name: self.name.to_owned() }
    }

    fn not_keys(&self) -> VectorError {
        VectorError::NotKeys { path: self.path.to_owned(), name: self.name.to_owned() }
    }

    fn keys(&mut self) -> Result<Keys, VectorError> {
        let (kind, claimed) = (self.kind()?, self.claimed()?);
        let size = kind.size();
        if size == 0 {
            return Err(self.not_keys());
        }
        let bytes = self.bytes(claimed)?;
        let cells = bytes.chunks_exact(size);
        Ok(match kind {
            Kind::Number(dtype) => Keys::Ids(dtype.integers(&bytes)),
            Kind::Unicode { big_endian, .. } => Keys::Names(cells.map(|cell| unicode(cell, big_endian)).collect()),
            Kind::Bytes { .. } => Keys::Names(cells.map(|cell| trimmed(&String::from_utf8_lossy(cell))).collect()),
        })
    }
}

fn unicode(cell: &[u8], big_endian: bool) -> Box<str> {
    let letters = cell.as_chunks::<4>().0.iter();
    let codes = letters.map(|word| if big_endian { u32::from_be_bytes(*word) } else { u32::from_le_bytes(*word) });
    let text: String = codes.map(|code| char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    trimmed(&text)
}

fn trimmed(text: &str) -> Box<str> {
    text.trim_end_matches('\0').into()
}

fn npy_error(path: &Path, source: NpyError) -> VectorError {
    VectorError::Npy { path: path.to_owned(), source }
}

fn open(path: &Path) -> Result<(File, u64), VectorError> {
    let wrong = |source| VectorError::Open { path: path.to_owned(), source };
    let file = File::open(path).map_err(wrong)?;
    let size = file.metadata().map_err(wrong)?.len();
    Ok((file, size))
}

/// Reads a `.npy` file: a matrix `[n, d]`. Where `NAME.rows.npy` lies beside `NAME.npy`, as `humea store export` writes it,
/// that holds the keys of its rows.
///
/// # Errors
/// If a file cannot be read, or they are not a matrix of floats and a key for each of its rows.
pub fn read(path: &Path) -> Result<VectorTable, VectorError> {
    let keys = keys_beside(path)?;
    let (file, size) = open(path)?;
    keyed(path, BufReader::new(file), size, keys)
}

fn keys_beside(path: &Path) -> Result<Option<Keys>, VectorError> {
    let beside = path.with_extension("rows.npy");
    if !beside.is_file() {
        return Ok(None);
    }
    let (file, size) = open(&beside)?;
    let mut array = Reading::start(&beside, ARRAY, BufReader::new(file), size)?;
    if array.header.shape.len() != 1 || array.header.content() != Content::Keys {
        return Err(array.not_keys());
    }
    array.keys().map(Some)
}

/// Reads the bytes of a `.npy` file of `size` bytes, without keys; `path` is for messages.
///
/// # Errors
/// As [`read`].
pub fn parse(path: &Path, reader: impl Read, size: u64) -> Result<VectorTable, VectorError> {
    keyed(path, reader, size, None)
}

/// A matrix with its keys; those of its row numbers, if there are none.
fn keyed(path: &Path, reader: impl Read, size: u64, keys: Option<Keys>) -> Result<VectorTable, VectorError> {
    let (rows, width, values) = matrix(path, reader, size)?;
    VectorTable::new(path, keys.unwrap_or(Keys::Rows(rows)), width, values)
}

/// Reads a `.npy` file that must have a row for each of so many entities: its width and its values, row after row. They may
/// be NaN, of which a row that is no vector may consist.
///
/// # Errors
/// As [`read`], and if it has another number of rows.
pub fn read_matrix(path: &Path, entities: usize) -> Result<(usize, Vec<f32>), VectorError> {
    let (file, size) = open(path)?;
    let (rows, width, values) = matrix(path, BufReader::new(file), size)?;
    if rows == entities {
        Ok((width, values))
    } else {
        Err(VectorError::Rows { path: path.to_owned(), rows, entities })
    }
}

/// Rows, width and values of a matrix that is not empty.
fn matrix(path: &Path, reader: impl Read, size: u64) -> Result<(usize, usize, Vec<f32>), VectorError> {
    let mut array = Reading::start(path, ARRAY, reader, size)?;
    let shape = array.header.shape.clone();
    if shape.len() < 2 {
        let known = vec![format!("an array of shape {shape:?}")];
        return Err(VectorError::NoCandidate { path: path.to_owned(), what: "vectors", known });
    }
    // The file is as long as it claims, or this is an error: room for all floats at once, so that none is held twice.
    let floats = array.claimed()?.min(size) as usize / array.kind()?.size().max(1);
    let mut values = Vec::with_capacity(floats);
    array.floats(&mut values)?;
    // A matrix without floats may claim any number of rows; they are not counted out.
    if values.is_empty() {
        return Err(VectorError::Empty { path: path.to_owned() });
    }
    Ok((shape[0], shape[1..].iter().product(), values))
}

/// Reads a `.npy` file of two columns of integers; one that is no integer of 64 bits is −1, which is nobody's id.
///
/// # Errors
/// If the file cannot be read or is not such an array.
pub fn read_pairs(path: &Path) -> Result<Vec<[i64; 2]>, VectorError> {
    let (file, size) = open(path)?;
    let mut array = Reading::start(path, ARRAY, BufReader::new(file), size)?;
    let (shape, fortran) = (array.header.shape.clone(), array.header.fortran);
    let (Kind::Number(_), [rows, 2], Content::Keys) = (array.kind()?, &shape[..], array.header.content()) else {
        let known = vec![format!("an array of shape {shape:?}")];
        return Err(VectorError::NoCandidate { path: path.to_owned(), what: "two columns of integers", known });
    };
    let Keys::Ids(ids) = array.keys()? else { return Err(array.not_keys()) };
    // In Fortran order, as numpy saves a transposed array, one column follows the other.
    let (row, column) = if fortran { (1, *rows) } else { (2, 1) };
    Ok((0..*rows).map(|at| [ids[at * row], ids[at * row + column]]).collect())
}

/// Reads a `.npz` file: one array per entity, or a matrix with its keys.
///
/// # Errors
/// If the file cannot be read, or it is not clear which arrays are meant.
pub fn read_npz(path: &Path, choice: &Choice) -> Result<VectorTable, VectorError> {
    let (file, size) = open(path)?;
    let archive = zip::ZipArchive::new(BufReader::new(file));
    let archive = archive.map_err(|source| npy_error(path, NpyError::Archive { source }))?;
    let mut npz = Npz { path, archive, allowed: allowance(size) * 4, outlines: Vec::new() };
    for index in 0..npz.archive.len() {
        let outline = npz.with(index, |name, array| Ok(array.header.outline(name)))?;
        npz.outlines.push(outline);
    }
    arrays::read(path, size, &mut npz, choice)
}

struct Npz<'a> {
    path: &'a Path,
    archive: zip::ZipArchive<BufReader<File>>,
    /// Bytes that one array may unfold to.
    allowed: u64,
    outlines: Vec<Named>,
}

impl Arrays for Npz<'_> {
    fn outlines(&self) -> &[Named] {
        &self.outlines
    }

    fn floats(&mut self, at: usize, out: &mut Vec<f32>) -> Result<(), VectorError> {
        self.with(at, |_, array| array.floats(out))
    }

    fn keys(&mut self, at: usize) -> Result<Keys, VectorError> {
        self.with(at, |_, array| array.keys())
    }
}

impl Npz<'_> {
    /// Opens one array of the archive.
    fn with<T>(
        &mut self,
        index: usize,
        read: impl FnOnce(&str, &mut Reading<'_, &mut dyn Read>) -> Result<T, VectorError>,
    ) -> Result<T, VectorError> {
        let (path, allowed) = (self.path, self.allowed);
        let entry = self.archive.by_index(index);
        let mut entry = entry.map_err(|source| npy_error(path, NpyError::Archive { source }))?;
        let name = entry.name().map_err(|source| npy_error(path, NpyError::Archive { source }))?;
        let name = name.trim_end_matches(".npy").to_owned();
        read(&name, &mut Reading::start(path, &name, &mut entry as &mut dyn Read, allowed)?)
    }
}

#[cfg(test)]
mod tests;
