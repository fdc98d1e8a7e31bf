//! Tensors in files that `torch.save` wrote (`pytorch_model.bin`, `*.pt`, `*.pth`), zip and legacy, without torch and
//! without running anything: the pickle inside goes through the data-only machine of [`super::pickle`].
//!
//! Opening reads the names and shapes; the bytes of a tensor are read when asked for, so a file may be larger than
//! memory.

use std::borrow::Cow;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustc_hash::FxHashMap;

use crate::fault::{Fault, Kind};

use super::element::Element;
use super::pickle::machine::unpickle;
use super::pickle::value::{Heap, Object, TensorView, Value, contiguous, elements, walk};
use super::pickle::{Dialect, LONGEST_STORAGE_KEY, PickleError};

/// A pickle may name one string again and again; the names of all tensors take so many times its length at most.
const NAMES_PER_BYTE: usize = 8;

/// The pickle of a state dictionary is small; a file that claims more than this is not one.
const MAX_PICKLE: u64 = 256 << 20;

/// The number at the start of a legacy file: 0x1950a86a20f9469cfc6c.
const LEGACY_MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// What can be wrong with a torch file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TorchFileError {
    /// The file cannot be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The zip archive is damaged.
    #[error("{}: the archive is damaged: {source}; fetch the file again", path.display())]
    Archive {
        /// The file.
        path: PathBuf,
        /// Why.
        source: zip::result::ZipError,
    },
    /// The pickle inside is damaged or would run code.
    #[error("{}: {source}", path.display())]
    Pickle {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: PickleError,
    },
    /// The file is something else.
    #[error("{}: {what}, so this is not a file of tensors that torch.save wrote", path.display())]
    NotTensors {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: &'static str,
    },
    /// The file holds other things than tensors by name.
    #[error("{}: it holds neither a tensor nor a dictionary of tensors; save `{{'vectors': tensor}}`", path.display())]
    NoDictionary {
        /// The file.
        path: PathBuf,
    },
    /// A tensor's data is missing, too short or in a form torch does not write.
    #[error("{}: the data of storage {key:?} {what}; fetch the file again", path.display())]
    Storage {
        /// The file.
        path: PathBuf,
        /// The storage's name in the file.
        key: String,
        /// What is wrong.
        what: &'static str,
    },
    /// There is no tensor of that name.
    #[error("{}: there is no tensor {name:?}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The name.
        name: String,
    },
}

impl Fault for TorchFileError {
    fn kind(&self) -> Kind {
        match self {
            Self::Read { .. } => Kind::Input,
            _ => Kind::Data,
        }
    }
}

/// What a file says about one tensor.
#[derive(Clone, Debug)]
struct Outline {
    element: Element,
    shape: Vec<usize>,
    strides: Vec<usize>,
    /// First element within the storage.
    offset: usize,
    /// Elements in the storage.
    count: usize,
    storage: String,
}

/// A tensor in memory: row-major, little-endian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TorchTensor {
    /// Element type.
    pub element: Element,
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// The elements, last axis fastest.
    pub bytes: Vec<u8>,
}

/// An open torch file.
#[derive(Debug)]
pub struct TorchFile {
    path: PathBuf,
    file: Mutex<File>,
    names: Vec<String>,
    outlines: FxHashMap<String, Outline>,
    /// Where the bytes of each storage are: `(offset, length)` in the file.
    places: FxHashMap<String, (u64, u64)>,
}

impl TorchFile {
    /// Opens a file and reads the names, types and shapes in it. Nested dictionaries are flattened with dots.
    ///
    /// # Errors
    /// If the file cannot be read, is damaged, is not a dictionary of tensors, or asks for anything but data.
    pub fn open(path: &Path) -> Result<Self, TorchFileError> {
        let mut file = File::open(path).map_err(|source| read_error(path, source))?;
        let mut magic = [0; 4];
        let zipped = file.read_exact(&mut magic).is_ok() && &magic == b"PK\x03\x04";
        if zipped { Self::open_zip(path, file) } else { Self::open_legacy(path, file) }
    }

    /// Whether the first bytes are those of either form.
    pub fn recognise(start: &[u8]) -> bool {
        start.get(..4) == Some(b"PK\x03\x04")
            || start.get(2..4) == Some(&[0x8a, 10]) && start.get(4..14) == Some(&LEGACY_MAGIC)
    }

