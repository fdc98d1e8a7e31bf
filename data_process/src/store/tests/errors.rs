//! One test per way of being wrong.

use std::fs;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, StringArray, UInt8Array, UInt32Array};
use arrow::datatypes::{DataType, Field, Float64Type, Schema, UInt32Type};
use parquet::arrow::ArrowWriter;

use super::*;
use crate::fault::{Fault, Kind};
use crate::pair::Names;
use crate::store::writer::encode_error;
use crate::store::{
    Format, StoreError, convert, copy_vectors, drop_vectors, export, join_shards, put_vectors, split, write,
};

/// Writes a Parquet file with these columns.
fn foreign(path: &Path, fields: Vec<Field>, columns: Vec<ArrayRef>) {
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    let mut writer = ArrowWriter::try_new(fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// The store's ordinary columns, changed, in a file that says nothing of itself.
fn rewritten(path: &Path, change: impl FnOnce(&mut Vec<Field>, &mut Vec<ArrayRef>)) {
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    write(path, &small_pair(), &[]).unwrap();
    let file = fs::File::open(path).unwrap();
    let batch = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap().next().unwrap().unwrap();
    let mut fields = batch.schema().fields().iter().map(|field| field.as_ref().clone()).collect();
    let mut columns = batch.columns().to_vec();
    change(&mut fields, &mut columns);
    foreign(path, fields, columns);
}

fn error(path: &Path) -> StoreError {
    Store::open(path).and_then(|store| store.pair()).unwrap_err()
}

#[test]
fn a_store_that_is_not_there() {
    let (_folder, path) = temporary();
    let error = error(&path);
    assert!(matches!(error, StoreError::Open { .. }));
    assert_eq!(error.kind(), Kind::Input);
    assert!(error.to_string().contains("humea prep"), "{error}");
}

#[test]
fn a_folder_without_parts() {
    let (folder, _) = temporary();
    assert!(matches!(error(folder.path()), StoreError::NoParts { .. }));
}

#[test]
fn something_that_is_not_parquet() {
    let (_folder, path) = temporary();
    for content in ["", "PAR1", "not a store at all, but long enough to hold a footer"] {
        fs::write(&path, content).unwrap();
        assert!(matches!(error(&path), StoreError::NotParquet { .. }), "{content}");
    }
}

#[test]
fn parquet_that_is_not_a_store_is_told_all_differences() {
    let (_folder, path) = temporary();
    foreign(&path, vec![Field::new("id", DataType::UInt32, false)], vec![Arc::new(UInt32Array::from(vec![0]))]);
    let StoreError::Contract { mismatches, .. } = error(&path) else { panic!() };
    assert_eq!(mismatches.len(), 7);
}

#[test]
fn parts_with_different_columns() {
    let (folder, path) = temporary();
    with_image(&path);
    let parts = folder.path().join("parts");
    split(&path, &parts, 2.try_into().unwrap()).unwrap();
    drop_vectors(&path, "image").unwrap();
    fs::copy(&path, parts.join("part-00001.parquet")).unwrap();
    let error = error(&parts);
    assert!(matches!(error, StoreError::PartsDiffer { .. }), "{error}");
    assert!(error.to_string().contains("lacks `image`"), "{error}");
}

#[test]
fn a_part_that_is_missing() {
    let (folder, path) = temporary();
    with_image(&path);
    let parts = folder.path().join("parts");
    split(&path, &parts, 3.try_into().unwrap()).unwrap();
    fs::remove_file(parts.join("part-00001.parquet")).unwrap();
    assert!(matches!(error(&parts), StoreError::Rows { expected: 7, found: 4, .. }));
}

/// Replaces text in a file by text of the same length.
fn patch(path: &Path, from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let mut bytes = fs::read(path).unwrap();
    let at = bytes.windows(from.len()).rposition(|window| window == from.as_bytes()).unwrap();
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    fs::write(path, bytes).unwrap();
}

#[test]
fn metadata_that_cannot_be_read() {
    let (_folder, path) = temporary();
    write(&path, &small_pair(), &[]).unwrap();
    patch(&path, r#"{"version":1"#, r#"{"version":x"#);
    assert!(matches!(error(&path), StoreError::Metadata { key: "humea", .. }));
}

#[test]
fn another_version_of_the_contract() {
    let (_folder, path) = temporary();
    write(&path, &small_pair(), &[]).unwrap();
    patch(&path, r#"{"version":1"#, r#"{"version":9"#);
    assert!(matches!(error(&path), StoreError::Version { found: 9, expected: 1, .. }));
}

#[test]
fn a_page_that_contradicts_the_footer() {
    let (_folder, path) = temporary();
    with_image(&path);
    let store = Store::open(&path).unwrap();
    let image = store.chunks().into_iter().find(|chunk| chunk.column.starts_with("image")).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[image.offset as usize] = 0x77;
    fs::write(&path, bytes).unwrap();
    let error = Store::open(&path).and_then(|store| store.vectors("image").map(drop)).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

#[test]
fn an_ordinary_column_that_cannot_be_decoded() {
    let (_folder, path) = temporary();
    write(&path, &small_pair(), &[]).unwrap();
    let store = Store::open(&path).unwrap();
    let uri = store.chunks().into_iter().find(|chunk| chunk.column == "uri").unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[uri.offset as usize..(uri.offset + uri.bytes) as usize].fill(0xff);
    fs::write(&path, bytes).unwrap();
    assert!(matches!(error(&path), StoreError::Decode { .. }));
}

#[test]
fn ids_that_are_not_row_numbers_and_values_out_of_range() {
    let (_folder, path) = temporary();
    rewritten(&path, |_, columns| columns[0] = Arc::new(UInt32Array::from(vec![0, 1, 2, 3, 5, 4, 6])));
    let text = error(&path).to_string();
    assert!(text.contains("row 4") && text.contains("`id`"), "{text}");
    // Links of the left graph's first entities moved to its own graph.
    rewritten(&path, |_, columns| columns.swap(6, 7));
    assert!(matches!(error(&path), StoreError::Content { column, .. } if column == "links"));
}

/// Empties the lists of links, and of their positions, on one side.
fn without_links_of(left: bool, fields: &mut [Field], columns: &mut [ArrayRef]) {
    for at in [6, 7] {
        let lists = columns[at].as_list::<i32>();
        let kept = (0..lists.len()).map(|row| {
            let ids = lists.value(row).as_primitive::<UInt32Type>().values().to_vec();
            Some(if (row < 4) == left { Vec::new() } else { ids.into_iter().map(Some).collect() })
        });
        columns[at] = Arc::new(ListArray::from_iter_primitive::<UInt32Type, _, _>(kept));
        fields[at] = Field::new(fields[at].name(), columns[at].data_type().clone(), false);
    }
}

#[test]
fn links_on_one_side_only_are_mirrored_or_refused() {
    let (folder, path) = temporary();
    let foreign = folder.path().join("foreign.parquet");
    let links = |path: &Path| {
        let mut links = Store::open(path).unwrap().structure().unwrap().links;
        links.sort_unstable();
        links
    };
    for left in [false, true] {
        rewritten(&foreign, |fields, columns| {
            without_links_of(left, fields, columns);
            fields.pop();
            columns.pop();
        });
        convert(&foreign, &path).unwrap();
        assert_eq!(links(&path), [[0, 4], [0, 5], [1, 4], [2, 6]]);
        assert!(Store::open(&path).unwrap().validate().unwrap().is_empty());
        fs::remove_file(&path).unwrap();
        // With positions, the links are said to be as they must be.
        rewritten(&foreign, |fields, columns| without_links_of(left, fields, columns));
        let error = convert(&foreign, &path).unwrap_err();
        assert!(matches!(&error, StoreError::Content { path, column, .. } if *path == foreign && column == "links"));
        assert!(!path.exists());
    }
}

#[test]
fn a_column_that_is_not_there_or_may_not_be() {
    let (_folder, path) = temporary();
    with_image(&path);
    let error = drop_vectors(&path, "img").unwrap_err();
    assert!(matches!(error, StoreError::NoColumn { .. }));
    assert!(error.to_string().contains("it has image"), "{error}");
    let (values, about) = (floats(2), provenance());
    let put = |vectors| put_vectors(&path, &[vectors]).unwrap_err();
    assert!(matches!(put(new_vectors("uri", 2, &[0], &values, &about)), StoreError::ColumnName { .. }));
    assert!(matches!(put(new_vectors("", 2, &[0], &values, &about)), StoreError::ColumnName { .. }));
    assert!(matches!(put(new_vectors("x", 3, &[0], &values, &about)), StoreError::Shape { .. }));
    assert!(matches!(put(new_vectors("x", 0, &[0], &values, &about)), StoreError::Shape { .. }));
    assert!(matches!(put(new_vectors("x", 1, &[3, 3], &values, &about)), StoreError::VectorRows { position: 1, .. }));
    assert!(matches!(put(new_vectors("x", 1, &[3, 7], &values, &about)), StoreError::VectorRows { row: 7, .. }));
    let twice = new_vectors("x", 1, &[3, 4], &values, &about);
    assert!(matches!(put_vectors(&path, &[twice, twice]).unwrap_err(), StoreError::Twice { .. }));
}

#[test]
fn a_float_that_is_not_finite_is_named_and_kept_out() {
    let (folder, path) = temporary();
    with_image(&path);
    let before = fs::read(&path).unwrap();
    let (other, about, rows) = (folder.path().join("other.parquet"), provenance(), [0, 2, 3]);
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        // Wide enough that the number lies in the second block that is looked at.
        let mut values = vec![1.0; 3 * 5000];
        values[2 * 5000 + 17] = value;
        let vectors = [new_vectors("text", 5000, &rows, &values, &about)];
        let errors = [put_vectors(&path, &vectors), write(&other, &small_pair(), &vectors)];
        for error in errors.map(Result::unwrap_err) {
            assert!(matches!(error, StoreError::NotFinite { row: 3, position: 17, .. }), "{error}");
        }
    }
    assert_eq!(fs::read(&path).unwrap(), before);
    assert!(!other.exists());
}

#[test]
fn a_number_too_large_for_a_float_is_not_converted() {
    let (folder, path) = temporary();
    let large = folder.path().join("large.parquet");
    rewritten(&large, |fields, columns| {
        let rows = (0..7).map(|row| Some(vec![Some(1.0), Some(if row == 4 { 1e300 } else { 2.0 })]));
        columns.push(Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(rows)));
        fields.push(Field::new("image", columns[8].data_type().clone(), true));
    });
    let error = convert(&large, &path).unwrap_err();
    assert!(matches!(error, StoreError::NotFinite { row: 4, position: 1, .. }), "{error}");
    assert!(!path.exists());
}

#[test]
fn a_pair_that_contradicts_itself() {
    let (_folder, path) = temporary();
    let broken = |breaks: fn(&mut GraphPair)| {
        let mut pair = small_pair();
        breaks(&mut pair);
        let error = write(&path, &pair, &[]).unwrap_err();
        assert!(matches!(error, StoreError::Pair { .. }), "{error}");
        assert!(!path.exists());
    };
    broken(|pair| pair.left.triples[0].tail = 4);
    broken(|pair| pair.left.triples[0].head = 4);
    broken(|pair| pair.right.triples[0].relation = 2);
    broken(|pair| pair.right.facts[0].attribute = 1);
    broken(|pair| pair.right.facts[0].lang = Some(0));
    broken(|pair| pair.left.facts[0].entity = 9);
    broken(|pair| pair.links[0].1 = 3);
    broken(|pair| pair.left.labels.truncate(2));
}

#[test]
fn a_folder_that_cannot_be_written_to() {
    let (folder, path) = temporary();
    let error = write(&folder.path().join("no/such/folder.parquet"), &small_pair(), &[]).unwrap_err();
    assert!(matches!(error, StoreError::Write { .. }), "{error}");
    assert_eq!(error.kind(), Kind::Output);
    fs::create_dir(&path).unwrap();
    fs::write(path.join("something"), "").unwrap();
    assert!(matches!(write(&path, &small_pair(), &[]).unwrap_err(), StoreError::Write { .. }), "a folder stays");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
}

#[test]
fn a_file_cut_short_while_it_is_open() {
    let (_folder, path) = temporary();
    with_image(&path);
    let store = Store::open(&path).unwrap();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(100).unwrap();
    let error = store.vectors("image").unwrap_err();
    assert!(matches!(error, StoreError::Read { .. }), "{error}");
    assert_eq!(error.kind(), Kind::Input);
}

#[test]
fn what_the_disk_refuses_is_a_write_error_and_what_parquet_refuses_an_encoding_error() {
    use parquet::errors::ParquetError;
    let of = |source| encode_error(Path::new("pair.parquet"), source);
    let refused = of(std::io::Error::from(std::io::ErrorKind::StorageFull).into());
    assert!(matches!(refused, StoreError::Write { .. }) && refused.to_string().contains("nothing was changed"));
    let unfit = of(ParquetError::General("too many pages".into()));
    assert!(matches!(unfit, StoreError::Encode { .. }) && unfit.to_string().contains("too many pages"), "{unfit}");
    assert_eq!((refused.kind(), unfit.kind()), (Kind::Output, Kind::Output));
}

#[test]
fn a_file_that_ends_early_while_it_is_copied_is_a_read_error() {
    use crate::store::assembly::{Assembly, Bytes};
    let (_folder, path) = temporary();
    with_image(&path);
    let store = Store::open(&path).unwrap();
    let part = &store.parts()[0];
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(100).unwrap();
    let schema = part.footer.file_metadata().schema_descr_ptr();
    let mut assembly = Assembly::new(Vec::new(), schema, 1 << 20).unwrap();
    let uris = part.footer.row_group(0).column(2);
    let error = encode_error(Path::new("new.parquet"), assembly.copy(Bytes::Part(part), uris).unwrap_err());
    assert!(matches!(&error, StoreError::Read { path: from, .. } if *from == path), "{error}");
}

#[test]
fn an_export_that_stops_halfway_says_so() {
    let (folder, path) = temporary();
    with_image(&path);
    let (store, out) = (Store::open(&path).unwrap(), folder.path().join("out"));
    for (taken, half) in [("image.npy", false), ("image.rows.npy", true)] {
        fs::create_dir_all(out.join(taken)).unwrap();
        let error = export(&store, Format::Npy, &out).unwrap_err();
        assert_eq!(matches!(error, StoreError::HalfExported { .. }), half, "{error}");
        assert_eq!(error.to_string().contains("nothing was changed"), !half, "{error}");
        assert_eq!(error.kind(), Kind::Output);
        fs::remove_dir_all(&out).unwrap();
    }
}

#[test]
fn a_part_that_is_no_shard() {
    let (folder, path) = temporary();
    with_image(&path);
    let error = join_shards(&[path], &folder.path().join("joined.parquet")).unwrap_err();
    assert!(matches!(error, StoreError::Shards { .. }), "{error}");
}

#[test]
fn a_table_without_sides_cannot_become_a_store() {
    let (folder, path) = temporary();
    let bare = folder.path().join("bare.parquet");
    let uris: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    foreign(&bare, vec![Field::new("uri", DataType::Utf8, false)], vec![uris]);
    let error = convert(&bare, &path).unwrap_err();
    let StoreError::Foreign { mismatches, .. } = &error else { panic!("{error}") };
    assert_eq!(mismatches.len(), 1, "{error}");
    assert!(error.to_string().contains("column `side` (uint8) is missing"), "{error}");
}

#[test]
fn what_is_to_become_a_store_and_is_not_there_is_nothing_to_prepare() {
    let (folder, path) = temporary();
    let error = convert(&folder.path().join("nothing.parquet"), &path).unwrap_err();
    assert!(matches!(error, StoreError::Source { .. }), "{error}");
    assert_eq!(error.kind(), Kind::Input);
    assert!(!error.to_string().contains("humea prep"), "{error}");
}

/// What is said of a table of these ids and sides when it is converted.
fn refused(ids: Option<Vec<u32>>, sides: Vec<u8>) -> (usize, String, String) {
    let (folder, path) = temporary();
    let bare = folder.path().join("bare.parquet");
    let uris: Vec<String> = (0..sides.len()).map(|row| format!("e{row}")).collect();
    let mut fields = vec![Field::new("side", DataType::UInt8, false), Field::new("uri", DataType::Utf8, false)];
    let mut columns: Vec<ArrayRef> = vec![Arc::new(UInt8Array::from(sides)), Arc::new(StringArray::from(uris))];
    if let Some(ids) = ids {
        fields.push(Field::new("id", DataType::UInt32, false));
        columns.push(Arc::new(UInt32Array::from(ids)));
    }
    foreign(&bare, fields, columns);
    let StoreError::Content { row, column, reason, .. } = convert(&bare, &path).unwrap_err() else { panic!() };
    (row, column, reason)
}

#[test]
fn rows_that_are_missing_are_told_from_rows_out_of_order() {
    let (row, column, reason) = refused(Some(vec![5, 0, 1, 3]), vec![1, 0, 0, 1]);
    assert_eq!((row, column.as_str()), (2, "id"));
    assert!(reason.contains("rows are missing") && !reason.contains("sort"), "{reason}");
    let (row, column, reason) = refused(Some(vec![0, 1, 1, 2]), vec![0, 0, 0, 1]);
    assert_eq!((row, column.as_str()), (2, "id"));
    assert!(reason.contains("several rows"), "{reason}");
    let (row, column, reason) = refused(None, vec![1, 1, 0, 0]);
    assert_eq!((row, column.as_str()), (2, "side"));
    assert!(reason.contains("sort the rows by side"), "{reason}");
    let (row, column, reason) = refused(None, vec![0, 1, 2]);
    assert_eq!((row, column.as_str()), (2, "side"));
    assert!(reason.contains("0 is the left graph"), "{reason}");
}

#[test]
fn a_table_of_nothing_that_a_store_has_lacks_all_of_it() {
    let (folder, path) = temporary();
    let bare = folder.path().join("bare.parquet");
    let numbers = ListArray::from_iter_primitive::<Float64Type, _, _>([Some(vec![Some(1.0)])]);
    foreign(&bare, vec![Field::new("image", numbers.data_type().clone(), true)], vec![Arc::new(numbers)]);
    let error = convert(&bare, &path).unwrap_err();
    assert!(matches!(&error, StoreError::Foreign { mismatches, .. } if mismatches.len() == 2), "{error}");
}

#[test]
fn a_store_of_other_entities_has_no_vector_to_give() {
    let (folder, path) = temporary();
    with_image(&path);
    let other = folder.path().join("other.parquet");
    let mut pair = GraphPair::default();
    pair.left.entities.insert("nobody".into());
    write(&other, &pair, &[]).unwrap();
    let before = fs::read(&other).unwrap();
    let error = copy_vectors(&other, "image", &path).unwrap_err();
    assert!(matches!(&error, StoreError::Unmatched { path, .. } if *path == other), "{error}");
    assert_eq!(fs::read(&other).unwrap(), before);
}

#[test]
fn a_store_without_vectors_has_none_to_export() {
    let (folder, path) = temporary();
    write(&path, &small_pair(), &[]).unwrap();
    let (store, out) = (Store::open(&path).unwrap(), folder.path().join("out"));
    for format in [Format::Npy, Format::Csv, Format::Safetensors] {
        assert!(matches!(export(&store, format, &out), Err(StoreError::NoVectors { .. })));
    }
    assert!(!out.exists());
}

#[test]
fn a_column_named_like_a_path_leaves_the_folder_alone() {
    let (folder, path) = temporary();
    let (values, about) = (floats(4), provenance());
    write(&path, &small_pair(), &[new_vectors("../image", 2, &[0, 5], &values, &about)]).unwrap();
    let store = Store::open(&path).unwrap();
    let out = folder.path().join("out");
    for format in [Format::Npy, Format::Csv] {
        assert!(matches!(export(&store, format, &out), Err(StoreError::FileName { name }) if name == "../image"));
    }
    export(&store, Format::Safetensors, &out).unwrap();
    let left: Vec<_> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["vectors.safetensors"]);
    assert!(!folder.path().join("image.npy").exists());
}

#[test]
fn a_name_that_breaks_a_line_does_not_become_an_id_file() {
    let (folder, path) = temporary();
    let out = folder.path().join("out");
    for name in ["a\tb", "a\nb", "a\r", ""] {
        let additions: [fn(&mut Graph) -> &mut Names; 3] =
            [|graph| &mut graph.entities, |graph| &mut graph.relations, |graph| &mut graph.attributes];
        for names in additions {
            let mut pair = small_pair();
            names(&mut pair.right).insert(name.into());
            write(&path, &pair, &[]).unwrap();
            let error = export(&Store::open(&path).unwrap(), Format::IdFiles, &out).unwrap_err();
            assert!(matches!(&error, StoreError::LayoutName { name: found } if found == name), "{error}");
            assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
        }
    }
}

#[test]
fn a_column_named_like_the_rows_of_another_is_not_exported_over_them() {
    let (folder, path) = temporary();
    let (values, about) = (floats(4), provenance());
    let column = |name| new_vectors(name, 2, &[0, 5], &values, &about);
    write(&path, &small_pair(), &[column("image"), column("image.rows")]).unwrap();
    let (store, out) = (Store::open(&path).unwrap(), folder.path().join("out"));
    for format in [Format::Npy, Format::Safetensors] {
        assert!(matches!(export(&store, format, &out), Err(StoreError::RowsName { name }) if name == "image"));
    }
    assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
    export(&store, Format::Csv, &out).unwrap();
}

/// Every variant is expected by name in a test of this room, so that a new one cannot go untested.
#[test]
fn every_way_of_being_wrong_has_a_test() {
    let (_, replace) = include_str!("../replace.rs").split_once("#[cfg(test)]").unwrap();
    let tests = [include_str!("errors.rs"), include_str!("footers.rs"), include_str!("writers.rs"), replace].concat();
    let variants = include_str!("../error.rs").lines().filter_map(|line| {
        let name = line.strip_prefix("    ")?.strip_suffix(" {")?;
        name.chars().all(char::is_alphanumeric).then_some(name)
    });
    let variants: Vec<&str> = variants.collect();
    assert!(variants.len() > 20, "{variants:?}");
    for variant in variants {
        assert!(tests.contains(&format!("StoreError::{variant} {{")), "no test expects StoreError::{variant}");
    }
}
