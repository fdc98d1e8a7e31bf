//! Vectors from Parquet and Arrow files: a list column of floats, keyed by a column of names or ids. Rows without a
//! vector are passed over.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, Schema};
use arrow::error::ArrowError;
use arrow::ipc::reader::{FileReader, read_footer_length};
use arrow::ipc::{Block, root_as_footer};
use parquet::arrow::ProjectionMask;

use super::arrays::Choice;
use super::error::VectorError;
use super::table::{Key, TableBuilder, VectorTable, allowance};
use crate::float_lists::{FloatLists, is_floats};
use crate::store::{Guarded, guarded, reader_of};

/// Key columns by name, best first, where several columns could be the key.
const KEY_NAMES: [&str; 5] = ["uri", "entity", "id", "key", "name"];

/// Reads the vectors in a Parquet file.
///
/// # Errors
/// If the file cannot be read, or it is not clear which columns are meant.
pub fn read(path: &Path, choice: &Choice) -> Result<VectorTable, VectorError> {
    let (file, size) = open(path)?;
    let builder = guarded(|| reader_of(file)).map_err(|error| library(path, "Parquet", &error))?;
    let columns = Columns::choose(path, builder.schema(), choice)?;
    let mask = ProjectionMask::roots(builder.parquet_schema(), [columns.key, columns.vectors]);
    let columns = columns.projected();
    let batches =
        guarded(|| builder.with_projection(mask).build()).map_err(|error| library(path, "Parquet", &error))?;
    collect(path, "Parquet", Guarded::new(batches), &columns, size)
}

/// Reads the vectors in an Arrow IPC file. A compressed one is refused: its buffers may claim any size, and the library
/// would reserve it.
///
/// # Errors
/// As [`read`].
pub fn read_arrow(path: &Path, choice: &Choice) -> Result<VectorTable, VectorError> {
    let (mut file, size) = open(path)?;
    let reader = guarded(|| {
        check_blocks(&mut file, size)?;
        FileReader::try_new(BufReader::new(file), None)
    });
    let reader = reader.map_err(|error| library(path, "Arrow IPC", &error))?;
    let columns = Columns::choose(path, &reader.schema(), choice)?;
    // The library is built without codecs, and says so at the first batch.
    collect(path, "Arrow IPC", Guarded::new(reader), &columns, size).map_err(|error| match error {
        VectorError::Library { path, message, .. } if message.contains("decompression requires") => {
            VectorError::Compressed { path }
        }
        other => other,
    })
}

/// Refuses an Arrow file of blocks that reach beyond its end: the library makes room for a block before it reads it.
fn check_blocks(file: &mut File, size: u64) -> Result<(), ArrowError> {
    let beyond = || ArrowError::ParseError("a part of it reaches beyond the file".to_owned());
    let mut end = [0; 10];
    file.seek(SeekFrom::End(-10))?;
    file.read_exact(&mut end)?;
    let length = read_footer_length(end)?;
    file.seek(SeekFrom::Start(size.checked_sub(10 + length as u64).ok_or_else(beyond)?))?;
    let mut footer = vec![0; length];
    file.read_exact(&mut footer)?;
    file.rewind()?;
    let footer = root_as_footer(&footer).map_err(|error| ArrowError::ParseError(error.to_string()))?;
    let inside = |block: &Block| {
        let mut parts = [block.offset(), block.metaDataLength().into(), block.bodyLength()].into_iter();
        let end = parts.try_fold(0_u64, |end, part| end.checked_add(u64::try_from(part).ok()?));
        end.is_some_and(|end| end <= size)
    };
    let mut blocks = footer.dictionaries().into_iter().chain(footer.recordBatches()).flatten();
    if blocks.all(inside) { Ok(()) } else { Err(beyond()) }
}

fn open(path: &Path) -> Result<(File, u64), VectorError> {
    let wrong = |source| VectorError::Open { path: path.to_owned(), source };
    let file = File::open(path).map_err(wrong)?;
    let size = file.metadata().map_err(wrong)?.len();
    Ok((file, size))
}

fn library(path: &Path, format: &'static str, error: &impl ToString) -> VectorError {
    VectorError::Library { path: path.to_owned(), format, message: error.to_string() }
}

