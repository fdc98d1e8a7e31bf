use std::fs;
use std::io::Write;

use tempfile::TempDir;

use super::*;
use crate::event::Silent;
use crate::fault::{Fault, Kind};
use crate::pair::Triple;

/// A pair in the layout; the ids of the two graphs interleave, as in DBP15K, and the lines are out of order.
pub(in crate::sources) const FILES: [(&str, &str); 7] = [
    ("ent_ids_1", "7\thttp://zh/丙\n0\thttp://zh/甲\n1\thttp://zh/乙\n"),
    ("ent_ids_2", "4\thttp://en/A\n5\thttp://en/B_(x)\n9\thttp://en/C\n"),
    ("triples_1", "0\t3\t7\n7\t2\t1\n0\t3\t7\n"),
    ("triples_2", "9\t8\t4\n"),
    ("ill_ent_ids", "1\t4\n0\t9\n"),
    ("training_attrs_1", "http://zh/乙\thttp://p/name\thttp://p/born\nhttp://zh/甲\thttp://p/name\n"),
    ("rel_ids_1", "3\thttp://r/three\n"),
];

/// Where the files lie: graphs are named after the folder.
fn root(folder: &TempDir) -> PathBuf {
    folder.path().join("zh_en")
}

fn written(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(root(&folder)).unwrap();
    for (name, content) in files {
        fs::write(root(&folder).join(name), content).unwrap();
    }
    folder
}

/// The fixture with one of its files replaced or added.
fn with(name: &str, content: &str) -> Result<Loaded, SourceError> {
    let folder = written(&FILES);
    fs::write(root(&folder).join(name), content).unwrap();
    read(&root(&folder), &Silent)
}

#[test]
fn a_folder_is_read_in_the_order_of_its_ids() {
    let folder = written(&FILES);
    let Loaded { pair, report } = read(&root(&folder), &Silent).unwrap();
    assert_eq!((&*pair.left.name, &*pair.right.name), ("zh", "en"));
    assert_eq!(
        pair.left.entities.iter().map(|uri| &**uri).collect::<Vec<_>>(),
        ["http://zh/甲", "http://zh/乙", "http://zh/丙"]
    );
    let (first, second) = (Triple { head: 0, relation: 0, tail: 2 }, Triple { head: 2, relation: 1, tail: 1 });
    // Said twice, kept twice, as the published program counts it.
    assert_eq!(pair.left.triples, [first, second, first]);
    assert_eq!(pair.left.relations.iter().map(|name| &**name).collect::<Vec<_>>(), ["http://r/three", "2"]);
    assert_eq!(pair.right.relations.iter().map(|name| &**name).collect::<Vec<_>>(), ["8"]);
    assert_eq!(pair.links, [(1, 0), (0, 2)]);
    let facts: Vec<_> = pair.left.facts.iter().map(|fact| (fact.entity, fact.attribute, &*fact.value)).collect();
    assert_eq!(facts, [(1, 0, ""), (1, 1, ""), (0, 0, "")]);
    assert_eq!((report.repeated(), report.unreadable(), report.files.len()), (1, 0, 7));
}

#[test]
fn ids_that_count_from_nought_are_the_ids_of_the_store() {
    let entities = |range: std::ops::Range<u32>| range.map(|id| format!("{id}\te{id}\n")).rev().collect::<String>();
    let folder = written(&[
        ("ent_ids_1", &entities(0..48)),
        ("ent_ids_2", &entities(48..92)),
        ("triples_1", "34\t4\t8\n"),
        ("triples_2", "60\t12\t74\n"),
        ("ill_ent_ids", "4\t69\n"),
    ]);
    let pair = read(&root(&folder), &Silent).unwrap().pair;
    for (number, name) in pair.left.entities.iter().chain(&pair.right.entities).enumerate() {
        assert_eq!(**name, *format!("e{number}"));
    }
    assert_eq!(pair.left.triples, [Triple { head: 34, relation: 0, tail: 8 }]);
    assert_eq!(pair.links, [(4, 69 - 48)]);
}

#[test]
fn attributes_may_be_compressed() {
    let folder = written(&FILES[..5]);
    let file = fs::File::create(root(&folder).join("training_attrs_2.gz")).unwrap();
    let mut file = flate2::write::GzEncoder::new(file, flate2::Compression::default());
    file.write_all(b"http://en/C\thttp://p/born\n").unwrap();
    file.finish().unwrap();
    assert_eq!(read(&root(&folder), &Silent).unwrap().pair.right.facts.len(), 1);
}

#[test]
fn the_links_may_be_split_into_two_files() {
    let folder = written(&FILES);
    fs::remove_file(root(&folder).join("ill_ent_ids")).unwrap();
    let halves = [("ref_ent_ids", "1\t4\n"), ("sup_ent_ids", "0\t9\n")];
    for ((name, content), (other, _)) in [(halves[0], halves[1]), (halves[1], halves[0])] {
        fs::write(root(&folder).join(name), content).unwrap();
        let error = read(&root(&folder), &Silent).unwrap_err();
        assert!(
            matches!(&error, SourceError::Missing { files, .. } if *files == [root(&folder).join(other)]),
            "{error}"
        );
        fs::remove_file(root(&folder).join(name)).unwrap();
    }
    for (name, content) in halves {
        fs::write(root(&folder).join(name), content).unwrap();
    }
    assert_eq!(read(&root(&folder), &Silent).unwrap().pair.links, [(0, 2), (1, 0)]);
}

#[test]
fn every_missing_file_is_named() {
    let folder = written(&FILES[..2]);
    let error = read(&root(&folder), &Silent).unwrap_err();
    assert_eq!(error.kind(), Kind::Input);
    let words = error.to_string();
    for name in ["triples_1", "triples_2", "ill_ent_ids", "--layout openea"] {
        assert!(words.contains(name), "{words}");
    }
    assert!(!words.contains("/ent_ids_1") && words.lines().count() == 1, "{words}");
}

#[test]
fn an_id_that_is_no_entity_is_named_with_its_line() {
    for (file, content) in [("ill_ent_ids", "1\t4\n0\t1000\n"), ("triples_2", "9\t8\t4\n9\t8\t1000\n")] {
        let error = with(file, content).unwrap_err();
        assert!(matches!(&error, SourceError::UnknownEntity { line: 2, graph, .. } if graph == "en"), "{error}");
        assert!(error.to_string().contains("1000"), "{error}");
    }
}

#[test]
fn an_id_or_a_name_given_twice_is_refused() {
    for content in ["0\ta\n1\tb\n0\tc\n", "0\ta\n1\tb\n2\ta\n"] {
        let error = with("ent_ids_1", content).unwrap_err();
        assert!(matches!(error, SourceError::Doubled { line: 3, .. }), "{error}");
    }
}

#[test]
fn malformed_files_are_refused_by_name() {
    for name in ["ent_ids_1", "triples_2", "ill_ent_ids", "training_attrs_1", "rel_ids_1"] {
        for content in ["", "no tabs here\n", "\u{FEFF}0\t1\t2\n", "0\t1\t2\r\n", "\0"] {
            let error = with(name, content).unwrap_err();
            assert_eq!(error.kind(), Kind::Data, "{name} {content:?}: {error}");
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}

#[test]
fn graphs_are_named_after_a_folder_of_two_parts() {
    assert_eq!(graph_names(Path::new("data/FB15K-DB15K")), ["FB15K", "DB15K"]);
    assert_eq!(graph_names(Path::new("data/dbp15k")), ["left", "right"]);
    assert_eq!(graph_names(Path::new("..")), ["left", "right"]);
}
