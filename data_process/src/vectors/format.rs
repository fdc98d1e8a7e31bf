//! What a file of vectors is, from its name and its first bytes.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::arrays::Choice;
use super::error::VectorError;
use super::table::VectorTable;
use super::torch_file::TorchFile;
use super::{hdf5, npy, parquet, pickle, safetensors, torch_tables};

/// An outside format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// HDF5.
    Hdf5,
    /// A Python pickle.
    Pickle,
    /// What `torch.save` writes.
    Torch,
    /// One numpy array.
    Npy,
    /// An archive of numpy arrays.
    Npz,
    /// safetensors.
    SafeTensors,
    /// Parquet.
    Parquet,
    /// Arrow IPC.
    Arrow,
}

impl Format {
    /// Recognises a file: by its first bytes where the format has a mark, otherwise by its name.
    ///
    /// # Errors
    /// If the file cannot be read or is none of the formats.
    pub fn of(path: &Path) -> Result<Self, VectorError> {
        let wrong = |source| VectorError::Open { path: path.to_owned(), source };
        let mut start = Vec::new();
        File::open(path).and_then(|file| file.take(32).read_to_end(&mut start)).map_err(wrong)?;
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        Self::from_start(&start, &extension.to_ascii_lowercase())
            .ok_or_else(|| VectorError::UnknownFormat { path: path.to_owned() })
    }

    fn from_start(start: &[u8], extension: &str) -> Option<Self> {
        let torch = matches!(extension, "pt" | "pth" | "bin");
        Some(match start {
            [0x89, b'H', b'D', b'F', ..] => Self::Hdf5,
            [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => Self::Npy,
            [b'P', b'A', b'R', b'1', ..] => Self::Parquet,
            [b'A', b'R', b'R', b'O', b'W', b'1', ..] => Self::Arrow,
            [b'P', b'K', 3, 4, ..] if torch => Self::Torch,
            [b'P', b'K', 3, 4, ..] => Self::Npz,
            _ if extension == "safetensors" => Self::SafeTensors,
            _ if TorchFile::recognise(start) => Self::Torch,
            [0x80, ..] => Self::Pickle,
            _ if matches!(extension, "pkl" | "pickle") => Self::Pickle,
            _ => return None,
        })
    }

    /// Reads the vectors in a file of this format.
    ///
    /// # Errors
    /// If the file is damaged, or it is not clear which part of it is meant.
    pub fn read(self, path: &Path, choice: &Choice) -> Result<VectorTable, VectorError> {
        match self {
            Self::Hdf5 => hdf5::read(path, choice),
            Self::Pickle => pickle::read(path),
            Self::Torch => torch_tables::read(path, choice),
            Self::Npy => npy::read(path),
            Self::Npz => npy::read_npz(path, choice),
            Self::SafeTensors => safetensors::read(path, choice),
            Self::Parquet => parquet::read(path, choice),
            Self::Arrow => parquet::read_arrow(path, choice),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::fixtures::{assert_is_the_table, path};

    #[test]
    fn every_format_is_recognised_and_gives_the_same_table() {
        for (name, format) in [
            ("images.h5", Format::Hdf5),
            ("numpy2_p4.pkl", Format::Pickle),
            ("entities.pt", Format::Torch),
            ("entities.npz", Format::Npz),
            ("fixed_f32.parquet", Format::Parquet),
            ("fixed.arrow", Format::Arrow),
        ] {
            assert_eq!(Format::of(&path(name)).unwrap(), format, "{name}");
            assert_is_the_table(&format.read(&path(name), &Choice::default()).unwrap(), name);
        }
        assert_eq!(Format::of(&path("matrix.npy")).unwrap(), Format::Npy);
        assert_eq!(Format::of(&path("state_legacy.bin")).unwrap(), Format::Torch);
        assert_eq!(Format::from_start(b"\x40\0\0\0\0\0\0\0{", "safetensors"), Some(Format::SafeTensors));
    }

    #[test]
    fn other_files_are_refused() {
        assert!(matches!(Format::of(&path("make.py")), Err(VectorError::UnknownFormat { .. })));
        assert!(matches!(Format::of(&path("none")), Err(VectorError::Open { .. })));
    }
}
