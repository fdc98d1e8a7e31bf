//! Vectors from HDF5 files, such as MMKB's `*_ImageData.h5`: one dataset per image in the root group, or a matrix with
//! its keys. The one file that knows the HDF5 crate.
//!
//! The root group is walked once with `iter_datasets`: looking datasets up by name walks the group again for each.

use std::path::Path;

use hdf5_pure::{DType, Dataset, Datatype, File, VlenStringReadOptions};

use super::arrays::{self, Choice, Content, Layout, Named};
use super::element::{Dtype, Element};
use super::error::VectorError;
use super::pickle::value::elements;
use super::table::{Key, Keys, TableBuilder, VectorTable, allowance};

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
    let mut table = TableBuilder::new(path, allowance(size));
    match arrays::layout(path, &outlines, choice)? {
        Layout::PerEntity(vectors) => {
            for at in vectors {
                let (name, dataset) = &datasets[at];
                table.grant(outlines[at].shape.iter().product::<usize>() as u64)?;
                table.push(Key::Name(name), |out| floats(path, dataset, out))?;
            }
            table.finish()
        }
        Layout::Matrix { vectors, keys } => {
            let shape = &outlines[vectors].shape;
            let count = elements(shape).map_or(u64::MAX, |count| count as u64);
            table.grant(count)?;
            // A matrix without floats may claim any number of rows; they are not counted out.
            if count == 0 {
                return Err(VectorError::Empty { path: path.to_owned() });
            }
            let keys = match keys {
                Some(keys) => {
                    let (name, dataset) = &datasets[keys];
                    let cell = dataset.datatype().map_err(|error| library(path, &error))?.type_size();
                    table.grant((shape[0] as u64).saturating_mul(u64::from(cell)) / 4)?;
                    read_keys(path, name, dataset, allowance(size) * 4)?
                }
                None => Keys::Ids((0..shape[0] as i64).collect()),
            };
            let mut values = Vec::new();
            floats(path, &datasets[vectors].1, &mut values)?;
            VectorTable::new(path, keys, shape[1..].iter().product(), values)
        }
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

fn floats(path: &Path, dataset: &Dataset, out: &mut Vec<f32>) -> Result<(), VectorError> {
    let stored = dataset.datatype().map_err(|error| library(path, &error))?;
    if let Some(half) = half(&stored) {
        half.floats(&dataset.read_raw().map_err(|error| library(path, &error))?, out);
    } else {
        out.extend(dataset.read_f32().map_err(|error| library(path, &error))?);
    }
    Ok(())
}

/// Reads the keys, which may take so many bytes: one name may stand for many rows.
fn read_keys(path: &Path, name: &str, dataset: &Dataset, allowed: u64) -> Result<Keys, VectorError> {
    let kind = dataset.dtype().map_err(|error| library(path, &error))?;
    match kind {
        DType::String | DType::VariableLengthString => {
            let limit = VlenStringReadOptions::new().with_max_payload_bytes(allowed as usize);
            let names = if kind == DType::String { dataset.read_string() } else { dataset.read_vlen_strings(limit) };
            let names = names.map_err(|error| library(path, &error))?;
            Ok(Keys::Names(names.into_iter().map(|name| name.trim_end_matches('\0').into()).collect()))
        }
        kind if is_integer(&kind) => Ok(Keys::Ids(dataset.read_i64().map_err(|error| library(path, &error))?)),
        _ => Err(VectorError::NotKeys { path: path.to_owned(), name: name.to_owned() }),
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
