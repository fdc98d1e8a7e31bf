use std::io::Write;

use super::*;
use crate::event::Silent;
use crate::fault::{Fault, Kind};
use crate::pair::Fact;
use crate::sources::synthetic::{Knobs, generate};
use crate::store::{self, Store};

const LEFT: &str = r#"# a comment
<http://l.org/Ada> <http://l.org/born> <http://l.org/London> .
<http://l.org/Ada> <http://l.org/birthDate> "1815-12-10"^^<http://www.w3.org/2001/XMLSchema#date> .
<http://l.org/Ada> <http://www.w3.org/2000/01/rdf-schema#label> "Ada \"the\" Countess"@en .
<http://l.org/Ada> <http://l.org/motto> "été\n"@fr .
<http://l.org/Ada> <http://www.w3.org/2002/07/owl#sameAs> <http://r.org/Q7259> .
<http://l.org/Ada> <http://www.w3.org/2002/07/owl#sameAs> <http://elsewhere.org/7> .
_:b1 <http://l.org/knows> <http://l.org/Ada> .
"#;

const RIGHT: &str = "@prefix r: <http://r.org/> .\nr:Q7259 r:p19 r:Q84 ; r:height 1.65 ; r:name \"A\" .\n";

fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

fn source(folder: &tempfile::TempDir, left: &str, right: &str, links: Option<&str>) -> Source {
    let at = |name: &str| folder.path().join(name);
    Source { left: at(left), right: at(right), links: links.map(at), use_labels: false }
}

fn load(files: &[(&str, &[u8])], links: Option<&str>) -> Result<Loaded, SourceError> {
    let folder = folder(files);
    read(&source(&folder, files[0].0, files[1].0, links), &Silent)
}

#[test]
fn statements_become_edges_values_labels_and_links() {
    let pair = load(&[("a.nt", LEFT.as_bytes()), ("b.ttl", RIGHT.as_bytes())], None).unwrap().pair;
    let left = &pair.left;
    assert_eq!(left.name, "a");
    assert_eq!(
        left.entities.iter().map(|uri| &**uri).collect::<Vec<_>>(),
        ["_:b1", "http://l.org/Ada", "http://l.org/London"]
    );
    assert_eq!(left.triples.len(), 2);
    assert_eq!(left.labels, [None, Some("Ada \"the\" Countess".into()), None]);
    let values: Vec<_> = left.facts.iter().map(|fact| (&*fact.value, fact.datatype, fact.lang)).collect();
    assert_eq!(values, [("1815-12-10", Some(0), None), ("été\n", None, Some(1))]);
    assert_eq!(left.tags.get_index(0).unwrap().as_ref(), "http://www.w3.org/2001/XMLSchema#date");
    let right: Vec<_> = pair.right.facts.iter().map(|fact| (&*fact.value, fact.datatype.is_some())).collect();
    assert_eq!(right, [("1.65", true), ("A", false)]);
    assert_eq!(pair.links, [(1, 0)]);
}

#[test]
fn labels_are_values_only_if_asked_for() {
    let folder = folder(&[("a.nt", LEFT.as_bytes()), ("b.ttl", RIGHT.as_bytes())]);
    let source = Source { use_labels: true, ..source(&folder, "a.nt", "b.ttl", None) };
    assert_eq!(read(&source, &Silent).unwrap().pair.left.facts.len(), 3);
}

