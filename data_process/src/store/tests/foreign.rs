//! Stores and tables that other tools wrote or changed: opening, converting, parts of a folder.

use std::fs;
use std::num::NonZeroUsize;

use super::*;
use crate::store::{StoreError, convert, drop_vectors, put_vectors, split, write};

#[test]
fn what_a_plain_writer_made_of_a_store_opens_and_converts() {
    use parquet::arrow::ArrowWriter;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use parquet::basic::Compression;
    use parquet::file::properties::{WriterProperties, WriterVersion};

    let (folder, path) = temporary();
    let image = with_image(&path);
    let foreign = folder.path().join("foreign.parquet");
    let choices = [
        (Compression::UNCOMPRESSED, WriterVersion::PARQUET_1_0, false),
        (Compression::UNCOMPRESSED, WriterVersion::PARQUET_2_0, false),
        (Compression::SNAPPY, WriterVersion::PARQUET_1_0, true),
    ];
    for (compression, version, dictionary) in choices {
        let properties = WriterProperties::builder()
            .set_compression(compression)
            .set_writer_version(version)
            .set_dictionary_enabled(dictionary)
            .set_data_page_row_count_limit(2)
            .set_write_batch_size(2)
            .set_max_row_group_row_count(Some(3))
            .build();
        let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(&path).unwrap()).unwrap().build().unwrap();
        let batch = reader.collect::<Result<Vec<_>, _>>().unwrap().remove(0);
        let mut writer =
            ArrowWriter::try_new(fs::File::create(&foreign).unwrap(), batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        assert_eq!(column(&foreign, "image"), image);
        let store = Store::open(&foreign).unwrap();
        assert_eq!((store.left(), store.column("image").unwrap().present), (4, [3, 1]));
        let converted = folder.path().join("converted.parquet");
        let done = convert(&foreign, &converted).unwrap();
        assert_eq!((done.vectors, done.filled.len()), (vec!["image".to_owned()], 0));
        assert_eq!(column(&converted, "image"), image);
        assert_eq!(Store::open(&converted).unwrap().structure().unwrap().links.len(), 4);
    }
}

/// A store read by other means, changed and written.
fn rewritten(
    from: &Path,
    to: &Path,
    properties: parquet::file::properties::WriterProperties,
    change: impl FnOnce(&mut Vec<arrow::array::ArrayRef>),
) {
    use arrow::array::RecordBatch;
    use parquet::arrow::ArrowWriter;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    let builder = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(from).unwrap()).unwrap();
    let batch = builder.build().unwrap().next().unwrap().unwrap();
    let mut columns = batch.columns().to_vec();
    change(&mut columns);
    let batch = RecordBatch::try_new(batch.schema(), columns).unwrap();
    let mut writer = ArrowWriter::try_new(fs::File::create(to).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// What pyarrow makes of a store when a table is read, changed and written: other content under the old metadata.
fn edited(from: &Path, to: &Path, first: &str) {
    use arrow::array::{AsArray, StringArray};
    use parquet::basic::Compression;
    use parquet::file::properties::WriterProperties;
    use std::sync::Arc;

    let keys = Store::open(from).unwrap().parts()[0].footer.file_metadata().key_value_metadata().cloned();
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).set_key_value_metadata(keys);
    rewritten(from, to, properties.build(), |columns| {
        let uris = columns[2].as_string::<i32>().iter().skip(1);
        columns[2] = Arc::new([Some(first)].into_iter().chain(uris).collect::<StringArray>());
    });
}