/// The two columns, by position.
struct Columns {
    key: usize,
    vectors: usize,
    names: [String; 2],
}

impl Columns {
    fn choose(path: &Path, schema: &Schema, choice: &Choice) -> Result<Self, VectorError> {
        let vectors = Self::vectors(path, schema, choice)?;
        let key = Self::key(path, schema, choice)?;
        let names = [key, vectors].map(|at| schema.field(at).name().clone());
        Ok(Self { key, vectors, names })
    }

    fn vectors(path: &Path, schema: &Schema, choice: &Choice) -> Result<usize, VectorError> {
        if let Some(wanted) = &choice.column {
            let at = position(path, schema, wanted)?;
            let fits = is_floats(schema.field(at).data_type());
            let wrong = || VectorError::NotFloats { path: path.to_owned(), name: wanted.clone() };
            return fits.then_some(at).ok_or_else(wrong);
        }
        one_of(path, schema, "vectors", "--column", &candidates(schema, is_floats))
    }

    fn key(path: &Path, schema: &Schema, choice: &Choice) -> Result<usize, VectorError> {
        if let Some(wanted) = &choice.key {
            let at = position(path, schema, wanted)?;
            let fits = is_key(schema.field(at).data_type());
            return fits
                .then_some(at)
                .ok_or_else(|| VectorError::NotKeys { path: path.to_owned(), name: wanted.clone() });
        }
        let fitting = candidates(schema, is_key);
        let known = KEY_NAMES.iter().find_map(|name| fitting.iter().find(|at| schema.field(**at).name() == name));
        known.map_or_else(|| one_of(path, schema, "keys", "--key", &fitting), |at| Ok(*at))
    }

    /// The same columns once the others are gone.
    fn projected(self) -> Self {
        let key = usize::from(self.key > self.vectors);
        Self { key, vectors: 1 - key, names: self.names }
    }
}

fn candidates(schema: &Schema, fits: fn(&DataType) -> bool) -> Vec<usize> {
    (0..schema.fields().len()).filter(|at| fits(schema.field(*at).data_type())).collect()
}

fn one_of(
    path: &Path,
    schema: &Schema,
    what: &'static str,
    option: &'static str,
    fitting: &[usize],
) -> Result<usize, VectorError> {
    let names = |at: &[usize]| at.iter().map(|at| schema.field(*at).name().clone()).collect();
    match fitting {
        [only] => Ok(*only),
        [] => Err(VectorError::NoCandidate { path: path.to_owned(), what, known: all_names(schema) }),
        several => Err(VectorError::Ambiguous { path: path.to_owned(), what, known: names(several), option }),
    }
}

fn position(path: &Path, schema: &Schema, wanted: &str) -> Result<usize, VectorError> {
    schema.index_of(wanted).map_err(|_| VectorError::Missing {
        path: path.to_owned(),
        wanted: wanted.to_owned(),
        known: all_names(schema),
    })
}

fn all_names(schema: &Schema) -> Vec<String> {
    schema.fields().iter().map(|field| field.name().clone()).collect()
}