#[test]
fn every_syntax_and_compression_gives_the_same_graph() {
    let xml = br#"<?xml version="1.0"?><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:r="http://r.org/">
        <rdf:Description rdf:about="http://r.org/Q7259"><r:p19 rdf:resource="http://r.org/Q84"/>
        <r:height rdf:datatype="http://www.w3.org/2001/XMLSchema#decimal">1.65</r:height><r:name>A</r:name></rdf:Description></rdf:RDF>"#;
    let quads = concat!(
        "<http://r.org/Q7259> <http://r.org/p19> <http://r.org/Q84> <http://r.org/g> .\n",
        "<http://r.org/Q7259> <http://r.org/height> \"1.65\"^^<http://www.w3.org/2001/XMLSchema#decimal> .\n",
        "<http://r.org/Q7259> <http://r.org/name> \"A\" .\n"
    );
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(RIGHT.as_bytes()).unwrap();
    let gz = gz.finish().unwrap();
    let zst = zstd::encode_all(quads.as_bytes(), 1).unwrap();
    let right =
        |name: &str, content: &[u8]| load(&[("a.nt", LEFT.as_bytes()), (name, content)], None).unwrap().pair.right;
    let expected = right("b.ttl", RIGHT.as_bytes());
    assert_eq!(expected.facts.len(), 2);
    for (name, content) in [("b.rdf", &xml[..]), ("b.nq", quads.as_bytes()), ("b.ttl.gz", &gz), ("b.nq.zst", &zst)] {
        assert!(right(name, content) == expected, "{name}");
    }
}

#[test]
fn links_come_in_every_form() {
    let right = b"<http://r.org/Q7259> <http://r.org/p> <http://r.org/Q84> .\n";
    for links in [
        "<http://l.org/London> <http://www.w3.org/2004/02/skos/core#exactMatch> <http://r.org/Q84> .\n",
        "<http://r.org/Q84> <http://www.w3.org/2002/07/owl#sameAs> <http://l.org/London> .\n",
        "http://l.org/London <SameAs> <http://r.org/Q84> .\n",
        "http://l.org/London\thttp://r.org/Q84\n",
    ] {
        let files: [(&str, &[u8]); 3] = [("a.nt", LEFT.as_bytes()), ("b.nt", right), ("links.nt", links.as_bytes())];
        assert_eq!(load(&files, Some("links.nt")).unwrap().pair.links, [(1, 0), (2, 1)], "{links}");
    }
}

/// Nodes without names: random ones would make another store each time.
#[test]
fn blank_nodes_are_named_in_order_of_appearance() {
    let turtle = "@prefix r: <http://r.org/> .\nr:a r:p [ r:q [ r:z 1 ] ] . _:own r:p r:a , [] .\n";
    let xml = rdf_xml("<l:A><l:p rdf:parseType=\"Resource\"><l:q>1</l:q></l:p></l:A>");
    for (name, content, blank) in [("b.ttl", turtle, 4), ("b.rdf", xml.as_str(), 2)] {
        let load = || load(&[("a.nt", LEFT.as_bytes()), (name, content.as_bytes())], None).unwrap().pair.right;
        let once = load();
        let expected: Vec<String> = (0..blank).map(|number| format!("_:b{number}")).collect();
        assert_eq!(once.entities.iter().take(blank).map(|uri| &**uri).collect::<Vec<_>>(), expected, "{name}");
        assert!(once == load(), "{name}");
    }
}

#[test]
fn the_name_of_a_blank_node_links_nothing() {
    let same = "<http://www.w3.org/2002/07/owl#sameAs>";
    let left =
        format!("{LEFT}_:b1 {same} <http://r.org/Q84> .\n<http://l.org/London> {same} _:b1 .\n_:b1 {same} _:b1 .\n");
    let right = format!("{RIGHT}_:b1 r:p r:Q84 .\n");
    let links = b"_:b1 <http://www.w3.org/2002/07/owl#sameAs> <http://r.org/Q84> .\n";
    let files: [(&str, &[u8]); 3] = [("a.nt", left.as_bytes()), ("b.ttl", right.as_bytes()), ("links.nt", links)];
    assert_eq!(load(&files, None).unwrap().pair.links, [(1, 1)], "Ada alone");
    let error = load(&files, Some("links.nt")).unwrap_err();
    assert!(error.to_string().contains("blank node of Turtle"), "{error}");
    let lines = b"_:b1 <http://r.org/p> <http://r.org/Q84> .\n";
    let files: [(&str, &[u8]); 3] = [("a.nt", left.as_bytes()), ("b.nt", lines), ("links.nt", links)];
    assert_eq!(load(&files, Some("links.nt")).unwrap().pair.links, [(0, 1)], "named as in the files");
}