/// Values that cannot be decoded, under levels that can be read: whatever looks at them fails.
#[test]
fn a_foreign_column_is_opened_and_summed_up_without_a_look_at_its_values() {
    use parquet::basic::Compression;
    use parquet::file::properties::{WriterProperties, WriterVersion};

    let (folder, path) = temporary();
    with_image(&path);
    let other = folder.path().join("other.parquet");
    let versions = [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0];
    for (version, compression) in versions
        .into_iter()
        .flat_map(|version| [Compression::UNCOMPRESSED, Compression::SNAPPY].map(|how| (version, how)))
    {
        let properties = WriterProperties::builder().set_compression(compression).set_writer_version(version);
        rewritten(&path, &other, properties.build(), |_| {});
        let store = Store::open(&other).unwrap();
        assert_eq!(store.column("image").unwrap().present, [3, 1]);
        assert_eq!(store.summary().unwrap().columns[0].mapped, store.vectors("image").unwrap().is_mapped());
        if compression != Compression::UNCOMPRESSED {
            continue;
        }
        // The numbers of the dictionary's entries end the page: their width becomes one that cannot be.
        let image = store.chunks().into_iter().find(|chunk| chunk.column.starts_with("image")).unwrap();
        let mut bytes = fs::read(&other).unwrap();
        let end = (image.offset + image.bytes) as usize;
        bytes[end - 8..end].fill(0xff);
        fs::write(&other, bytes).unwrap();
        let store = Store::open(&other).unwrap();
        assert_eq!(store.column("image").unwrap().present, [3, 1]);
        assert!(!store.summary().unwrap().columns[0].mapped);
        assert!(store.vectors("image").is_err());
    }
}

#[test]
fn a_compressed_column_is_decoded_once_and_not_copied() {
    let (folder, path) = temporary();
    let (rows, values) = with_image(&path);
    let other = folder.path().join("other.parquet");
    edited(&path, &other, "a");
    let vectors = Store::open(&other).unwrap().vectors("image").unwrap();
    assert!(!vectors.is_mapped());
    let (slice, blocks) = (vectors.as_slice().unwrap(), vectors.blocks().unwrap());
    assert_eq!((slice, vectors.rows()), (&values[..], &rows[..]));
    assert_eq!(blocks[0].1.as_ptr(), slice.as_ptr());
    let at = slice.as_ptr();
    let (matrix, ids) = vectors.into_static().unwrap();
    assert_eq!((&*matrix, ids), (&values[..], rows));
    assert_eq!(matrix.as_ptr(), at, "the very floats that were decoded");
}

#[test]
fn a_store_that_another_tool_changed_has_another_fingerprint_whatever_its_metadata_says() {
    let (folder, path) = temporary();
    with_image(&path);
    let others = ["one.parquet", "two.parquet"].map(|name| folder.path().join(name));
    let fingerprint = |path: &Path| Store::open(path).unwrap().fingerprint().unwrap();
    let mut seen = vec![fingerprint(&path)];
    for (other, uri) in others.iter().zip(["e", "f"]) {
        edited(&path, other, uri);
        assert!(Store::open(other).unwrap().parts()[0].meta.is_some(), "the metadata is kept");
        seen.push(fingerprint(other));
    }
    // A splice makes the file one of ours again; what its old metadata said must not be believed from then on.
    let (values, about) = (floats(1), provenance());
    for other in &others {
        put_vectors(other, &[new_vectors("relation_text", 1, &[1], &values, &about)]).unwrap();
        seen.push(fingerprint(other));
    }
    let different: std::collections::BTreeSet<_> = seen.iter().collect();
    assert_eq!(different.len(), seen.len(), "{seen:?}");
    assert!(Store::open(&others[0]).unwrap().validate().unwrap().is_empty());
}

#[test]
fn the_order_of_names_is_content() {
    let (_folder, path) = temporary();
    let mut pair = small_pair();
    write(&path, &pair, &[]).unwrap();
    let before = Store::open(&path).unwrap().fingerprint().unwrap();
    pair.left.relations.swap_indices(1, 2);
    for triple in &mut pair.left.triples {
        triple.relation = 3 - triple.relation;
    }
    write(&path, &pair, &[]).unwrap();
    assert_ne!(Store::open(&path).unwrap().fingerprint().unwrap(), before);
}

