//! Vectors from HDF5 files, such as MMKB's `*_ImageData.h5`: one dataset per image in the root group, or a matrix with
//! its keys. The one file that knows the HDF5 crate.
//!
//! The root group is walked once with `iter_datasets`: looking datasets up by name walks the group again for each.

use std::path::Path;

use hdf5_pure::{DType, Dataset, Datatype, File, VlenStringReadOptions};

use super::arrays::{self, Arrays, Choice, Content, Named};
use super::element::{Dtype, Element};
use super::error::VectorError;
use super::table::{Keys, TableBuilder, VectorTable, allowance};

/// Reads the vectors in an HDF5 file.
///
/// # Errors
/// If the file cannot be read, is damaged, or it is not clear which datasets are meant.
pub fn read(path: &Path, choice: &Choice) -> Result<VectorTable, VectorError> {
    let size = std::fs::metadata(path).map_err(|source| VectorError::Open { path: path.to_owned(), source })?.len();
    let file = File::open_streaming(path).map_err(|error| library(path, &error))?;
    let datasets: Vec<(String, Dataset)> =
        file.root().iter_datasets().map_err(|error| library(path, &error))?.collect();
    let outlines =
        datasets.iter().map(|(name, dataset)| outline(path, name, dataset)).collect::<Result<Vec<_>, _>>()?;
    arrays::read(path, size, &mut Hdf5 { path, size, datasets, outlines }, choice)
}

struct Hdf5<'a> {
    path: &'a Path,
    /// Bytes of the file.
    size: u64,
    datasets: Vec<(String, Dataset)>,
    outlines: Vec<Named>,
}

impl Arrays for Hdf5<'_> {
    fn outlines(&self) -> &[Named] {
        &self.outlines
    }

    fn floats(&mut self, at: usize, out: &mut Vec<f32>) -> Result<(), VectorError> {
        let dataset = &self.datasets[at].1;
        let wrong = |error| library(self.path, &error);
        match half(&dataset.datatype().map_err(wrong)?) {
            Some(half) => half.floats(&dataset.read_raw().map_err(wrong)?, out),
            None => out.extend(dataset.read_f32().map_err(wrong)?),
        }
        Ok(())
    }

    /// The library makes room for all bytes of strings of one length, whether or not they are in the file; and strings of
    /// any length may all be the same one.
    fn keys(&mut self, at: usize) -> Result<Keys, VectorError> {
        let (name, dataset) = &self.datasets[at];
        let wrong = |error| library(self.path, &error);
        let allowed = allowance(self.size);
        let (rows, cell) = (self.outlines[at].shape[0] as u64, dataset.datatype().map_err(wrong)?.type_size());
        TableBuilder::new(self.path, allowed).grant(rows.saturating_mul(u64::from(cell)) / 4)?;
        let names = match dataset.dtype().map_err(wrong)? {
            DType::String => dataset.read_string(),
            DType::VariableLengthString => {
                dataset.read_vlen_strings(VlenStringReadOptions::new().with_max_payload_bytes(allowed as usize * 4))
            }
            kind if is_integer(&kind) => return Ok(Keys::Ids(dataset.read_i64().map_err(wrong)?)),
            _ => return Err(VectorError::NotKeys { path: self.path.to_owned(), name: name.clone() }),
        };
        let names = names.map_err(wrong)?.into_iter();
        Ok(Keys::Names(names.map(|name| name.trim_end_matches('\0').into()).collect()))
    }
}

fn library(path: &Path, error: &impl ToString) -> VectorError {
    VectorError::Library { path: path.to_owned(), format: "HDF5", message: error.to_string() }
}

fn outline(path: &Path, name: &str, dataset: &Dataset) -> Result<Named, VectorError> {
    let shape = dataset.shape().map_err(|error| library(path, &error))?;
    let shape: Vec<usize> = shape.into_iter().map(|axis| axis as usize).collect();
    let content = match dataset.dtype().map_err(|error| library(path, &error))? {
        DType::F32 | DType::F64 => Content::Floats,
        DType::Other(stored) if half(&stored).is_some() => Content::Floats,
        DType::String | DType::VariableLengthString => Content::Keys,
        kind if is_integer(&kind) => Content::Keys,
        _ => Content::Other,
    };
    Ok(Named { name: name.to_owned(), shape, content })
}

fn is_integer(kind: &DType) -> bool {
    use DType::{I8, I16, I32, I64, U8, U16, U32, U64};
    matches!(kind, I8 | I16 | I32 | I64 | U8 | U16 | U32 | U64)
}

/// float16, which the crate does not convert itself.
fn half(stored: &Datatype) -> Option<Dtype> {
    match stored {
        Datatype::FloatingPoint { size: 2, byte_order, layout } if layout.exponent_size == 5 => {
            Some(Dtype { element: Element::F16, big_endian: *byte_order == hdf5_pure::DatatypeByteOrder::BigEndian })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::fixtures::{assert_is_the_table, bytes, mutations, path};

    #[test]
    fn one_dataset_per_image_of_any_width_and_packing() {
        for name in ["images.h5", "images_gzip.h5", "images_f16.h5", "images_f64_big.h5", "images_latest.h5"] {
            assert_is_the_table(&read(&path(name), &Choice::default()).unwrap(), name);
        }
    }

    #[test]
    fn a_matrix_with_names_or_ids() {
        for name in ["matrix_names.h5", "matrix_ids.h5"] {
            assert_is_the_table(&read(&path(name), &Choice::default()).unwrap(), name);
        }
    }

    #[test]
    fn a_dataset_that_claims_too_much_is_refused() {
        for name in ["bomb.h5", "bomb_names.h5"] {
            let error = read(&path(name), &Choice::default()).unwrap_err();
            assert!(matches!(error, VectorError::TooLarge { .. }), "{name}: {error}");
        }
    }

    #[test]
    fn rows_without_floats_are_not_counted_out() {
        let error = read(&path("no_floats.h5"), &Choice::default()).unwrap_err();
        assert!(matches!(error, VectorError::Empty { .. }), "{error}");
    }

    #[test]
    fn damaged_files_are_errors() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let whole = bytes("images.h5");
        for length in (0..whole.len()).step_by(97) {
            std::fs::write(file.path(), &whole[..length]).unwrap();
            assert!(read(file.path(), &Choice::default()).is_err(), "cut at {length}");
        }
        for damaged in mutations(&whole, 300) {
            std::fs::write(file.path(), &damaged).unwrap();
            drop(read(file.path(), &Choice::default()));
        }
        assert!(matches!(read(Path::new("/no/such.h5"), &Choice::default()), Err(VectorError::Open { .. })));
    }
}
