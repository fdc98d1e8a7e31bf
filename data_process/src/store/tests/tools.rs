//! Splitting, merging, exporting, validating.

use std::fs;
use std::num::NonZeroUsize;

use super::*;
use crate::store::{
    Format, Origin, copy_vectors, drop_vectors, export, grouped, merge, present_rows, put_vectors, split, write,
    write_with,
};
use crate::vectors::npy::read_matrix;

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