#[test]
fn a_bare_table_becomes_a_store() {
    use arrow::array::{Array, Int64Array, ListArray, RecordBatch, StringArray};
    use arrow::datatypes::{DataType, Field, Float64Type, Schema};
    use parquet::arrow::ArrowWriter;
    use std::sync::Arc;

    let (folder, path) = temporary();
    let vectors = ListArray::from_iter_primitive::<Float64Type, _, _>([
        Some(vec![Some(1.0), Some(2.0)]),
        None,
        Some(vec![Some(3.0), Some(4.5)]),
    ]);
    let fields = vec![
        Field::new("side", DataType::Int64, true),
        Field::new("uri", DataType::Utf8, true),
        Field::new("image", vectors.data_type().clone(), true),
        Field::new("comment", DataType::Utf8, true),
    ];
    let batch = RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        vec![
            Arc::new(Int64Array::from(vec![0, 0, 1])),
            Arc::new(StringArray::from(vec!["a", "b", "x"])),
            Arc::new(vectors),
            Arc::new(StringArray::from(vec!["", "", ""])),
        ],
    )
    .unwrap();
    let bare = folder.path().join("bare.parquet");
    let mut writer = ArrowWriter::try_new(fs::File::create(&bare).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let done = convert(&bare, &path).unwrap();
    assert_eq!(done.filled, ["id", "label", "edges", "attributes", "links", "link_order"]);
    assert_eq!(done.left_out, ["comment"]);
    assert_eq!(column(&path, "image"), (vec![0, 2], vec![1.0, 2.0, 3.0, 4.5]));
    assert_eq!(Store::open(&path).unwrap().left(), 2);
}

/// A table of `side`, `uri` and `image`, a vector of `width` floats for those rows that have a number; in batches of 1,024 rows.
fn table_of(path: &Path, width: i32, numbers: &[Option<f32>]) {
    use arrow::array::{FixedSizeListBuilder, Float32Builder, RecordBatch, StringArray, UInt8Array};
    use parquet::arrow::ArrowWriter;
    use std::sync::Arc;

    let batch = |first: usize, numbers: &[Option<f32>]| {
        let mut image = FixedSizeListBuilder::new(Float32Builder::new(), width);
        for number in numbers {
            image.values().append_value_n(number.unwrap_or(0.0), width as usize);
            image.append(number.is_some());
        }
        let sides = UInt8Array::from_iter_values((0..numbers.len()).map(|row| u8::from(first + row > 0)));
        let uris = StringArray::from_iter_values((0..numbers.len()).map(|row| format!("e{}", first + row)));
        RecordBatch::try_from_iter_with_nullable([
            ("side", Arc::new(sides) as _, false),
            ("uri", Arc::new(uris) as _, false),
            ("image", Arc::new(image.finish()) as _, true),
        ])
        .unwrap()
    };
    let schema = batch(0, &[]).schema();
    let mut writer = ArrowWriter::try_new(fs::File::create(path).unwrap(), schema, None).unwrap();
    for (number, rows) in numbers.chunks(1024).enumerate() {
        writer.write(&batch(number * 1024, rows)).unwrap();
    }
    writer.close().unwrap();
}

/// More than 2^31, which is what Arrow counts in a list; most of them stand for rows without a vector, so that there is room.
#[test]
fn a_column_of_more_floats_than_32_bits_count_becomes_vectors() {
    const WIDTH: i32 = 1 << 15;
    let (folder, path) = temporary();
    let bare = folder.path().join("bare.parquet");
    let mut numbers = vec![None; (1 << 16) + 2];
    let last = numbers.len() - 1;
    numbers[3] = Some(1.5);
    numbers[last] = Some(2.5);
    table_of(&bare, WIDTH, &numbers);
    assert_eq!(convert(&bare, &path).unwrap().vectors, ["image"]);
    let (rows, values) = column(&path, "image");
    assert_eq!(rows, [3, last as u32]);
    assert_eq!((values.len(), values[0], values[values.len() - 1]), (2 << 15, 1.5, 2.5));
}