    /// The names of the tensors, in file order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The element type and shape of a tensor, if there is one of that name.
    pub fn outline(&self, name: &str) -> Option<(Element, &[usize])> {
        self.outlines.get(name).map(|outline| (outline.element, outline.shape.as_slice()))
    }

    /// Reads one tensor; views with other strides come out row-major.
    ///
    /// # Errors
    /// If there is no such tensor, or its data is missing or too short.
    pub fn tensor(&self, name: &str) -> Result<TorchTensor, TorchFileError> {
        let missing = || TorchFileError::Missing { path: self.path.clone(), name: name.to_owned() };
        let outline = self.outlines.get(name).ok_or_else(missing)?;
        let (size, shape) = (outline.element.size(), outline.shape.clone());
        if outline.strides == contiguous(&shape, false) || elements(&shape).is_none_or(|count| count <= 1) {
            let bytes = self.read(outline, outline.offset, elements(&shape).unwrap_or(0))?;
            return Ok(TorchTensor { element: outline.element, shape, bytes });
        }
        let whole = self.read(outline, 0, outline.count)?;
        let mut bytes = Vec::new();
        walk(&shape, &outline.strides, |place| {
            let at = (outline.offset + place) * size;
            bytes.extend_from_slice(&whole[at..at + size]);
        });
        Ok(TorchTensor { element: outline.element, shape, bytes })
    }

    /// Reads `count` elements of a storage from element `first` on; the extent was checked when the file was opened.
    fn read(&self, outline: &Outline, first: usize, count: usize) -> Result<Vec<u8>, TorchFileError> {
        // Only of a tensor without elements may the first one lie anywhere.
        if count == 0 {
            return Ok(Vec::new());
        }
        let size = outline.element.size();
        let (start, length) = self.place(outline)?;
        let (skip, wanted) = ((first * size) as u64, (count * size) as u64);
        if skip + wanted > length {
            return Err(self.storage_error(&outline.storage, "is too short"));
        }
        let mut bytes = vec![0; wanted as usize];
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(start + skip))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(|source| read_error(&self.path, source))?;
        Ok(bytes)
    }

    fn place(&self, outline: &Outline) -> Result<(u64, u64), TorchFileError> {
        self.places.get(&outline.storage).copied().ok_or_else(|| self.storage_error(&outline.storage, "is missing"))
    }

    fn storage_error(&self, key: &str, what: &'static str) -> TorchFileError {
        TorchFileError::Storage { path: self.path.clone(), key: key.to_owned(), what }
    }

    fn open_zip(path: &Path, file: File) -> Result<Self, TorchFileError> {
        let damaged = |source| TorchFileError::Archive { path: path.to_owned(), source };
        let other = file.try_clone().map_err(|source| read_error(path, source))?;
        let mut archive = zip::ZipArchive::new(other).map_err(damaged)?;
        let names: Vec<String> = archive.file_names().flatten().map(Cow::into_owned).collect();
        let pickled = names.iter().find(|name| *name == "data.pkl" || name.ends_with("/data.pkl"));
        let Some(pickled) = pickled else {
            return Err(TorchFileError::NotTensors { path: path.to_owned(), what: "the archive has no data.pkl" });
        };
        let prefix = pickled.trim_end_matches("data.pkl").to_owned();
        let bytes = zipped_bytes(path, &mut archive, pickled)?;
        let order = format!("{prefix}byteorder");
        if names.contains(&order) && zipped_bytes(path, &mut archive, &order)? == b"big" {
            return Err(TorchFileError::NotTensors { path: path.to_owned(), what: "the data is big-endian" });
        }
        let places = zipped_places(path, &file, &mut archive, &format!("{prefix}data/"))?;
        let root = unpickle(&bytes, Dialect::Torch).map_err(|source| pickle_error(path, source))?;
        let (names, outlines) = outlines(path, &root.heap, root.root, bytes.len())?;
        let opened = Self { path: path.to_owned(), file: Mutex::new(file), names, outlines, places };
        opened.check()
    }

    /// A legacy file: pickles of a magic number, a protocol number, the machine, the tensors and the storage names,
    /// then each storage as its element count and its bytes.
    fn open_legacy(path: &Path, mut file: File) -> Result<Self, TorchFileError> {
        let size = size_of(path, &file)?;
        let (mut window, limit) = (1_u64 << 20, size.min(MAX_PICKLE));
        loop {
            let bytes = prefix(path, &mut file, window.min(limit))?;
            match Self::legacy_header(path, &bytes) {
                Err(TorchFileError::Pickle { source: PickleError::Truncated { .. }, .. }) if window < limit => {
                    window *= 8;
                }
                Err(error) => return Err(error),
                Ok((names, outlines, storages, end)) => {
                    let places = legacy_places(path, &mut file, &storages, end as u64, size)?;
                    let opened = Self { path: path.to_owned(), file: Mutex::new(file), names, outlines, places };
                    return opened.check();
                }
            }
        }
    }

    #[expect(clippy::type_complexity, reason = "four parts of one header, taken apart on the spot")]
    fn legacy_header(
        path: &Path,
        bytes: &[u8],
    ) -> Result<(Vec<String>, FxHashMap<String, Outline>, Vec<Stored>, usize), TorchFileError> {
        let wrong = |source| pickle_error(path, source);
        let magic = unpickle(bytes, Dialect::Torch).map_err(wrong)?;
        let mut at = magic.end;
        if !matches!(magic.root, Value::Huge(number) if *number == LEGACY_MAGIC) {
            return Err(TorchFileError::NotTensors {
                path: path.to_owned(),
                what: "it does not begin with torch's number",
            });
        }
        for _ in ["protocol", "machine"] {
            at += unpickle(&bytes[at..], Dialect::Torch).map_err(wrong)?.end;
        }
        let tensors = unpickle(&bytes[at..], Dialect::Torch).map_err(wrong)?;
        at += tensors.end;
        let (names, outlines) = outlines(path, &tensors.heap, tensors.root, tensors.end)?;
        let keys = unpickle(&bytes[at..], Dialect::Torch).map_err(wrong)?;
        at += keys.end;
        let keys = keys.heap.items(keys.root).unwrap_or_default().iter().filter_map(|key| match key {
            Value::Text(key) if key.len() <= LONGEST_STORAGE_KEY => Some(*key),
            _ => None,
        });
        // Not only those of the tensors that were found: every storage takes its place in the file.
        let elements: FxHashMap<&str, Element> = tensors.heap.storages().map(|one| (one.key, one.element)).collect();
        let stored = keys.map(|key| (key.to_owned(), elements.get(key).copied()));
        Ok((names, outlines, stored.collect(), at))
    }

    /// Every tensor's storage must be there and as long as it says.
    fn check(self) -> Result<Self, TorchFileError> {
        for outline in self.outlines.values() {
            let (_, length) = self.place(outline)?;
            let needed = (outline.count as u64).checked_mul(outline.element.size() as u64);
            if needed.is_none_or(|needed| needed > length) {
                return Err(self.storage_error(&outline.storage, "is too short"));
            }
        }
        Ok(self)
    }
}

