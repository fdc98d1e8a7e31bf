use std::fs;

use tempfile::TempDir;

use super::*;
use crate::event::Silent;
use crate::fault::{Fault, Kind};
use crate::pair::Triple;

/// A small pair with every irregularity of the real files.
pub(in crate::sources) const FILES: [(&str, &str); 5] = [
    (
        "FB15K/FB15K_EntityTriples.txt",
        "/m/02 /people/person/place_of_birth /m/01 .\n\
         /m/02 /people/person/sibling_s./people/sibling_relationship/sibling /m/03 .\n\
         /m/03 /people/person/place_of_birth /m/03 .\n",
    ),
    (
        "FB15K/FB15K_NumericalTriples.txt",
        "/m/01\t<http://rdf.freebase.com/ns/location.location.area>\t15763.18\n\
         /m/02\t<http://rdf.freebase.com/ns/people.person.date_of_birth>\t1949.0\n",
    ),
    (
        "DB15K/DB15K_EntityTriples.txt",
        "<http://d/Plato> <http://d/birthPlace> <http://d/Franciaország> .\n\
         <http://d/Plato> <http://d/birthPlace> <http://d/Franciaország> .\n\
         <http://d/Mountain_View,_California> <http://d/seeAlso> <http://d/2046_(film)> .\n\
         <http://d/Anarchism> <http://d/seeAlso> <http://d/Anarchism> .\n",
    ),
    (
        "DB15K/DB15K_NumericalTriples.txt",
        "<http://d/Plato>\t<http://d/birthDate>\t-427-0-0\n\
         <http://d/2046_(film)> <http://d/http://xmlns.com/foaf/0.1/name> \"2046\"^^<http://x#integer> .\n\
         <http://d/2046_(film)> <http://d/http://xmlns.com/foaf/0.1/name> \"2046\"^^<http://x#integer> .\n\
         <http://d/Plato> <http://d/deathDate> \"1786-##-##\"^^<http://x#date> .\n\
         <http://d/Plato> <http://d/deathDate> \"1973.0125\"^^<http://x#degrees> .\n",
    ),
    (
        "DB15K/DB15K_SameAsLink.txt",
        "/m/02 <SameAs> <http://d/Plato> .\n/m/01 <SameAs> <http://d/Franciaország> .\n/m/03 <SameAs> <http://d/Plato> .\n",
    ),
];

fn written(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

/// The fixture with one of its files replaced.
fn with(name: &str, content: &str) -> Result<Loaded, SourceError> {
    let folder = written(&FILES);
    fs::write(folder.path().join(name), content).unwrap();
    read(folder.path(), Pair::Fb15kDb15k, &Silent)
}

#[test]
fn every_irregularity_is_read_and_counted() {
    let folder = written(&FILES);
    let Loaded { pair, report } = read(folder.path(), Pair::Fb15kDb15k, &Silent).unwrap();
    let counts = |graph: &Graph| {
        [graph.entities.len(), graph.relations.len(), graph.triples.len(), graph.attributes.len(), graph.facts.len()]
    };
    assert_eq!(counts(&pair.left), [3, 2, 3, 2, 2]);
    assert_eq!(counts(&pair.right), [5, 2, 3, 3, 4]);
    assert_eq!(report.files.iter().map(|file| file.lines).collect::<Vec<_>>(), [3, 2, 4, 5, 3]);
    assert_eq!((report.repeated(), report.unreadable()), (2, 0));
    // Two left entities share a counterpart, as four do in DB15K; links keep the file's order.
    let named = |&(l, r): &(u32, u32)| (&*pair.left.entities[l as usize], &*pair.right.entities[r as usize]);
    let links: Vec<_> = pair.links.iter().map(named).collect();
    assert_eq!(
        links,
        [("/m/02", "<http://d/Plato>"), ("/m/01", "<http://d/Franciaország>"), ("/m/03", "<http://d/Plato>")]
    );
}

#[test]
fn values_are_kept_as_written() {
    let folder = written(&FILES);
    let right = read(folder.path(), Pair::Fb15kDb15k, &Silent).unwrap().pair.right;
    let facts: Vec<_> = right
        .facts
        .iter()
        .map(|fact| {
            (&*right.entities[fact.entity as usize], &*fact.value, fact.datatype.map(|t| &*right.tags[t as usize]))
        })
        .collect();
    assert_eq!(
        facts,
        [
            ("<http://d/Plato>", "-427-0-0", None),
            ("<http://d/2046_(film)>", "2046", Some("http://x#integer")),
            ("<http://d/Plato>", "1786-##-##", Some("http://x#date")),
            ("<http://d/Plato>", "1973.0125", Some("http://x#degrees")),
        ]
    );
}

#[test]
fn entities_are_numbered_by_their_identifiers() {
    let folder = written(&FILES);
    let pair = read(folder.path(), Pair::Fb15kDb15k, &Silent).unwrap().pair;
    assert!(pair.left.entities.is_sorted() && pair.right.entities.is_sorted());
    assert_eq!(pair.left.triples[0], Triple { head: 1, relation: 0, tail: 0 });
}

#[test]
fn every_missing_file_is_named_with_where_to_get_it() {
    let folder = written(&FILES[..1]);
    let error = read(folder.path(), Pair::Fb15kDb15k, &Silent).unwrap_err();
    assert_eq!(error.kind(), Kind::Input);
    let words = error.to_string();
    for (name, _) in &FILES[1..] {
        assert!(words.contains(name), "{words}");
    }
    assert!(!words.contains(FILES[0].0) && words.contains(REPOSITORY) && words.contains(COMMIT), "{words}");
}

#[test]
fn a_link_to_an_unknown_entity_is_named_with_its_line() {
    let links = "/m/02 <SameAs> <http://d/Plato> .\n/m/01 <SameAs> <http://d/Platon> .\n";
    let error = with("DB15K/DB15K_SameAsLink.txt", links).unwrap_err();
    assert!(
        matches!(&error, SourceError::UnknownEntity { line: 2, graph, entity, .. }
            if graph == "DB15K" && entity == "<http://d/Platon>"),
        "{error}"
    );
    assert_eq!(error.kind(), Kind::Data);
}

#[test]
fn a_file_of_another_kind_is_refused() {
    for (name, content) in [
        ("FB15K/FB15K_EntityTriples.txt", FILES[1].1),
        ("FB15K/FB15K_NumericalTriples.txt", FILES[0].1),
        ("DB15K/DB15K_SameAsLink.txt", FILES[2].1),
        ("DB15K/DB15K_EntityTriples.txt", "a b c d .\n"),
        ("DB15K/DB15K_EntityTriples.txt", "a b .\n"),
    ] {
        let error = with(name, content).unwrap_err();
        assert!(matches!(error, SourceError::TooManyUnreadable { .. }), "{name}: {error}");
        assert!(error.to_string().contains("expected"), "{error}");
    }
}

#[test]
fn a_pair_is_named_as_on_the_command_line() {
    for pair in Pair::ALL {
        assert_eq!(pair.to_string().parse::<Pair>().unwrap(), pair);
    }
    assert!("fb15k-wd15k".parse::<Pair>().unwrap_err().to_string().contains("fb15k-yago15k"));
}