#[test]
fn vectors_follow_their_rows_when_those_are_put_in_order() {
    use arrow::array::{Array, ListArray, RecordBatch, StringArray, UInt8Array, UInt32Array};
    use arrow::datatypes::Float32Type;
    use parquet::arrow::ArrowWriter;
    use std::sync::Arc;

    let (folder, path) = temporary();
    let bare = folder.path().join("bare.parquet");
    let lists = |lists: [Option<Vec<Option<f32>>>; 4]| ListArray::from_iter_primitive::<Float32Type, _, _>(lists);
    let one = |number| Some(vec![Some(number)]);
    let image = lists([one(3.0), None, one(0.0), one(2.0)]);
    let uneven = lists([one(1.0), None, Some(vec![Some(1.0), Some(2.0)]), None]);
    let holed = lists([one(1.0), Some(vec![None]), None, None]);
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("id", Arc::new(UInt32Array::from(vec![3, 1, 0, 2])) as Arc<dyn Array>, false),
        ("side", Arc::new(UInt8Array::from(vec![1, 0, 0, 1])) as _, false),
        ("uri", Arc::new(StringArray::from(vec!["d", "b", "a", "c"])) as _, false),
        ("uneven", Arc::new(uneven) as _, true),
        ("image", Arc::new(image) as _, true),
        ("holed", Arc::new(holed) as _, true),
        ("none", Arc::new(lists([None, None, None, None])) as _, true),
    ])
    .unwrap();
    let mut writer = ArrowWriter::try_new(fs::File::create(&bare).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let done = convert(&bare, &path).unwrap();
    assert_eq!(
        (done.vectors, done.left_out),
        (vec!["image".to_owned()], ["uneven", "holed", "none"].map(str::to_owned).to_vec())
    );
    assert_eq!(column(&path, "image"), (vec![0, 2, 3], vec![0.0, 2.0, 3.0]));
    assert_eq!(Store::open(&path).unwrap().uris().unwrap().concat(), "abcd");
}

#[test]
fn a_folder_of_parts_becomes_a_store() {
    let (folder, path) = temporary();
    let image = with_image(&path);
    // As Spark leaves it: its names, in a folder with more than parts.
    let (parts, spark) = (folder.path().join("parts"), folder.path().join("spark"));
    split(&path, &parts, NonZeroUsize::new(3).unwrap()).unwrap();
    fs::create_dir(&spark).unwrap();
    fs::write(spark.join("_SUCCESS"), "").unwrap();
    fs::write(spark.join(".part-00000-5e.snappy.parquet.crc"), "crc").unwrap();
    for number in 0..3 {
        let name = spark.join(format!("part-0000{number}-5e.snappy.parquet"));
        fs::copy(parts.join(format!("part-0000{number}.parquet")), name).unwrap();
    }
    let converted = folder.path().join("converted.parquet");
    convert(&spark, &converted).unwrap();
    assert_eq!(column(&converted, "image"), image);
    assert_eq!(Store::open(&converted).unwrap().pair().unwrap().links, small_pair().links);
    // Parts of two tables are not one.
    drop_vectors(&path, "image").unwrap();
    fs::copy(&path, spark.join("part-00003.parquet")).unwrap();
    assert!(matches!(convert(&spark, &converted), Err(StoreError::PartsDiffer { .. })));
}

#[test]
fn what_cannot_be_a_store_is_found_before_one_appears() {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray, UInt8Array};
    use arrow::record_batch::RecordBatch;
    use parquet::arrow::ArrowWriter;

    let (folder, path) = temporary();
    let bare = folder.path().join("bare.parquet");
    let sides: ArrayRef = Arc::new(UInt8Array::from(vec![0, 1, 0]));
    let uris: ArrayRef = Arc::new(StringArray::from(vec!["a", "x", "b"]));
    let batch = RecordBatch::try_from_iter([("side", sides), ("uri", uris)]).unwrap();
    let mut writer = ArrowWriter::try_new(fs::File::create(&bare).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let error = convert(&bare, &path).unwrap_err();
    assert!(matches!(&error, StoreError::Content { path, .. } if *path == bare), "{error}");
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["bare.parquet"]);
}
