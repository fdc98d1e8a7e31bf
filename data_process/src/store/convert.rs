//! Turns a foreign Parquet file into a store: what other engines make of a store when they rewrite it, and tables that
//! have at least `side` and `uri`.
//!
//! Types are cast, rows are put in order of their id, columns that can be derived or may be empty are filled in, links without
//! positions are kept on both sides wherever they were, and lists of floats that all have one length become vector columns. Anything else is left out and named.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float32Array, ListArray, RecordBatch, RecordBatchReader, UInt32Array, new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{cast, concat_batches, sort_to_indices, take_record_batch};
use arrow::datatypes::{DataType, Field, Float32Type, Schema, UInt8Type, UInt32Type};
use arrow::error::ArrowError;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rustc_hash::FxHashSet;

use super::decode::kept_links;
use super::folder::part_files;
use super::guarded::Guarded;
use super::part::{read_footer, reader_of};
use super::replace::Turn;
use super::table::list;
use super::validate::one_sided;
use super::{NewVectors, Provenance, Store, StoreError, writer};
use crate::schema::{self, Mismatch};

/// What became of a foreign file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conversion {
    /// Columns of the contract that were made up: empty, or derived from the others.
    pub filled: Vec<String>,
    /// Columns that were left out, as they are neither of the contract nor vectors.
    pub left_out: Vec<String>,
    /// Vector columns.
    pub vectors: Vec<String>,
}

/// Reads a Parquet file, or a folder of parts, and writes a store; what is wrong with the content is found before the
/// store appears.
pub fn convert(from: &Path, to: &Path) -> Result<Conversion, StoreError> {
    let undecodable = |source: ArrowError| StoreError::Decode { path: from.to_owned(), source: source.into() };
    let table = read_table(from)?;
    let mut done = Conversion::default();
    let table = in_order(&table).map_err(undecodable)?;
    let ordinary = ordinary_columns(&table, from, &mut done)?;
    let sides = ordinary.column(1).as_primitive::<UInt8Type>();
    let left = sides.values().partition_point(|side| *side == 0);
    let about = Provenance { source: from.display().to_string(), ..Provenance::default() };
    let schema = table.schema();
    let mut matrices = Vec::new();
    for (field, column) in schema.fields().iter().zip(table.columns()).filter(|(f, _)| !schema::is_ordinary(f.name())) {
        match vectors(column) {
            Some(matrix) => matrices.push((field.name(), matrix)),
            None => done.left_out.push(field.name().clone()),
        }
    }
    done.vectors = matrices.iter().map(|(name, _)| (*name).clone()).collect();
    let new = matrices.iter().map(|(name, (width, rows, values))| NewVectors {
        name,
        width: *width,
        rows,
        values,
        provenance: &about,
    });
    let made = writer::write_batch(Turn::take(to)?, &ordinary, left, &new.collect::<Vec<_>>())?;
    Store::open(made.place()).and_then(|store| check(&store)).map_err(|error| of_source(error, from))?;
    made.publish()?;
    Ok(done)
}

/// What cannot be seen before the columns are those of a store.
fn check(store: &Store) -> Result<(), StoreError> {
    store.pair()?;
    match one_sided(&kept_links(store)?) {
        None => Ok(()),
        Some((row, reason)) => {
            let (path, column) = (store.path().to_owned(), "links".to_owned());
            Err(StoreError::Content { path, row, column, reason })
        }
    }
}

/// What is wrong with the content is wrong in the foreign file.
fn of_source(error: StoreError, from: &Path) -> StoreError {
    match error {
        StoreError::Content { row, column, reason, .. } => {
            StoreError::Content { path: from.to_owned(), row, column, reason }
        }
        other => other,
    }
}

