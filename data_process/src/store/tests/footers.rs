//! Footers made by hand: places that overlap, numbers that cannot be, more columns than anybody needs.

use std::fs;
use std::sync::Arc;

use parquet::basic::Type as Physical;
use parquet::file::metadata::{
    ColumnChunkMetaData, FileMetaData, ParquetMetaData, ParquetMetaDataReader, ParquetMetaDataWriter, RowGroupMetaData,
};
use parquet::schema::types::{SchemaDescriptor, Type};

use super::hostile::{read_all, survives};
use super::*;
use crate::store::{StoreError, write};

/// A store with one vector column, its bytes before the footer, and its footer.
fn small_store() -> (tempfile::TempDir, PathBuf, Vec<u8>, ParquetMetaData) {
    let (folder, path) = temporary();
    let (values, about) = (floats(4 * 3), provenance());
    write(&path, &small_pair(), &[new_vectors("image", 3, &[0, 2, 3, 5], &values, &about)]).unwrap();
    let (bytes, footer) = taken_apart(&path);
    (folder, path, bytes, footer)
}

/// The bytes of a file before the footer, and its footer.
fn taken_apart(path: &Path) -> (Vec<u8>, ParquetMetaData) {
    let mut bytes = fs::read(path).unwrap();
    let footer = ParquetMetaDataReader::new().parse_and_finish(&bytes::Bytes::from(bytes.clone())).unwrap();
    let length = u32::from_le_bytes(bytes[bytes.len() - 8..bytes.len() - 4].try_into().unwrap()) as usize;
    bytes.truncate(bytes.len() - 8 - length);
    (bytes, footer)
}

/// The bytes of a file with these row groups.
fn with_groups(body: &[u8], about: &FileMetaData, groups: Vec<RowGroupMetaData>) -> Vec<u8> {
    let rows = groups.iter().map(RowGroupMetaData::num_rows).fold(0, i64::wrapping_add);
    let keys = about.key_value_metadata().cloned();
    let about = FileMetaData::new(2, rows, None, keys, about.schema_descr_ptr(), None);
    let mut bytes = body.to_vec();
    ParquetMetaDataWriter::new(&mut bytes, &ParquetMetaData::new(about, groups)).finish().unwrap();
    bytes
}

/// The same row group with one chunk changed.
fn with_chunk(
    group: &RowGroupMetaData,
    number: usize,
    change: impl FnOnce(ColumnChunkMetaData) -> ColumnChunkMetaData,
) -> RowGroupMetaData {
    let mut chunks = group.columns().to_vec();
    let changed = change(chunks[number].clone());
    chunks[number] = changed;
    group.clone().into_builder().set_column_metadata(chunks).build().unwrap()
}

#[test]
fn columns_that_claim_the_same_bytes() {
    let (_folder, path, body, footer) = small_store();
    let group = footer.row_group(0);
    for (one, other) in (0..group.num_columns()).flat_map(|one| (0..one).map(move |other| (one, other))) {
        let victim = group.column(other);
        let moved = with_chunk(group, one, |chunk| {
            let builder = chunk.into_builder().set_data_page_offset(victim.data_page_offset());
            let builder = builder.set_total_compressed_size(victim.compressed_size());
            builder.set_dictionary_page_offset(victim.dictionary_page_offset()).build().unwrap()
        });
        let error = read_all(&path, &with_groups(&body, footer.file_metadata(), vec![moved])).unwrap_err();
        assert!(error.to_string().contains("two columns claim the same bytes"), "{one} on {other}: {error}");
    }
}

#[test]
fn a_column_that_reaches_into_its_neighbours() {
    let (_folder, path, body, footer) = small_store();
    let group = footer.row_group(0);
    for number in 0..group.num_columns() {
        for further in [1, 7, 64, 1000] {
            let longer = with_chunk(group, number, |chunk| {
                let size = chunk.compressed_size() + further;
                chunk.into_builder().set_total_compressed_size(size).build().unwrap()
            });
            let bytes = with_groups(&body, footer.file_metadata(), vec![longer]);
            survives(&path, &bytes, format_args!("column {number} and {further} bytes"));
        }
    }
}

#[test]
fn numbers_that_cannot_be() {
    let (_folder, path, body, footer) = small_store();
    let group = footer.row_group(0);
    // Not the largest number itself: the writer of the footer adds sizes up.
    let values = [i64::MAX - (1 << 20), i64::MIN, -1, 0, 1, 1 << 62, 1 << 32, i64::from(u32::MAX), body.len() as i64];
    for (number, value) in (0..group.num_columns()).flat_map(|number| values.map(|value| (number, value))) {
        let setters: [fn(ColumnChunkMetaData, i64) -> ColumnChunkMetaData; 4] = [
            |chunk, value| chunk.into_builder().set_data_page_offset(value).build().unwrap(),
            |chunk, value| chunk.into_builder().set_dictionary_page_offset(Some(value)).build().unwrap(),
            |chunk, value| chunk.into_builder().set_total_compressed_size(value).build().unwrap(),
            |chunk, value| chunk.into_builder().set_num_values(value).build().unwrap(),
        ];
        for (which, set) in setters.into_iter().enumerate() {
            let changed = with_chunk(group, number, |chunk| set(chunk, value));
            let bytes = with_groups(&body, footer.file_metadata(), vec![changed]);
            survives(&path, &bytes, format_args!("column {number}, setter {which}, {value}"));
        }
        let rows = group.clone().into_builder().set_num_rows(value).build().unwrap();
        survives(&path, &with_groups(&body, footer.file_metadata(), vec![rows]), format_args!("{value} rows"));
    }
}

