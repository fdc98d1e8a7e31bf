//! Small tables out of the house and into it: predicted links, sweeps, lists of training links. Parquet, whole in memory;
//! vectors go through [`crate::store`] instead.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, StringArray, UInt32Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, UInt32Type};
use arrow::error::ArrowError;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use crate::aside;
use crate::fault::{Fault, Kind};
use crate::store::{Guarded, guarded, reader_of};

/// The values of one column; a missing number is NaN and becomes null.
#[derive(Clone, Debug)]
pub enum Cells {
    /// Ids.
    Ids(Vec<u32>),
    /// Figures.
    Numbers(Vec<f64>),
    /// Words.
    Texts(Vec<String>),
}

/// A named column.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Its values, as many as in every other column of the table.
    pub cells: Cells,
}

/// What can go wrong with a table.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// It cannot be opened.
    #[error("cannot read {path}: {source}", path = path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not Parquet, or is damaged.
    #[error("{path} is not a readable Parquet file: {source}", path = path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ParquetError,
    },
    /// Its columns are not two columns of ids.
    #[error("{path}: expected two columns without nulls, a left and a right id; {found}", path = path.display())]
    Columns {
        /// The file.
        path: PathBuf,
        /// What was found instead.
        found: String,
    },
    /// It cannot be written.
    #[error("cannot write {path}: {message}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        message: String,
    },
}

impl Fault for TableError {
    fn kind(&self) -> Kind {
        match self {
            Self::Open { .. } => Kind::Input,
            Self::Parquet { .. } | Self::Columns { .. } => Kind::Data,
            Self::Write { .. } => Kind::Output,
        }
    }
}

/// Writes a table; the file appears whole or not at all.
///
/// # Errors
/// If the columns differ in length, or the file cannot be written.
pub fn write(path: &Path, columns: &[Column]) -> Result<(), TableError> {
    let failed = |message: String| TableError::Write { path: path.to_owned(), message };
    let batch = batch(columns).map_err(|error| failed(error.to_string()))?;
    let file = aside::beside(path).map_err(|error| failed(error.to_string()))?;
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
    let written = ArrowWriter::try_new(file.as_file(), batch.schema(), Some(properties))
        .and_then(|mut writer| writer.write(&batch).and_then(|()| writer.close()));
    written.map_err(|error| failed(error.to_string()))?;
    aside::publish(file, path).map_err(|error| failed(error.to_string()))
}

fn batch(columns: &[Column]) -> Result<RecordBatch, ArrowError> {
    let arrays: Vec<ArrayRef> = columns.iter().map(|column| array(&column.cells)).collect();
    let fields = columns.iter().zip(&arrays);
    let fields =
        fields.map(|(column, array)| Field::new(column.name, array.data_type().clone(), array.null_count() > 0));
    RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), arrays)
}

fn array(cells: &Cells) -> ArrayRef {
    match cells {
        Cells::Ids(ids) => Arc::new(UInt32Array::from(ids.clone())),
        Cells::Numbers(numbers) => {
            Arc::new(numbers.iter().map(|number| (!number.is_nan()).then_some(*number)).collect::<Float64Array>())
        }
        Cells::Texts(texts) => Arc::new(StringArray::from_iter_values(texts)),
    }
}

/// Reads pairs of ids: the columns `left` and `right` where there are such, otherwise the first two.
///
/// # Errors
/// If the file is not Parquet, or the columns are not ids.
pub fn read_pairs(path: &Path) -> Result<Vec<[u32; 2]>, TableError> {
    let file = File::open(path).map_err(|source| TableError::Open { path: path.to_owned(), source })?;
    let damaged = |source| TableError::Parquet { path: path.to_owned(), source };
    let reader = guarded(|| reader_of(file).and_then(ParquetRecordBatchReaderBuilder::build)).map_err(damaged)?;
    let mut pairs = Vec::new();
    for batch in Guarded::new(reader) {
        let batch = batch.map_err(|error| damaged(error.into()))?;
        let wrong = |found| TableError::Columns { path: path.to_owned(), found };
        let (left, right) = (ids(&batch, "left", 0).map_err(wrong)?, ids(&batch, "right", 1).map_err(wrong)?);
        pairs.extend(left.values().iter().zip(right.values()).map(|(left, right)| [*left, *right]));
    }
    Ok(pairs)
}

fn ids(batch: &RecordBatch, name: &str, position: usize) -> Result<UInt32Array, String> {
    let column = batch.column_by_name(name).or_else(|| batch.columns().get(position));
    let column = column.ok_or_else(|| format!("there is no column {}", position + 1))?;
    if !column.data_type().is_integer() {
        return Err(format!("column {} holds {}", position + 1, column.data_type()));
    }
    let ids = cast(column, &DataType::UInt32).map_err(|error| error.to_string())?;
    if ids.null_count() > 0 {
        return Err(format!("column {} holds nulls, or numbers that are no ids", position + 1));
    }
    Ok(ids.as_primitive::<UInt32Type>().clone())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    fn column(name: &'static str, ids: &[u32]) -> Column {
        Column { name, cells: Cells::Ids(ids.to_vec()) }
    }

    #[test]
    fn pairs_come_back_by_name_or_position() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pairs.parquet");
        let numbers = Column { name: "score", cells: Cells::Numbers(vec![0.5, f64::NAN]) };
        write(&path, &[numbers, column("right", &[7, 8]), column("left", &[1, 2])]).unwrap();
        assert_eq!(read_pairs(&path).unwrap(), [[1, 7], [2, 8]]);
        write(&path, &[column("a", &[3]), column("b", &[4])]).unwrap();
        assert_eq!(read_pairs(&path).unwrap(), [[3, 4]]);
    }

    #[test]
    fn every_way_of_being_wrong_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pairs.parquet");
        assert!(matches!(read_pairs(&path), Err(TableError::Open { .. })));
        std::fs::write(&path, "not parquet").unwrap();
        assert!(matches!(read_pairs(&path), Err(TableError::Parquet { .. })));
        let words = Column { name: "left", cells: Cells::Texts(vec!["a".to_owned()]) };
        write(&path, &[words, column("right", &[1])]).unwrap();
        assert!(matches!(read_pairs(&path), Err(TableError::Columns { .. })));
        let uneven = write(&path, &[column("left", &[1]), column("right", &[])]);
        assert!(matches!(uneven, Err(TableError::Write { .. })));
        assert!(matches!(write(Path::new("/no/such/folder/x"), &[]), Err(TableError::Write { .. })));
    }
    /// The files of [`crate::store`]'s tests: lists without end in a page header, and a page at which the library panics.
    #[test]
    fn files_made_to_do_harm_are_refused() {
        for name in ["endless_page_header.parquet", "overlong_level.parquet"] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/store").join(name);
            let error = read_pairs(&path).unwrap_err();
            assert!(matches!(error, TableError::Parquet { .. }), "{name}: {error}");
        }
    }
}