#[test]
fn a_full_stop_belongs_to_the_name_it_ends() {
    let left = b"<http://l.org/X> <http://l.org/p> <http://l.org/Y> .\n";
    let right = b"<http://r.org/Warner_Bros.> <http://r.org/p> <http://r.org/Foo_Inc.> .\n";
    let same = "<http://www.w3.org/2002/07/owl#sameAs>";
    for second in [
        "http://l.org/Y\thttp://r.org/Foo_Inc.".to_owned(),
        format!("<http://l.org/Y>\t{same}\t<http://r.org/Foo_Inc.>."),
        format!("<http://l.org/Y> {same}\t<http://r.org/Foo_Inc.> ."),
        format!("<http://l.org/Y> {same} <http://r.org/Foo_Inc.>\t."),
    ] {
        let links = format!("http://l.org/X\thttp://r.org/Warner_Bros.\n{second}\n");
        let files: [(&str, &[u8]); 3] = [("a.nt", left), ("b.nt", right), ("links.tsv", links.as_bytes())];
        assert_eq!(load(&files, Some("links.tsv")).unwrap().pair.links, [(0, 1), (1, 0)], "{second}");
    }
}

#[test]
fn a_link_to_an_unknown_entity_names_file_and_line() {
    let links = b"# two\n<http://l.org/Ada> <http://www.w3.org/2002/07/owl#sameAs> <http://r.org/Nobody> .\n";
    let files: [(&str, &[u8]); 3] = [("a.nt", LEFT.as_bytes()), ("b.ttl", RIGHT.as_bytes()), ("links.nt", links)];
    let error = load(&files, Some("links.nt")).unwrap_err();
    assert!(
        matches!(&error, SourceError::UnknownEntity { line: 2, entity, .. } if entity == "http://r.org/Nobody"),
        "{error}"
    );
    assert!(error.to_string().contains("links.nt:2"), "{error}");
}

#[test]
fn wrong_files_are_named_with_what_is_wrong() {
    let with = |name: &str, content: &[u8]| load(&[("a.nt", LEFT.as_bytes()), (name, content)], None).unwrap_err();
    assert!(matches!(with("b.csv", b"x"), SourceError::UnknownSyntax { .. }));
    assert!(matches!(with("b.nt", b""), SourceError::Empty { .. }));
    assert!(matches!(with("b.nt", b"no triple\n"), SourceError::TooManyUnreadable { .. }));
    assert!(matches!(with("b.nt", b"\xFF\xFE\n"), SourceError::ByteOrderMark { .. } | SourceError::NotUtf8 { .. }));
    let turtle = with("b.ttl", b"@prefix r: <http://r.org/> .\nr:a r:b \"open .\n");
    assert!(matches!(&turtle, SourceError::Syntax { why, .. } if why.contains("line")), "{turtle}");
    assert!(matches!(with("b.rdf", b"<rdf:RDF"), SourceError::Syntax { .. }));
    for name in ["b.nt.gz", "b.ttl.gz", "b.rdf.zst", "b.nt.zst"] {
        let error = with(name, b"neither gzip nor zstd");
        assert!(matches!(error, SourceError::Packed { .. }) && error.kind() == Kind::Data, "{name}: {error}");
    }
    let cut = zstd::encode_all(LEFT.as_bytes(), 1).unwrap();
    assert!(matches!(with("b.nt.zst", &cut[..cut.len() - 9]), SourceError::Packed { format: "zstd", .. }));
    let error = read(&Source { left: "nowhere.nt".into(), right: "neither.nt".into(), ..Source::default() }, &Silent);
    assert!(matches!(error.unwrap_err(), SourceError::Missing { files, .. } if files.len() == 2));
}

#[test]
fn a_bomb_of_one_long_line_stops_at_the_longest_line() {
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..64 {
        gz.write_all(&vec![b'a'; 1 << 18]).unwrap();
    }
    let bomb = gz.finish().unwrap();
    assert!(bomb.len() < 100_000);
    let error = load(&[("a.nt", LEFT.as_bytes()), ("b.nt.gz", &bomb)], None).unwrap_err();
    assert!(matches!(error, SourceError::LongLine { line: 1, .. }), "{error}");
}

