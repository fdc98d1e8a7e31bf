//! What is written comes back, through our reader and through the plain Arrow reader.

use proptest::prelude::*;

use super::*;
use crate::store::writer::Layout;
use crate::store::{ALIGNMENT, Origin, drop_vectors, grouped, put_vectors, replace, splice, write, writer};

#[test]
fn a_pair_comes_back_grouped_by_entity() {
    let (_folder, path) = temporary();
    let pair = small_pair();
    write(&path, &pair, &[]).unwrap();
    let store = Store::open(&path).unwrap();
    let back = store.pair().unwrap();
    assert_eq!(back, grouped(pair.clone()));
    for (left, right) in [(&back.left, &pair.left), (&back.right, &pair.right)] {
        assert!(left.relations.iter().eq(&right.relations), "names keep their order");
        assert!(left.entities.iter().eq(&right.entities));
    }
    assert_eq!(store.graph_names(), ["Links", "Rechts"]);
    assert_eq!((store.left(), store.entities()), (4, 7));
    assert_eq!(store.uris().unwrap()[4..], ["a", "x", "y"].map(Box::<str>::from));
}

#[test]
fn the_structure_numbers_names_of_both_graphs_together() {
    let (_folder, path) = temporary();
    write(&path, &small_pair(), &[]).unwrap();
    // Neither values nor datatypes nor languages of literals are decoded for it: those of this file cannot be.
    let store = Store::open(&path).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    for chunk in store.chunks().iter().filter(|chunk| chunk.column.starts_with("attributes.")) {
        if chunk.column.rsplit('.').next() != Some("name") {
            bytes[chunk.offset as usize..(chunk.offset + chunk.bytes) as usize].fill(0xff);
        }
    }
    std::fs::write(&path, bytes).unwrap();
    let changed = Store::open(&path).unwrap();
    assert!(changed.pair().is_err());
    let found = changed.structure().unwrap();
    let relations: Vec<&str> = found.relations.iter().map(AsRef::as_ref).collect();
    assert_eq!(relations, ["never used", "knows", "is", "kennt"]);
    assert_eq!(found.triples, [[0, 1, 1], [0, 2, 2], [2, 2, 0], [2, 1, 2], [5, 2, 6], [6, 3, 5]]);
    assert_eq!(found.links, [[2, 6], [0, 5], [0, 4], [1, 4]], "in the source's order");
    assert_eq!(found.mentions, [[0, 0], [1, 1], [1, 0], [6, 1]]);
}

#[test]
fn vectors_are_mapped_on_a_boundary_and_keep_their_provenance() {
    let (_folder, path) = temporary();
    let (values, about) = (floats(4 * 3), provenance());
    let image = new_vectors("image", 3, &[0, 2, 3, 5], &values, &about);
    write(&path, &small_pair(), &[image]).unwrap();
    let store = Store::open(&path).unwrap();
    let column = store.column("image").unwrap();
    assert_eq!((column.width, column.present), (3, [3, 1]));
    assert_eq!(column.provenance.as_ref(), Some(&about));
    let vectors = store.vectors("image").unwrap();
    assert!(vectors.is_mapped());
    assert_eq!(vectors.as_slice().unwrap().as_ptr() as usize % ALIGNMENT, 0);
    assert_eq!((vectors.rows(), vectors.as_slice().unwrap()), (&[0, 2, 3, 5][..], &values[..]));
    assert_eq!(column_by_arrow(&path, "image"), (vec![0, 2, 3, 5], values));
}

