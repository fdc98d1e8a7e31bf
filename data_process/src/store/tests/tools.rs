//! Splitting, merging, converting, exporting, validating.

use std::fs;
use std::num::NonZeroUsize;

use super::*;
use crate::store::{
    Format, Origin, StoreError, convert, copy_vectors, drop_vectors, export, grouped, merge, present_rows, put_vectors,
    split, write, write_with,
};
use crate::vectors::npy::read_matrix;

fn with_image(path: &Path) -> (Vec<u32>, Vec<f32>) {
    let (rows, values, about) = (vec![0, 2, 3, 5], floats(4 * 3), provenance());
    write(path, &small_pair(), &[new_vectors("image", 3, &rows, &values, &about)]).unwrap();
    (rows, values)
}

#[test]
fn a_store_in_parts_is_the_same_store() {
    let (folder, path) = temporary();
    let image = with_image(&path);
    for parts in [1, 2, 3, 7, 20] {
        let split_path = folder.path().join(format!("split{parts}"));
        split(&path, &split_path, NonZeroUsize::new(parts).unwrap()).unwrap();
        let store = Store::open(&split_path).unwrap();
        assert_eq!(store.parts().len(), parts.min(7));
        assert_eq!(store.pair().unwrap(), grouped(small_pair()));
        assert_eq!(store.structure().unwrap().links, Store::open(&path).unwrap().structure().unwrap().links);
        assert_eq!(column(&split_path, "image"), image);
        assert_eq!(store.column("image").unwrap().present, [3, 1]);
        assert!(store.validate().unwrap().is_empty());
        let merged = folder.path().join("merged.parquet");
        merge(&split_path, &merged).unwrap();
        assert_eq!(
            Store::open(&merged).unwrap().fingerprint().unwrap(),
            Store::open(&path).unwrap().fingerprint().unwrap()
        );
    }
}

#[test]
fn columns_are_added_to_and_dropped_from_parts() {
    let (_folder, path) = temporary();
    let image = with_image(&path);
    split(&path, &path, NonZeroUsize::new(3).unwrap()).unwrap();
    let (values, about) = (floats(3 * 2), provenance());
    put_vectors(&path, &[new_vectors("relation_text", 2, &[1, 4, 6], &values, &about)]).unwrap();
    assert_eq!(column(&path, "relation_text"), (vec![1, 4, 6], values));
    assert_eq!(column(&path, "image"), image);
    let blocks: usize =
        Store::open(&path).unwrap().vectors("image").unwrap().blocks().unwrap().iter().map(|b| b.0.len()).sum();
    assert_eq!(blocks, image.0.len());
    drop_vectors(&path, "relation_text").unwrap();
    assert_eq!(Store::open(&path).unwrap().vector_columns().len(), 1);
}

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

