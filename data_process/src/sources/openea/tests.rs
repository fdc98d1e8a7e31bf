use std::fs;

use tempfile::TempDir;

use super::*;
use crate::event::Silent;
use crate::fault::{Fault, Kind};

pub(in crate::sources) const CONTENT: [&str; 5] = [
    "http://d/Z\thttp://r/in\thttp://d/A\nhttp://d/A\thttp://r/in\thttp://d/Ä\n",
    "http://d/Z\thttp://a/born\t\"1982\"^^<http://x#gYear>\nhttp://d/A\thttp://a/note\tbare \"text\"\twith a TAB\n",
    "Q1\tP1\tQ2\nQ1\tP1\tQ2\n",
    "Q2\tP9\t\"Wien\"@de\nQ3\tP9\t1.5\n",
    "http://d/A\tQ2\nhttp://d/Z\tQ1\n",
];

fn written() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in FILES.iter().zip(CONTENT) {
        fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

#[test]
fn a_folder_is_read_with_its_values() {
    let folder = written();
    let Loaded { pair, report } = read(folder.path(), false, &Silent).unwrap();
    let names = |graph: &Graph| graph.entities.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(&pair.left), ["http://d/A", "http://d/Z", "http://d/Ä"]);
    assert_eq!(names(&pair.right), ["Q1", "Q2", "Q3"]);
    assert_eq!(pair.links, [(0, 1), (1, 0)]);
    let values: Vec<_> = pair.left.facts.iter().chain(&pair.right.facts).map(|fact| &*fact.value).collect();
    assert_eq!(values, ["1982", "bare \"text\"\twith a TAB", "Wien", "1.5"]);
    assert_eq!(pair.left.facts[0].datatype.map(|tag| &*pair.left.tags[tag as usize]), Some("http://x#gYear"));
    assert_eq!(pair.right.facts[0].lang.map(|tag| &*pair.right.tags[tag as usize]), Some("de"));
    assert_eq!((report.repeated(), report.unreadable(), pair.right.triples.len()), (1, 0, 1));
}

#[test]
fn names_are_labels_and_values_only_if_asked_for() {
    let folder = written();
    let values = "Q2\tskos:prefLabel\t\"Wien\"@de\nQ2\thttp://xmlns.com/foaf/0.1/name\tVienna\nQ3\tP9\t1.5\n";
    fs::write(folder.path().join(FILES[3]), values).unwrap();
    for (use_labels, count) in [(false, 1), (true, 3)] {
        let right = read(folder.path(), use_labels, &Silent).unwrap().pair.right;
        assert_eq!((right.labels, right.facts.len()), (vec![None, Some("Wien".into()), None], count));
    }
}

#[test]
fn every_missing_file_is_named() {
    let folder = written();
    fs::remove_file(folder.path().join("ent_links")).unwrap();
    fs::remove_file(folder.path().join("attr_triples_2")).unwrap();
    let error = read(folder.path(), false, &Silent).unwrap_err();
    let words = error.to_string();
    assert!(
        words.contains("ent_links") && words.contains("attr_triples_2") && !words.contains("/rel_triples_1"),
        "{words}"
    );
    assert_eq!((error.kind(), words.lines().count()), (Kind::Input, 1));
}

#[test]
fn a_link_to_an_unknown_entity_is_named_with_its_line() {
    let folder = written();
    fs::write(folder.path().join("ent_links"), "http://d/A\tQ2\nhttp://d/A\tQ4\n").unwrap();
    let error = read(folder.path(), false, &Silent).unwrap_err();
    assert!(matches!(&error, SourceError::UnknownEntity { line: 2, entity, .. } if entity == "Q4"), "{error}");
}

#[test]
fn malformed_files_are_refused_by_name() {
    for name in FILES {
        for content in ["", "no tabs here\n", "\u{FEFF}a\tb\tc\n", "a\tb\tc\r\n", "\0"] {
            let folder = written();
            fs::write(folder.path().join(name), content).unwrap();
            let error = read(folder.path(), false, &Silent).unwrap_err();
            assert_eq!(error.kind(), Kind::Data, "{name} {content:?}: {error}");
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}

#[test]
fn graphs_are_named_after_the_folder() {
    assert_eq!(graph_names(Path::new("OpenEA/D_W_15K_V1")), ["D", "W"]);
    assert_eq!(graph_names(Path::new("OpenEA")), ["left", "right"]);
}