fn read_error(path: &Path, source: std::io::Error) -> TorchFileError {
    TorchFileError::Read { path: path.to_owned(), source }
}

fn pickle_error(path: &Path, source: PickleError) -> TorchFileError {
    TorchFileError::Pickle { path: path.to_owned(), source }
}

fn size_of(path: &Path, file: &File) -> Result<u64, TorchFileError> {
    Ok(file.metadata().map_err(|source| read_error(path, source))?.len())
}

/// The first bytes of the file.
fn prefix(path: &Path, file: &mut File, length: u64) -> Result<Vec<u8>, TorchFileError> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).map_err(|source| read_error(path, source))?;
    file.take(length).read_to_end(&mut bytes).map_err(|source| read_error(path, source))?;
    Ok(bytes)
}

/// A small entry of the archive, at most [`MAX_PICKLE`] bytes of it.
fn zipped_bytes(path: &Path, archive: &mut zip::ZipArchive<File>, name: &str) -> Result<Vec<u8>, TorchFileError> {
    let entry = archive.by_name(name).map_err(|source| TorchFileError::Archive { path: path.to_owned(), source })?;
    let mut bytes = Vec::new();
    entry.take(MAX_PICKLE).read_to_end(&mut bytes).map_err(|source| read_error(path, source))?;
    Ok(bytes)
}