/// What comes back, read from the exported files.
fn round_trip(pair: &GraphPair) -> GraphPair {
    let folder = tempfile::tempdir().unwrap();
    let Exported { left, right, links, lost } = export(pair, folder.path()).unwrap();
    assert_eq!(lost, [""; 0]);
    read(&Source { left, right, links, use_labels: false }, &Silent).unwrap().pair
}

/// What a store's columns would hold: rows with names instead of numbers. The numbers of names follow the order of the
/// source's lines, which a store has no column for.
fn columns(pair: &GraphPair) -> Vec<String> {
    let mut rows = Vec::new();
    for graph in [&pair.left, &pair.right] {
        let uri = |entity: u32| &graph.entities[entity as usize];
        let tag = |tag: Option<u32>| tag.map(|tag| &graph.tags[tag as usize]);
        rows.extend(graph.entities.iter().map(|uri| format!("{} {uri}", graph.name)));
        rows.extend(graph.labels.iter().map(|label| format!("{label:?}")));
        rows.extend(graph.triples.iter().map(|triple| {
            format!("{} {} {}", uri(triple.head), graph.relations[triple.relation as usize], uri(triple.tail))
        }));
        rows.extend(graph.facts.iter().map(|fact| {
            let name = &graph.attributes[fact.attribute as usize];
            format!("{} {name} {} {:?} {:?}", uri(fact.entity), fact.value, tag(fact.datatype), tag(fact.lang))
        }));
    }
    rows.extend(pair.links.iter().map(|link| format!("{link:?}")));
    rows.sort_unstable();
    rows
}

#[test]
fn export_and_read_give_an_equal_pair() {
    let read_once = load(&[("a.nt", LEFT.as_bytes()), ("b.ttl", RIGHT.as_bytes())], None).unwrap().pair;
    assert_eq!(columns(&round_trip(&read_once)), columns(&read_once));
    let world = generate(&Knobs { entities: 150, ..Knobs::default() }, &Silent).unwrap().pair;
    let mut back = round_trip(&world);
    // Freebase-like names are no IRIs; they are escaped, and come back as they were.
    assert!(world.left.entities[0].starts_with("/m/"));
    back.links.sort_unstable();
    assert!(back == world);
}

#[test]
fn a_store_exported_and_read_again_is_the_same_store() {
    let world = generate(&Knobs { entities: 150, ..Knobs::default() }, &Silent).unwrap().pair;
    let read_once = load(&[("a.nt", LEFT.as_bytes()), ("b.ttl", RIGHT.as_bytes())], None).unwrap().pair;
    let folder = tempfile::tempdir().unwrap();
    let stored = |pair: &GraphPair| {
        let path = folder.path().join("pair.parquet");
        store::write(&path, pair, &[]).unwrap();
        Store::open(&path).unwrap().pair().unwrap()
    };
    for pair in [world, read_once] {
        let before = stored(&pair);
        let after = stored(&round_trip(&before));
        assert_eq!(columns(&after), columns(&before));
    }
}