fn is_text(kind: &DataType) -> bool {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

fn is_key(kind: &DataType) -> bool {
    is_text(kind) || kind.is_integer()
}

fn collect(
    path: &Path,
    format: &'static str,
    batches: impl Iterator<Item = Result<RecordBatch, ArrowError>>,
    columns: &Columns,
    size: u64,
) -> Result<VectorTable, VectorError> {
    let mut table = TableBuilder::new(path, allowance(size));
    for batch in batches {
        let batch = batch.map_err(|error| library(path, format, &error))?;
        let [key, vectors] = [columns.key, columns.vectors].map(|at| batch.column(at));
        let wrong = || VectorError::NotKeys { path: path.to_owned(), name: columns.names[0].clone() };
        let lists = FloatLists::of(vectors).map_err(|error| library(path, format, &error))?;
        let text = is_text(key.data_type());
        let kind = if text { DataType::Utf8 } else { DataType::Int64 };
        let key = cast(key, &kind).map_err(|error| library(path, format, &error))?;
        for (row, range) in lists.rows.iter().enumerate() {
            let Some(range) = range else { continue };
            if key.is_null(row) {
                return Err(wrong());
            }
            let key = if text {
                Key::Name(key.as_string::<i32>().value(row))
            } else {
                Key::Id(key.as_primitive::<Int64Type>().value(row))
            };
            table.push(key, |out| {
                match lists.whole(range) {
                    Some(floats) => out.extend_from_slice(floats),
                    // What is missing is refused by name later on.
                    None => out.extend(range.clone().map(|at| lists.float(at))),
                }
                Ok(())
            })?;
        }
    }
    table.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::fixtures::{assert_is_the_table, bytes, path};

    fn choice(column: Option<&str>, key: Option<&str>) -> Choice {
        Choice { column: column.map(str::to_owned), key: key.map(str::to_owned) }
    }

    #[test]
    fn lists_of_every_kind_are_read() {
        for name in ["fixed_f32.parquet", "list_f64.parquet", "large_list_f16.parquet", "by_id.parquet"] {
            assert_is_the_table(&read(&path(name), &Choice::default()).unwrap(), name);
        }
        assert_is_the_table(&read_arrow(&path("fixed.arrow"), &Choice::default()).unwrap(), "fixed.arrow");
    }

    #[test]
    fn compressed_arrow_files_are_refused_with_what_to_do() {
        for name in ["lz4.arrow", "zstd.arrow"] {
            let error = read_arrow(&path(name), &Choice::default()).unwrap_err();
            assert!(matches!(error, VectorError::Compressed { .. }), "{error}");
            assert!(error.to_string().contains("without compression"), "{error}");
        }
    }

    #[test]
    fn columns_can_be_chosen_and_must_exist() {
        let file = path("several.parquet");
        assert!(matches!(read(&file, &Choice::default()), Err(VectorError::Ambiguous { option: "--column", .. })));
        assert_is_the_table(&read(&file, &choice(Some("right"), Some("mid"))).unwrap(), "several.parquet");
        assert!(matches!(read(&file, &choice(Some("x"), None)), Err(VectorError::Missing { .. })));
        assert!(matches!(read(&file, &choice(Some("mid"), None)), Err(VectorError::NotFloats { .. })));
        assert!(matches!(read(&file, &choice(Some("left"), Some("left"))), Err(VectorError::NotKeys { .. })));
    }

    /// A hundred million zeros in 755 bytes.
    #[test]
    fn a_page_that_stands_for_too_much_is_refused_before_it_unfolds() {
        let error = read(&path("bomb.parquet"), &Choice::default()).unwrap_err();
        assert!(error.to_string().contains("claim more values"), "{error}");
    }

    #[test]
    fn a_null_inside_a_vector_is_refused_and_a_null_vector_passed_over() {
        let error = read(&path("null_inside.parquet"), &Choice::default()).unwrap_err();
        assert!(matches!(error, VectorError::NotFinite { .. }), "{error}");
    }

    #[test]
    fn damaged_files_are_errors() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let whole = bytes("fixed_f32.parquet");
        for length in (0..whole.len()).step_by(31) {
            std::fs::write(file.path(), &whole[..length]).unwrap();
            let error = read(file.path(), &Choice::default()).unwrap_err();
            assert!(matches!(error, VectorError::Library { format: "Parquet", .. }), "{error}");
            assert!(read_arrow(file.path(), &Choice::default()).is_err());
        }
    }

    /// Among these are buffers that begin at −1, at which the library panics, and blocks of 4 GiB, which it would set aside.
    #[test]
    fn an_arrow_file_of_numbers_that_cannot_be_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let whole = bytes("fixed.arrow");
        let (mut beyond, mut gave_up) = (0, 0);
        for at in 0..whole.len() - 8 {
            let mut changed = whole.clone();
            changed[at..at + 8].fill(0xff);
            std::fs::write(file.path(), &changed).unwrap();
            let words =
                read_arrow(file.path(), &Choice::default()).map_or_else(|error| error.to_string(), |_| String::new());
            beyond += usize::from(words.contains("beyond the file"));
            gave_up += usize::from(words.contains("gave up"));
        }
        assert!(beyond > 8 && gave_up > 8, "{beyond} {gave_up}");
    }
}