/// Where the storages are; torch stores them uncompressed, and only so can they be read piece by piece.
fn zipped_places(
    path: &Path,
    file: &File,
    archive: &mut zip::ZipArchive<File>,
    folder: &str,
) -> Result<FxHashMap<String, (u64, u64)>, TorchFileError> {
    let mut places = FxHashMap::default();
    let size = size_of(path, file)?;
    for index in 0..archive.len() {
        let entry =
            archive.by_index_raw(index).map_err(|source| TorchFileError::Archive { path: path.to_owned(), source })?;
        let Some(key) = entry.name().ok().and_then(|name| name.strip_prefix(folder).map(str::to_owned)) else {
            continue;
        };
        let wrong = |what| TorchFileError::Storage { path: path.to_owned(), key: key.clone(), what };
        if entry.compression() != zip::CompressionMethod::Stored {
            return Err(wrong("is compressed"));
        }
        let (start, length) = (entry.data_start().ok_or_else(|| wrong("has no place"))?, entry.compressed_size());
        if start.checked_add(length).is_none_or(|end| end > size) {
            return Err(wrong("is cut off"));
        }
        places.insert(key, (start, length));
    }
    Ok(places)
}

/// A storage of a legacy file, and what it is made of, if anything says so.
type Stored = (String, Option<Element>);

fn legacy_places(
    path: &Path,
    file: &mut File,
    storages: &[Stored],
    mut at: u64,
    size: u64,
) -> Result<FxHashMap<String, (u64, u64)>, TorchFileError> {
    let mut places = FxHashMap::default();
    for (key, element) in storages {
        let wrong = |what| TorchFileError::Storage { path: path.to_owned(), key: key.clone(), what };
        let mut count = [0; 8];
        file.seek(SeekFrom::Start(at)).map_err(|source| read_error(path, source))?;
        file.read_exact(&mut count).map_err(|_| wrong("is missing"))?;
        let element = element.ok_or_else(|| wrong("belongs to no tensor"))?;
        let length = u64::from_le_bytes(count).checked_mul(element.size() as u64);
        let end = length.and_then(|length| (at + 8).checked_add(length)).filter(|end| *end <= size);
        let end = end.ok_or_else(|| wrong("is cut off"))?;
        places.insert(key.clone(), (at + 8, end - at - 8));
        at = end;
    }
    Ok(places)
}

/// What a tensor is called that comes without a dictionary.
const BARE: &str = "vectors";

/// The tensors of a dictionary in a pickle of so many bytes, or the one tensor there is. Numbers, strings and empty values
/// beside them are passed over; dictionaries inside (`{"state_dict": {…}}`) are entered once.
fn outlines<'a>(
    path: &Path,
    heap: &Heap<'a>,
    root: Value<'a>,
    bytes: usize,
) -> Result<(Vec<String>, FxHashMap<String, Outline>), TorchFileError> {
    let (mut names, mut found, mut left) = (Vec::new(), FxHashMap::default(), bytes.saturating_mul(NAMES_PER_BYTE));
    let not_tensors = |what| TorchFileError::NotTensors { path: path.to_owned(), what };
    let mut add = |folder: &[&str], name: &str, view: &TensorView<'a>| -> Result<(), TorchFileError> {
        let whole = folder.iter().map(|name| name.len()).sum::<usize>() + name.len();
        left = left.checked_sub(whole).ok_or_else(|| not_tensors("its names take more than such a file has"))?;
        let name = [folder, &[name]].concat().join(".");
        if found.insert(name.clone(), outline(view)).is_none() {
            names.push(name);
        }
        Ok(())
    };
    let pairs = match heap.get(root) {
        Some(Object::Dict(pairs)) => pairs.as_slice(),
        Some(Object::Tensor(view)) => {
            add(&[], BARE, view)?;
            &[]
        }
        _ => return Err(TorchFileError::NoDictionary { path: path.to_owned() }),
    };
    for (key, value) in pairs {
        match (key_text(*key), heap.get(*value)) {
            (Some(key), Some(Object::Tensor(view))) => add(&[], &key, view)?,
            (Some(key), Some(Object::Dict(inner))) => {
                for (name, value) in inner {
                    if let (Some(name), Some(Object::Tensor(view))) = (key_text(*name), heap.get(*value)) {
                        add(&[&*key], &name, view)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok((names, found))
}

fn key_text(key: Value<'_>) -> Option<Cow<'_, str>> {
    match key {
        Value::Text(name) => Some(name.into()),
        Value::Int(id) => Some(id.to_string().into()),
        _ => None,
    }
}

fn outline(view: &TensorView<'_>) -> Outline {
    Outline {
        element: view.storage.element,
        shape: view.shape.clone(),
        strides: view.strides.clone(),
        offset: view.offset,
        count: view.storage.count,
        storage: view.storage.key.to_owned(),
    }
}

#[cfg(test)]
mod tests;