#[test]
fn what_does_not_come_back_is_counted() {
    let mut pair = GraphPair::default();
    let names = |words: &[&str]| words.iter().map(|&word| word.into()).collect::<crate::pair::Names>();
    let triple = |relation, tail| crate::pair::Triple { head: 0, relation, tail };
    let fact =
        |attribute, value: &str, datatype, lang| Fact { entity: 0, attribute, value: value.into(), datatype, lang };
    pair.left = Graph {
        name: "L".into(),
        entities: names(&["http://l.org/a", "http://l.org/b", "http://www.w3.org/2000/01/rdf-schema#Resource"]),
        labels: vec![Some("".into()), None, None],
        relations: names(&[SAME[1], "http://www.w3.org/1999/02/22-rdf-syntax-ns#type", "http://l.org/p"]),
        triples: vec![triple(0, 1), triple(1, 2), triple(1, 1), triple(2, 1), triple(2, 1), triple(2, 1)],
        attributes: names(&["http://xmlns.com/foaf/0.1/name", "http://l.org/q"]),
        facts: vec![
            fact(0, "A", None, None),
            fact(0, "", None, None),
            fact(1, "1", None, Some(0)),
            fact(1, "2", None, Some(1)),
            fact(1, "3", None, Some(2)),
            fact(1, "4", Some(3), None),
            fact(1, "5", Some(4), None),
            fact(1, "6", Some(4), Some(2)),
            fact(1, "6", Some(4), Some(2)),
        ],
        tags: names(&["not a tag", "DE", "de", xsd::STRING.as_str(), xsd::DATE.as_str()]),
    };
    pair.right = Graph { name: "R".into(), entities: names(&["x"]), ..Graph::default() };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("links.nt"), "of an earlier export").unwrap();
    let Exported { left, right, links, lost } = export(&pair, folder.path()).unwrap();
    let counts: Vec<_> = lost.iter().map(|line| line.split_once(' ').unwrap().0).collect();
    assert_eq!(counts, ["3", "2", "1", "1", "5"], "{lost:?}");
    assert!(links.is_none() && !folder.path().join("links.nt").exists());
    let back = read(&Source { left, right, links, use_labels: false }, &Silent).unwrap().pair;
    assert_eq!((back.left.triples.len(), back.left.facts.len()), (pair.left.triples.len() - 2 - 2, 7));
}

#[test]
fn names_that_become_one_are_counted() {
    let names = |names: &[&str]| names.iter().map(|&name| name.into()).collect::<crate::pair::Names>();
    let mut pair = GraphPair::default();
    pair.left.entities = names(&["<http://l.org/x>", "<a b>", "_:b", "a b", "http://l.org/x", "<_:b>", "<<a b>>"]);
    pair.right.entities = names(&["http://l.org/x"]);
    let Exported { lost, .. } = export(&pair, tempfile::tempdir().unwrap().path()).unwrap();
    assert_eq!(lost, ["2 entities whose names differ in angle brackets alone from others', which come back as one"]);
}

#[test]
fn attributes_without_values_stay_attributes_though_they_mean_a_label() {
    let mut pair = GraphPair::default();
    for (graph, name) in [(&mut pair.left, "L"), (&mut pair.right, "R")] {
        graph.name = name.into();
        graph.entities.insert("x".into());
        graph.attributes.insert("http://xmlns.com/foaf/0.1/name".into());
        graph.facts.push(Fact { entity: 0, attribute: 0, value: "".into(), datatype: None, lang: None });
    }
    pair.links.push((0, 0));
    assert_eq!(round_trip(&pair), pair);
}

fn rdf_xml(inside: &str) -> String {
    let spaces = "xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\" xmlns:l=\"http://l.org/\"";
    format!("<rdf:RDF {spaces}>{inside}</rdf:RDF>")
}

fn text(text: &str) -> String {
    rdf_xml(&format!("<rdf:Description rdf:about=\"http://l.org/x\"><l:p>{text}</l:p></rdf:Description>"))
}

fn load_xml(text: &str) -> Result<Loaded, SourceError> {
    load(&[("a.rdf", text.as_bytes()), ("b.ttl", RIGHT.as_bytes())], None)
}

#[test]
fn rdf_xml_is_read_within_bounds() {
    let cut_off = "<rdf:Description rdf:about=\"http://l.org/x\"><l:p>cut off";
    for text in [rdf_xml(&"<l:A><l:p>".repeat(20_000)), rdf_xml(cut_off)] {
        if let Ok(loaded) = load_xml(&text) {
            let bytes: usize = loaded.pair.left.facts.iter().map(|fact| fact.value.len()).sum();
            assert!(bytes < 32 << 20, "{bytes}");
        }
    }
}

#[test]
fn entities_are_written_out() {
    let doctype = "<!DOCTYPE rdf:RDF [<!ENTITY l \"http://l.org/\">]>";
    let pair = load_xml(&format!("{doctype}{}", text("&l;x &amp; &l;y"))).unwrap().pair;
    assert_eq!(&*pair.left.facts[0].value, "http://l.org/x & http://l.org/y");
}