/// A whole file, or all parts of a folder as other engines write them.
fn read_table(from: &Path) -> Result<RecordBatch, StoreError> {
    let files = if from.is_dir() { part_files(from)? } else { vec![from.to_owned()] };
    let tables = files.iter().map(|file| read_file(file)).collect::<Result<Vec<_>, _>>()?;
    let schema = tables.first().map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema);
    if let Some(at) = tables.iter().position(|table| table.schema().fields() != schema.fields()) {
        let (path, first) = (files[at].clone(), files[0].clone());
        return Err(StoreError::PartsDiffer { path, first, difference: "names, order or types".to_owned() });
    }
    let whole = concat_batches(&schema, &tables);
    whole.map_err(|source| StoreError::Decode { path: from.to_owned(), source: source.into() })
}

fn read_file(from: &Path) -> Result<RecordBatch, StoreError> {
    let (file, _) = read_footer(from)?;
    let failed = |source| StoreError::Decode { path: from.to_owned(), source };
    let reader = reader_of(file).and_then(ParquetRecordBatchReaderBuilder::build).map_err(failed)?;
    let schema = reader.schema();
    let batches: Result<Vec<RecordBatch>, _> = Guarded::new(reader).collect();
    let batches = batches.map_err(|source| failed(source.into()))?;
    concat_batches(&schema, &batches).map_err(|source| failed(source.into()))
}

/// Rows in order of `id`, if there is one.
fn in_order(table: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    match table.column_by_name("id") {
        None => Ok(table.clone()),
        Some(ids) => take_record_batch(table, &sort_to_indices(ids, None, None)?),
    }
}