#[test]
fn a_static_matrix_can_be_written_to_without_touching_the_file() {
    let (_folder, path) = temporary();
    let (values, about) = (floats(7 * 2), provenance());
    write(&path, &small_pair(), &[new_vectors("image", 2, &[0, 1, 2, 3, 4, 5, 6], &values, &about)]).unwrap();
    let before = std::fs::read(&path).unwrap();
    let vectors = Store::open(&path).unwrap().vectors("image").unwrap();
    let (matrix, rows) = vectors.into_static().unwrap();
    matrix.fill(7.0);
    assert_eq!(rows.len(), 7);
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn columns_are_added_replaced_and_dropped_and_the_rest_stays() {
    let (_folder, path) = temporary();
    let (first, second, about) = (floats(3 * 5), floats(2 * 4), provenance());
    write(&path, &small_pair(), &[new_vectors("image", 5, &[1, 2, 6], &first, &about)]).unwrap();
    let fingerprints = |path: &Path| Store::open(path).unwrap().fingerprint().unwrap();
    let original = fingerprints(&path);
    put_vectors(&path, &[new_vectors("relation_text", 4, &[0, 5], &second, &about)]).unwrap();
    assert_ne!(fingerprints(&path), original);
    assert_eq!(column(&path, "image"), (vec![1, 2, 6], first.clone()));
    assert_eq!(column(&path, "relation_text"), (vec![0, 5], second.clone()));
    assert_eq!(column_by_arrow(&path, "relation_text"), (vec![0, 5], second.clone()));
    assert!(Store::open(&path).unwrap().vectors("image").unwrap().is_mapped(), "rebuilt on a boundary");
    put_vectors(&path, &[new_vectors("image", 2, &[0, 3, 4, 6], &second, &about)]).unwrap();
    assert_eq!(column(&path, "image"), (vec![0, 3, 4, 6], second));
    drop_vectors(&path, "relation_text").unwrap();
    drop_vectors(&path, "image").unwrap();
    put_vectors(&path, &[new_vectors("image", 5, &[1, 2, 6], &first, &about)]).unwrap();
    assert_eq!(fingerprints(&path), original, "the same content has the same fingerprint");
    assert_eq!(Store::open(&path).unwrap().pair().unwrap(), grouped(small_pair()));
}

#[test]
fn the_same_content_makes_the_same_file() {
    let (_folder, path) = temporary();
    let other = path.with_file_name("other.parquet");
    write(&path, &small_pair(), &[]).unwrap();
    write(&other, &small_pair(), &[]).unwrap();
    let fingerprint = |path: &Path| Store::open(path).unwrap().fingerprint().unwrap();
    assert_eq!(fingerprint(&path), fingerprint(&other));
}

/// A store of `entities` rows and some vector columns: `(width, which rows have one)`.
fn plan() -> impl Strategy<Value = (usize, Vec<(usize, Vec<bool>)>, Layout)> {
    (0_usize..40).prop_flat_map(|entities| {
        let width = prop_oneof![4 => 1_usize..12, 2 => 60..70_usize, 1 => 1000..5000_usize];
        let column = (width, proptest::collection::vec(any::<bool>(), entities));
        let layout = (1_usize..50, 1_usize..3000).prop_map(|(group_rows, page)| Layout {
            group_rows,
            page_bytes: page * 16,
            ..Layout::default()
        });
        (Just(entities), proptest::collection::vec(column, 0..4), layout)
    })
}

fn plain_pair(entities: usize) -> GraphPair {
    let mut pair = GraphPair::default();
    for number in 0..entities {
        let side = if number < entities / 2 { &mut pair.left } else { &mut pair.right };
        side.entities.insert(format!("e{number}").into());
    }
    pair
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_mix_of_nulls_widths_row_groups_and_pages((entities, columns, layout) in plan()) {
        let (_folder, path) = temporary();
        let pair = plain_pair(entities);
        let about = provenance();
        let data: Vec<(String, usize, Vec<u32>, Vec<f32>)> = columns.iter().enumerate().map(|(number, (width, present))| {
            let rows: Vec<u32> = (0..entities as u32).filter(|&row| present[row as usize]).collect();
            (format!("v{number}"), *width, rows.clone(), floats(rows.len() * width))
        }).collect();
        let vectors: Vec<_> =
            data.iter().map(|(name, width, rows, values)| new_vectors(name, *width, rows, values, &about)).collect();
        let (first, later) = vectors.split_at(vectors.len() / 2);
        let origin = Origin::default();
        let turn = replace::Turn::take(&path).unwrap();
        writer::write(turn, writer::Content { pair: &pair, vectors: first, origin: &origin }, layout).unwrap();
        splice::apply(&path, splice::Change { drop: None, put: later, rows_of: None, layout }).unwrap();
        prop_assert_eq!(Store::open(&path).unwrap().pair().unwrap(), pair);
        for (name, _, rows, values) in &data {
            let expected = (rows.clone(), values.clone());
            prop_assert_eq!(&column(&path, name), &expected);
            prop_assert_eq!(&column_by_arrow(&path, name), &expected);
        }
    }
}
