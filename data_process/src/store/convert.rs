//! Turns a foreign Parquet file into a store: what other engines make of a store when they rewrite it, and tables that
//! have at least `side` and `uri`.
//!
//! Types are cast, rows are put in order of their id, columns that can be derived or may be empty are filled in, links without
//! positions are kept on both sides wherever they were, and lists of floats that all have one length become vector columns.
//! Anything else is left out and named.

mod foreign;

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, UInt32Array, new_null_array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, UInt8Type, UInt32Type};
use rustc_hash::FxHashSet;

use super::decode::kept_links;
use super::replace::Turn;
use super::table::list;
use super::validate::one_sided;
use super::{Provenance, Store, StoreError, writer};
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
    let table = foreign::read(from).map_err(|error| of_source(error, from))?;
    let mut done = Conversion::default();
    let ordinary = ordinary_columns(&table.ordinary, from, &mut done)?;
    check_rows(&ordinary, from)?;
    let left = sides(&ordinary).partition_point(|side| *side == 0);
    let about = Provenance { source: from.display().to_string(), ..Provenance::default() };
    let mut new = Vec::new();
    for (name, matrix) in &table.others {
        match matrix {
            Some(matrix) => new.push(matrix.vectors(name, &about)),
            None => done.left_out.push(name.clone()),
        }
    }
    done.vectors = new.iter().map(|column| column.name.to_owned()).collect();
    let made = writer::write_batch(Turn::take(to)?, &ordinary, left, &new)?;
    Store::open(made.place()).and_then(|store| check(&store)).map_err(|error| of_source(error, from))?;
    made.publish()?;
    Ok(done)
}

fn sides(ordinary: &RecordBatch) -> &[u8] {
    ordinary.column(1).as_primitive::<UInt8Type>().values()
}

/// Whether the rows are all there and the left graph's come first: they have been put in order of their ids.
fn check_rows(ordinary: &RecordBatch, from: &Path) -> Result<(), StoreError> {
    let wrong = |row, column: &str, reason| {
        let (path, column) = (from.to_owned(), column.to_owned());
        Err(StoreError::Content { path, row, column, reason })
    };
    let ids = ordinary.column(0).as_primitive::<UInt32Type>().values();
    if let Some(row) = (0..ids.len()).find(|&row| ids[row] as usize != row) {
        let id = ids[row];
        let reason = if (id as usize) < row {
            format!("{id} is given to several rows; ids number the rows from 0, each once")
        } else {
            format!(
                "{id} follows where {row} should: rows are missing, which edges and links may name; convert all of it"
            )
        };
        return wrong(row, "id", reason);
    }
    let sides = sides(ordinary);
    if let Some(row) = sides.iter().position(|side| *side > 1) {
        return wrong(row, "side", format!("{}; 0 is the left graph, 1 the right one", sides[row]));
    }
    match (1..sides.len()).find(|&row| sides[row] < sides[row - 1]) {
        None => Ok(()),
        Some(row) => wrong(row, "side", "0 after 1: the left graph comes first; sort the rows by side".to_owned()),
    }
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

/// What is wrong with the content is wrong in the foreign file, which no command of ours makes.
fn of_source(error: StoreError, from: &Path) -> StoreError {
    match error {
        StoreError::Content { row, column, reason, .. } => {
            StoreError::Content { path: from.to_owned(), row, column, reason }
        }
        StoreError::Open { path, source } => StoreError::Source { path, source },
        other => other,
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