#[test]
fn vectors_leave_as_numpy_csv_and_safetensors_and_graphs_as_id_files() {
    let (folder, path) = temporary();
    let (rows, values) = with_image(&path);
    let store = Store::open(&path).unwrap();
    let out = folder.path().join("out");
    for format in [Format::Npy, Format::Csv, Format::Safetensors, Format::IdFiles] {
        export(&store, format, &out).unwrap();
    }
    assert_eq!(read_matrix(&out.join("image.npy"), rows.len()).unwrap(), (3, values.clone()));
    let csv = fs::read_to_string(out.join("image.csv")).unwrap();
    assert!(csv.starts_with("id,uri,0,1,2\n0,a,-3,-2.5,-2\n2,č,"), "{csv}");
    let bytes = fs::read(out.join("vectors.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(tensors.tensor("image").unwrap().data(), bytemuck::cast_slice::<f32, u8>(&values));
    assert_eq!(tensors.tensor("image.rows").unwrap().shape(), [rows.len()]);
    assert_eq!(fs::read_to_string(out.join("ill_ent_ids")).unwrap(), "2\t6\n0\t5\n0\t4\n1\t4\n");
    // `is` has one number in both graphs, and no relation shares one with another.
    assert_eq!(fs::read_to_string(out.join("rel_ids_1")).unwrap(), "0\tnever used\n1\tknows\n2\tis\n");
    assert_eq!(fs::read_to_string(out.join("rel_ids_2")).unwrap(), "2\tis\n3\tkennt\n");
    assert_eq!(fs::read_to_string(out.join("triples_2")).unwrap(), "5\t2\t6\n6\t3\t5\n");
    assert_eq!(fs::read_to_string(out.join("training_attrs_1")).unwrap(), "a\theight\nb (c), d\tname\theight\n");
}

#[test]
fn id_files_say_what_they_leave_out() {
    let (folder, path) = temporary();
    let out = folder.path().join("out");
    write(&path, &small_pair(), &[]).unwrap();
    let remarks = export(&Store::open(&path).unwrap(), Format::IdFiles, &out).unwrap();
    assert_eq!(remarks.len(), 1, "{remarks:?}");
    for lost in ["3 values", "1 datatypes", "1 language tags", "1 labels"] {
        assert!(remarks[0].contains(lost), "{}", remarks[0]);
    }
}

#[test]
fn a_pair_without_attributes_comes_back_from_its_id_files() {
    let (folder, path) = temporary();
    let out = folder.path().join("Links_Rechts");
    write(&path, &small_pair(), &[]).unwrap();
    export(&Store::open(&path).unwrap(), Format::IdFiles, &out).unwrap();
    let mut pair = small_pair();
    for graph in [&mut pair.left, &mut pair.right] {
        (graph.facts, graph.labels) = (Vec::new(), Vec::new());
        graph.attributes.clear();
        graph.tags.clear();
    }
    pair.left.relations.shift_remove("never used");
    pair.left.triples.iter_mut().for_each(|triple| triple.relation -= 1);
    write(&path, &pair, &[]).unwrap();
    // Over the export of a pair that had attributes.
    assert!(export(&Store::open(&path).unwrap(), Format::IdFiles, &out).unwrap().is_empty());
    let back = crate::sources::id_files::read(&out, &crate::event::Silent).unwrap().pair;
    let rows = |pair: &GraphPair| {
        let named = |triple: &Triple| {
            (triple.head, pair.left.relations.get_index(triple.relation as usize).unwrap().clone(), triple.tail)
        };
        (pair.left.entities.clone(), pair.left.triples.iter().map(named).collect::<Vec<_>>())
    };
    let pair = grouped(pair);
    assert_eq!((rows(&back), back.right, back.links), (rows(&pair), pair.right, pair.links));
}

#[test]
fn an_id_file_that_must_be_there_but_is_empty_is_named() {
    let (folder, path) = temporary();
    write(&path, &GraphPair { links: Vec::new(), ..small_pair() }, &[]).unwrap();
    let remarks = export(&Store::open(&path).unwrap(), Format::IdFiles, &folder.path().join("out")).unwrap();
    assert!(remarks[1].contains("ill_ent_ids is empty"), "{remarks:?}");
}

#[test]
fn an_export_removes_what_a_killed_one_left_and_leaves_a_running_one_alone() {
    let (folder, path) = temporary();
    with_image(&path);
    let (store, out) = (Store::open(&path).unwrap(), folder.path().join("out"));
    fs::create_dir_all(out.join(".export-killed.tmp")).unwrap();
    fs::write(out.join(".export-killed.tmp/image.npy"), "").unwrap();
    let running = crate::aside::Folder::within(&out, ".export-".as_ref()).unwrap();
    assert!(!out.join(".export-killed.tmp").exists(), "by the next one");
    export(&store, Format::Npy, &out).unwrap();
    assert!(running.path().exists());
    drop(running);
    assert_eq!(fs::read_dir(&out).unwrap().count(), 2);
}

#[test]
fn vectors_come_from_a_matrix_or_from_another_store() {
    let (folder, path) = temporary();
    let image = with_image(&path);
    let nan = f32::NAN;
    assert_eq!(present_rows(2, &[1.0, 2.0, nan, nan, nan, 3.0]).0, [0, 2]);
    let other = folder.path().join("other.parquet");
    let mut pair = small_pair();
    pair.left.entities.shift_remove("unbound");
    pair.left.labels.pop();
    write(&other, &pair, &[]).unwrap();
    copy_vectors(&other, "image", &path).unwrap();
    assert_eq!(column(&other, "image").0, [0, 2, 4], "row 3 is gone, so row 5 is row 4");
    assert_eq!(column(&other, "image").1[..6], image.1[..6]);
}

#[test]
fn validation_finds_what_is_wrong() {
    let (_folder, path) = temporary();
    let about = provenance();
    let values = [1.0, 2.0, 3.0];
    let origin = Origin { maker: "a test".into(), ..Origin::default() };
    write_with(&path, &small_pair(), &[new_vectors("image", 1, &[0, 1, 5], &values, &about)], &origin).unwrap();
    let image =
        Store::open(&path).unwrap().chunks().into_iter().find(|chunk| chunk.column.starts_with("image")).unwrap();
    let end = (image.offset + image.bytes) as usize;
    let bytes = fs::read(&path).unwrap();
    let changed = |at: usize, float: f32| {
        let mut bytes = bytes.clone();
        bytes[at..at + 4].copy_from_slice(&float.to_le_bytes());
        fs::write(&path, bytes).unwrap();
        Store::open(&path).unwrap().validate().unwrap().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let findings = changed(end - 8, f32::NAN);
    assert!(findings.iter().any(|finding| finding.contains("NaN in the vector of row 1")), "{findings:?}");
    // One float changed on disk: only the digest can tell.
    let findings = changed(end - 4, 3.5);
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].contains("not those it was written with"), "{findings:?}");
}

#[test]
fn validation_compares_the_ordinary_columns_with_their_digest() {
    let (folder, path) = temporary();
    with_image(&path);
    let parts = folder.path().join("parts");
    split(&path, &parts, NonZeroUsize::new(2).unwrap()).unwrap();
    for (store, file) in [(&path, path.clone()), (&parts, parts.join("part-00000.parquet"))] {
        let uris = Store::open(store).unwrap().chunks().into_iter().find(|chunk| chunk.column == "uri").unwrap();
        let (start, end) = (uris.offset as usize, (uris.offset + uris.bytes) as usize);
        let mut bytes = fs::read(&file).unwrap();
        let at = bytes[start..end].windows(7).position(|window| window == b"unbound").unwrap();
        bytes[start + at + 2] = b'd';
        fs::write(&file, bytes).unwrap();
        let changed = Store::open(store).unwrap();
        assert_eq!(changed.uris().unwrap()[3].as_ref(), "undound", "it decodes, as another name");
        let findings = changed.validate().unwrap();
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].reason.contains("ordinary columns") && findings[0].reason.contains("not those"));
    }
}

#[test]
fn a_summary_counts_what_is_there() {
    let (_folder, path) = temporary();
    with_image(&path);
    let summary = Store::open(&path).unwrap().summary().unwrap();
    assert_eq!((summary.entities, summary.left, summary.right, summary.links, summary.triples), (7, 4, 3, 4, 6));
    assert_eq!((summary.relations, summary.attributes, summary.literals), (4, 2, 4));
    assert_eq!(summary.columns[0].present, [3, 1]);
    let text = summary.lines().join("\n");
    assert!(text.contains("4 Links + 3 Rechts") && text.contains("75.0 % of Links"), "{text}");
}