#[test]
fn more_rows_than_ids() {
    let (_folder, path, body, footer) = small_store();
    let group = footer.row_group(0);
    // One byte for each chunk, so that those of the second row group overlap nothing.
    let large = |shift: i64| {
        let claim = |chunk: &ColumnChunkMetaData| {
            let offset = chunk.byte_range().0 as i64 + shift;
            let builder = chunk.clone().into_builder().set_dictionary_page_offset(None).set_data_page_offset(offset);
            builder.set_total_compressed_size(1).set_num_values(i64::from(u32::MAX)).build().unwrap()
        };
        let builder = group.clone().into_builder().set_num_rows(i64::from(u32::MAX));
        builder.set_column_metadata(group.columns().iter().map(claim).collect()).build().unwrap()
    };
    let bytes = with_groups(&body, footer.file_metadata(), vec![large(0), large(1)]);
    let error = read_all(&path, &bytes).unwrap_err();
    assert!(matches!(error, StoreError::TooMany { .. }), "{error}");
}

/// As many rows as there may be, in a file of a few kilobytes: 64 GiB of names.
#[test]
fn more_rows_than_the_file_can_hold() {
    let (_folder, path) = temporary();
    write(&path, &small_pair(), &[]).unwrap();
    let (body, footer) = taken_apart(&path);
    let group = footer.row_group(0);
    let rows = i64::from(u32::MAX);
    let claim = |chunk: &ColumnChunkMetaData| chunk.clone().into_builder().set_num_values(rows).build().unwrap();
    let builder = group.clone().into_builder().set_num_rows(rows);
    let group = builder.set_column_metadata(group.columns().iter().map(claim).collect()).build().unwrap();
    // The left graph has the four entities that it has, and the right one the rest.
    let about = with_meta(footer.file_metadata(), |text| text.replace("[4,3]", &format!("[4,{}]", rows - 4)));
    fs::write(&path, with_groups(&body, &about, vec![group])).unwrap();
    let store = Store::open(&path).unwrap();
    assert!(store.uris().is_err());
}

/// The metadata of a file with what it says of the store changed.
fn with_meta(about: &FileMetaData, change: impl Fn(&str) -> String) -> FileMetaData {
    let keys = about.key_value_metadata().unwrap().iter().map(|pair| {
        let value = pair.value.as_deref().map(&change);
        parquet::file::metadata::KeyValue { key: pair.key.clone(), value }
    });
    FileMetaData::new(2, about.num_rows(), None, Some(keys.collect()), about.schema_descr_ptr(), None)
}

#[test]
fn counts_of_vectors_that_cannot_be_are_counted_again() {
    let (_folder, path, body, footer) = small_store();
    let present = Store::open(&path).unwrap().vector_columns()[0].present;
    assert_eq!(present, [3, 1]);
    let changed = with_meta(footer.file_metadata(), |text| text.replace("[3,1]", &format!("[3,{}]", u64::MAX)));
    fs::write(&path, with_groups(&body, &changed, footer.row_groups().to_vec())).unwrap();
    assert_eq!(Store::open(&path).unwrap().vector_columns()[0].present, present);
}

/// A file of `count` columns of one row, all of type `kind`, that claim to lie one after another.
pub(super) fn many_columns(path: &Path, count: usize) {
    let field = |n| Arc::new(Type::primitive_type_builder(&format!("c{n}"), Physical::INT32).build().unwrap());
    let root = Type::group_type_builder("schema").with_fields((0..count).map(field).collect()).build().unwrap();
    let schema = Arc::new(SchemaDescriptor::new(Arc::new(root)));
    let chunk = |(at, column): (usize, &parquet::schema::types::ColumnDescPtr)| {
        let builder = ColumnChunkMetaData::builder(column.clone()).set_num_values(1).set_total_compressed_size(1);
        builder.set_data_page_offset(4 + at as i64).build().unwrap()
    };
    let chunks = schema.columns().iter().enumerate().map(chunk).collect();
    let group = RowGroupMetaData::builder(schema.clone()).set_column_metadata(chunks).set_num_rows(1).build().unwrap();
    let about = FileMetaData::new(2, 1, None, None, schema, None);
    let body = [&b"PAR1"[..], &vec![0; count]].concat();
    fs::write(path, with_groups(&body, &about, vec![group])).unwrap();
}