/// Eleven entities of eight of the one before would be 80 GB.
#[test]
fn entities_without_end_are_refused() {
    let entity = |name: u8, value: &str| format!("<!ENTITY {} \"{value}\">", name as char);
    let of_others =
        (b'b'..=b'l').map(|name| entity(name, &format!("&{};", (name - 1) as char).repeat(8))).collect::<String>();
    let bomb = format!("<!DOCTYPE x [{}{of_others}]>", entity(b'a', &"a".repeat(10)));
    let long = format!("<!DOCTYPE x [{}]>", entity(b'a', &"a".repeat(10_000)));
    for (what, text) in [
        ("at the start", format!("{bomb}{}", text("&l;"))),
        ("in lower case", format!("{}{}", bomb.replace("DOCTYPE", "doctype"), text("&l;"))),
        ("after a comment that looks like one", format!("<!-- <!DOCTYPE < > -->{bomb}{}", text("&l;"))),
        ("within the graph", rdf_xml(&format!("{bomb}<l:A/>"))),
        ("one long entity", format!("{long}{}", text("&a;"))),
    ] {
        // The parser reads 8 kB at a time: the bomb may lie across two of them.
        for padding in [0, 8100, 8190] {
            let text = format!("<!--{}-->{text}", " ".repeat(padding));
            let error = load_xml(&text).unwrap_err();
            assert!(matches!(error, SourceError::Doctype { .. }), "{what}, {padding}: {error}");
        }
    }
    let kilobyte = format!("<!DOCTYPE x [{}]>", entity(b'a', &"a".repeat(1000)));
    let error = load_xml(&format!("{kilobyte}{}", text(&"&a;".repeat(20_000)))).unwrap_err();
    assert!(matches!(error, SourceError::LongStatement { .. }), "{error}");
}

/// A name, a text and a comment of RDF/XML and a text of Turtle, compressed: 32 MiB each.
#[test]
fn a_statement_without_end_is_refused() {
    let long = "a".repeat(32 << 20);
    let open = "<rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\" xmlns:l=\"http://l.org/\">\
                <rdf:Description rdf:about=\"http://l.org/";
    for (name, text) in [
        ("b.rdf.gz", format!("{open}{long}")),
        ("b.rdf.gz", format!("{open}x\"><l:p>{long}")),
        ("b.rdf.gz", format!("{open}x\"><!--{long}")),
        ("b.ttl.gz", format!("<http://r.org/a> <http://r.org/b> \"{long}")),
    ] {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(text.as_bytes()).unwrap();
        let error = load(&[("a.nt", LEFT.as_bytes()), (name, &gz.finish().unwrap())], None).unwrap_err();
        assert!(matches!(error, SourceError::LongStatement { .. }), "{name}: {error}");
    }
}

#[test]
fn names_that_are_no_iri_survive() {
    let hard = ["/m/0 1", "a b", "100%", "été<>", "urn:humea:x", "_:not valid!", "\"quoted\"", "", "\n"];
    let mut pair = GraphPair::default();
    let mut entities: Vec<Box<str>> = hard.iter().map(|&name| name.into()).collect();
    entities.sort_unstable();
    pair.left = Graph { name: "L".into(), entities: entities.into_iter().collect(), ..Graph::default() };
    pair.right = Graph { name: "R".into(), entities: ["x".into()].into_iter().collect(), ..Graph::default() };
    pair.links = vec![(0, 0)];
    assert_eq!(round_trip(&pair), pair);
}

#[test]
fn damaged_files_give_errors_and_never_panic() {
    let folder = folder(&[("a.nt", LEFT.as_bytes())]);
    let mut state = 1_u64;
    let mut next = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for round in 0..300 {
        let name = ["b.ttl", "b.nt", "b.rdf"][round % 3];
        let mut bytes = if name == "b.ttl" { RIGHT } else { LEFT }.as_bytes().to_vec();
        for _ in 0..=next(4) {
            let at = next(bytes.len());
            bytes[at] = b"<>\".\\^@ \n\xFF_:a0"[next(14)];
        }
        bytes.truncate(bytes.len() - next(bytes.len() / 2));
        std::fs::write(folder.path().join(name), bytes).unwrap();
        let _ = read(&source(&folder, "a.nt", name, None), &Silent);
    }
}