fn ordinary_columns(table: &RecordBatch, from: &Path, done: &mut Conversion) -> Result<RecordBatch, StoreError> {
    let (mut columns, mut wrong): (Vec<ArrayRef>, Vec<Mismatch>) = (Vec::new(), Vec::new());
    let fields = schema::ordinary_fields();
    for field in &fields {
        let found = table.column_by_name(field.name());
        let made = match found {
            Some(column) => cast_to(column, field),
            None => fill(field, table, &columns),
        };
        let (column, expected) = (field.name().clone(), schema::type_name(field.data_type()));
        match (made, found) {
            (Some(array), found) => {
                columns.push(array);
                done.filled.extend(found.is_none().then_some(column));
            }
            (None, Some(found)) => wrong.push(Mismatch::Type { column, expected, found: describe(found) }),
            // What `link_order` would be derived from is named already.
            (None, None) if column == "link_order" && !wrong.is_empty() => {}
            (None, None) => wrong.push(Mismatch::Missing { column, expected }),
        }
    }
    if !wrong.is_empty() {
        return Err(StoreError::Foreign { path: from.to_owned(), mismatches: wrong });
    }
    if let [_, sides, .., links, order] = columns.as_mut_slice()
        && done.filled.iter().any(|name| name == "link_order")
        && let Some(both) = mirrored(sides, links)
    {
        [*links, *order] = both;
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
        .map_err(|source| StoreError::Decode { path: from.to_owned(), source: source.into() })
}

/// The type of a column that could not be cast, and whether nulls may be the reason.
fn describe(column: &ArrayRef) -> String {
    let nulls = if column.null_count() > 0 { " with nulls" } else { "" };
    format!("{}{nulls}", column.data_type())
}

/// The column in the contract's type; `None` if that cannot be.
fn cast_to(column: &ArrayRef, field: &Field) -> Option<ArrayRef> {
    let column = cast(column, field.data_type()).ok()?;
    (field.is_nullable() || column.null_count() == 0).then_some(column)
}

/// A column that is not there: made from the others, or empty. `side` and `uri` cannot be made up.
fn fill(field: &Field, table: &RecordBatch, before: &[ArrayRef]) -> Option<ArrayRef> {
    let rows = table.num_rows();
    match field.name().as_str() {
        "id" => Some(Arc::new(UInt32Array::from_iter_values(0..rows as u32))),
        "label" => Some(new_null_array(field.data_type(), rows)),
        "edges" | "attributes" | "links" => empty_lists(field, rows),
        "link_order" => no_order(before.last()?),
        _ => None,
    }
}

fn empty_lists(field: &Field, rows: usize) -> Option<ArrayRef> {
    let DataType::List(item) = field.data_type() else { return None };
    let values = arrow::array::new_empty_array(item.data_type());
    let offsets = OffsetBuffer::new_zeroed(rows);
    Some(Arc::new(ListArray::try_new(item.clone(), offsets, values, None).ok()?))
}

/// A position for each link, to be replaced by [`mirrored`].
fn no_order(links: &ArrayRef) -> Option<ArrayRef> {
    let links = links.as_list_opt::<i32>()?;
    let lengths = (0..links.len()).map(|row| links.value_length(row) as usize);
    let zeros = UInt32Array::from(vec![0; lengths.clone().sum()]);
    Some(Arc::new(list("link_order", lengths, vec![Arc::new(zeros)]).ok()?))
}

/// Columns `links` and `link_order` with every link on both sides, wherever it was kept. `None` if one does not lead to
/// the other graph, which is found out when the store is read.
fn mirrored(sides: &ArrayRef, links: &ArrayRef) -> Option<[ArrayRef; 2]> {
    let sides = sides.as_primitive_opt::<UInt8Type>()?.values();
    let mut rows: Vec<Vec<[u32; 2]>> = vec![Vec::new(); sides.len()];
    for (position, [left, right]) in pairs(sides, links.as_list_opt::<i32>()?)?.into_iter().enumerate() {
        rows[left as usize].push([right, position as u32]);
        rows[right as usize].push([left, position as u32]);
    }
    let column = |name, field: usize| -> Option<ArrayRef> {
        let values = UInt32Array::from_iter_values(rows.iter().flatten().map(|link| link[field]));
        Some(Arc::new(list(name, rows.iter().map(Vec::len), vec![Arc::new(values)]).ok()?))
    };
    Some([column("links", 0)?, column("link_order", 1)?])
}

/// Every link `[left, right]`: those of the left graph's rows, in row order, then those that only the right one's have.
fn pairs(sides: &[u8], links: &ListArray) -> Option<Vec<[u32; 2]>> {
    let ids = links.values().as_primitive_opt::<UInt32Type>()?.values();
    let ends = links.value_offsets();
    let is_left = |row: usize| Some(*sides.get(row)? == 0);
    let (mut of_left, mut of_right) = (Vec::new(), Vec::new());
    for row in 0..sides.len() {
        for &other in &ids[ends[row] as usize..ends[row + 1] as usize] {
            match (is_left(row)?, is_left(other as usize)?) {
                (true, false) => of_left.push([row as u32, other]),
                (false, true) => of_right.push([other, row as u32]),
                _ => return None,
            }
        }
    }
    let known: FxHashSet<[u32; 2]> = of_left.iter().copied().collect();
    of_left.extend(of_right.into_iter().filter(|pair| !known.contains(pair)));
    Some(of_left)
}

/// Width, rows and floats of a column of lists of floats that all have one length.
fn vectors(column: &ArrayRef) -> Option<(usize, Vec<u32>, Vec<f32>)> {
    let floats = Arc::new(Field::new("element", DataType::Float32, true));
    let (DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _)) = column.data_type()
    else {
        return None;
    };
    if !matches!(item.data_type(), DataType::Float16 | DataType::Float32 | DataType::Float64) {
        return None;
    }
    let lists = cast(column, &DataType::List(floats)).ok()?;
    let lists = lists.as_list_opt::<i32>()?;
    let (mut width, mut rows, mut values) = (None, Vec::new(), Vec::new());
    for row in (0..lists.len()).filter(|&row| lists.is_valid(row)) {
        let list = lists.value(row);
        let list: &Float32Array = list.as_primitive_opt::<Float32Type>()?;
        if *width.get_or_insert(list.len()) != list.len() || list.null_count() > 0 || list.is_empty() {
            return None;
        }
        rows.push(row as u32);
        values.extend_from_slice(list.values());
    }
    Some((width?, rows, values))
}
