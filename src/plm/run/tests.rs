//! Whole runs over small stores: what lands in the columns, what is kept, what shards make together.

use std::path::{Path, PathBuf};

use data_process::event::Silent;
use data_process::pair::{Fact, Graph, GraphPair, Triple};
use data_process::{texts, values};
use tch::Device;

use super::*;
use crate::plm::embedder::{Options, Precision};
use crate::plm::parity::{fixture, repository};
use crate::plm::pooling::Pooling;

const TEMPLATE: Template = Template::Sentence;

/// A graph of 30 entities with 7 relations; every third entity has attributes, the last one nothing at all.
fn graph(name: &str) -> Graph {
    let entities = 30_u32;
    let mut graph = Graph { name: name.to_owned(), ..Graph::default() };
    graph.entities = (0..entities).map(|i| format!("{name}/{i}").into()).collect();
    graph.relations = (0..7).map(|i| format!("/people/person/{name}Kind{i}").into()).collect();
    graph.attributes = ["height", "birthDate"].into_iter().map(Into::into).collect();
    for i in 0..entities - 1 {
        graph.triples.push(Triple { head: i, relation: i % 7, tail: (i * 5 + 1) % (entities - 1) });
        if i % 3 == 0 {
            let (value, attribute) = (format!("{}", i % 12).into(), i % 2);
            graph.facts.push(Fact { entity: i, attribute, value, datatype: None, lang: None });
        }
    }
    graph
}

fn pair() -> GraphPair {
    GraphPair { left: graph("left"), right: graph("right"), links: vec![(0, 0)] }
}

fn new_store(folder: &Path) -> PathBuf {
    let path = folder.join("pair.parquet");
    store::write(&path, &pair(), &[]).unwrap();
    path
}

fn bert(options: Options) -> Embedder {
    Embedder::load(&repository(&fixture("bert")), options, Device::Cpu, 2, &Silent).unwrap()
}

fn run(path: &Path, embedder: &mut Embedder, shard: Option<&str>) -> Done {
    embed_texts(path, embedder, TEMPLATE, shard.map(|shard| shard.parse().unwrap()), &Silent).unwrap()
}

/// The rows of a column and their floats.
fn column(path: &Path, name: &str) -> Vec<(u32, Vec<f32>)> {
    let vectors = Store::open(path).unwrap().vectors(name).unwrap();
    let values = vectors.as_slice().unwrap().chunks(vectors.width()).map(<[f32]>::to_vec);
    vectors.rows().iter().copied().zip(values).collect()
}

#[test]
fn entities_get_the_mean_of_their_relations_and_the_vector_of_their_attributes() {
    let folder = tempfile::tempdir().unwrap();
    let path = new_store(folder.path());
    let done = run(&path, &mut Embedder::hashing(2), None);
    assert_eq!(done.columns, [("relation_text", 58), ("attribute_text", 20)]);
    let vector = |text: &str| vectors_of(&mut Embedder::hashing(1), &[text]).unwrap();
    let relation = |i: u32| vector(&texts::relation_text(&format!("/people/person/leftKind{i}"), TEMPLATE));
    let triples = pair().left.triples;
    let of_first: Vec<_> =
        triples.iter().filter(|t| t.head == 0 || t.tail == 0).map(|t| relation(t.relation)).collect();
    let (first, found) = column(&path, "relation_text").swap_remove(0);
    assert_eq!(first, 0);
    for (at, found) in found.iter().enumerate() {
        let mean = of_first.iter().map(|v| f64::from(v[at])).sum::<f64>() / of_first.len() as f64;
        assert!((f64::from(*found) - mean).abs() < 1e-6);
    }
    let height = ("height", "0", values::parse("height", None, "0"));
    let text = texts::attribute_text([height].into_iter(), TEMPLATE).unwrap();
    assert_eq!(column(&path, "attribute_text")[0], (0, vector(&text)));
}

#[test]
fn an_entity_without_triples_or_attributes_has_no_vector() {
    let folder = tempfile::tempdir().unwrap();
    let path = new_store(folder.path());
    run(&path, &mut Embedder::hashing(1), None);
    for name in ["relation_text", "attribute_text"] {
        assert!(column(&path, name).iter().all(|(row, _)| *row != 29 && *row != 59));
    }
}

#[test]
fn the_store_says_where_the_vectors_come_from() {
    let folder = tempfile::tempdir().unwrap();
    let path = new_store(folder.path());
    run(&path, &mut bert(Options { normalize: Some(true), ..Options::default() }), None);
    let opened = Store::open(&path).unwrap();
    let provenance = opened.vector_columns()[0].provenance.clone().unwrap();
    assert!(provenance.model.unwrap().ends_with("bert"));
    assert_eq!(provenance.sha256.map(|hash| hash.len()), Some(64));
    let files = provenance.details["files"].as_object().unwrap();
    assert_eq!(files.keys().collect::<Vec<_>>(), ["config.json", "tokenizer.json"]);
    let config = data_process::digest::sha256(&fixture("bert").join("config.json")).unwrap();
    assert_eq!(files["config.json"], config);
    assert_eq!((provenance.pooling.as_deref(), provenance.template.as_deref()), (Some("cls"), Some("sentence")));
    assert_eq!(provenance.details["normalize"], true);
    assert_eq!(provenance.details["max_length"], 144);
}

#[test]
fn a_second_run_computes_nothing_and_another_option_everything() {
    let folder = tempfile::tempdir().unwrap();
    let path = new_store(folder.path());
    let first = run(&path, &mut bert(Options::default()), None);
    assert_eq!(first.computed, first.texts);
    let before = column(&path, "relation_text");
    assert_eq!(run(&path, &mut bert(Options::default()), None).computed, 0);
    assert_eq!(column(&path, "relation_text"), before);
    for other in [
        Options { pooling: Some(Pooling::Mean), ..Options::default() },
        Options { max_length: Some(6), ..Options::default() },
        Options { layer: Some(1), ..Options::default() },
        Options { precision: Precision::Bf16, ..Options::default() },
    ] {
        assert_eq!(run(&path, &mut bert(other), None).computed, first.texts, "{other:?}");
    }
}

/// A copy of the small BERT.
fn copied() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        std::fs::copy(fixture("bert").join(file), folder.path().join(file)).unwrap();
    }
    folder
}

#[test]
fn a_model_is_told_by_its_files_and_not_by_its_folder() {
    let [folder, model, elsewhere] = [tempfile::tempdir().unwrap(), copied(), copied()];
    let path = new_store(folder.path());
    let run = |model: &Path| {
        let options = Options::default();
        let mut embedder = Embedder::load(&repository(model), options, Device::Cpu, 1, &Silent).unwrap();
        let done = run(&path, &mut embedder, None);
        (done.computed, column(&path, "attribute_text"))
    };
    let (all, first) = run(model.path());
    assert_eq!(run(&model.path().join(".")), (0, first.clone()));
    assert_eq!(run(elsewhere.path()), (0, first.clone()));
    let edits = [
        ("config.json", r#""hidden_act": "gelu""#, r#""hidden_act": "relu""#),
        ("tokenizer.json", r#""lowercase": true"#, r#""lowercase": false"#),
    ];
    for (file, old, new) in edits {
        let text = std::fs::read_to_string(fixture("bert").join(file)).unwrap();
        let edited = text.replace(old, new);
        assert_ne!(edited, text, "{file} holds {old}");
        std::fs::write(model.path().join(file), edited).unwrap();
        assert_eq!(run(model.path()).0, all, "{file}");
        std::fs::write(model.path().join(file), text).unwrap();
        assert_eq!(run(model.path()), (0, first.clone()), "{file} as it was");
    }
}

#[test]
fn another_store_with_the_same_left_graph_computes_only_its_right_one() {
    let folder = tempfile::tempdir().unwrap();
    let first = run(&new_store(folder.path()), &mut bert(Options::default()), None);
    let other = folder.path().join("other.parquet");
    store::write(&other, &GraphPair { right: graph("third"), ..pair() }, &[]).unwrap();
    let second = run(&other, &mut bert(Options::default()), None);
    // Seven relations of the third graph; its attribute texts are those of the first two.
    assert_eq!((second.texts, second.computed), (first.texts, 7));
    let alone = tempfile::tempdir().unwrap();
    let fresh = alone.path().join("other.parquet");
    std::fs::copy(&other, &fresh).unwrap();
    store::drop_vectors(&fresh, "relation_text").unwrap();
    run(&fresh, &mut bert(Options::default()), None);
    assert_eq!(column(&fresh, "relation_text"), column(&other, "relation_text"), "the cache changes no float");
}

#[test]
fn shards_together_are_one_run_whatever_their_number() {
    let folder = tempfile::tempdir().unwrap();
    let whole = new_store(folder.path());
    let small = Options { batch_tokens: Some(40), ..Options::default() };
    run(&whole, &mut bert(small), None);
    // With seventy there are shares without a text, without an entity, or without either.
    for of in [1, 2, 5, 70] {
        let folder = tempfile::tempdir().unwrap();
        let path = new_store(folder.path());
        let part = |i| run(&path, &mut bert(small), Some(&format!("{i}/{of}"))).written;
        let parts: Vec<PathBuf> = (1..=of).map(part).collect();
        store::join_shards(&parts, &path).unwrap();
        for name in ["relation_text", "attribute_text"] {
            assert_eq!(column(&path, name), column(&whole, name), "{of} shards");
        }
        let provenance = |path: &Path| Store::open(path).unwrap().column("relation_text").unwrap().provenance.clone();
        assert_eq!(provenance(&path), provenance(&whole));
        let missing = store::join_shards(&parts[1..], &path);
        assert!(matches!(missing, Err(StoreError::Shards { .. })) || of == 1, "{missing:?}");
    }
}

#[test]
fn shards_of_different_runs_are_not_joined() {
    let folder = tempfile::tempdir().unwrap();
    let path = new_store(folder.path());
    let out = folder.path().join("out.parquet");
    let first = run(&path, &mut Embedder::hashing(1), Some("1/2")).written;
    let other = run(&path, &mut bert(Options::default()), Some("2/2")).written;
    for parts in [vec![first.clone(), other], vec![first.clone(), first], vec![path]] {
        assert!(matches!(store::join_shards(&parts, &out), Err(StoreError::Shards { .. })));
    }
    assert!(!out.exists());
}

#[test]
fn a_store_without_anything_to_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("empty.parquet");
    let bare =
        |name: &str| Graph { name: name.into(), entities: [name.into()].into_iter().collect(), ..Graph::default() };
    store::write(&path, &GraphPair { left: bare("a"), right: bare("b"), links: Vec::new() }, &[]).unwrap();
    let error = embed_texts(&path, &mut Embedder::hashing(1), TEMPLATE, None, &Silent).unwrap_err();
    assert!(matches!(error, RunError::NoTexts(_)), "{error:?}");
}

#[test]
fn vectors_that_are_not_finite_are_refused_with_their_text() {
    let error = check(&[1, 0], &["good", "bad"], &[1.0, f32::NAN, 1.0, 2.0], 2).unwrap_err();
    assert!(matches!(error, RunError::NotFinite { text } if text == "bad"));
}

#[test]
fn every_other_way_to_fail_has_its_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = new_store(folder.path());
    let error = |path: &Path| embed_texts(path, &mut Embedder::hashing(1), TEMPLATE, None, &Silent).unwrap_err();
    assert!(matches!(error(&folder.path().join("nowhere.parquet")), RunError::Store(_)));
    std::fs::write(folder.path().join("embed-text.cache"), "a file where a folder should be").unwrap();
    assert!(matches!(error(&path), RunError::Cache { .. }));
    let crashed = Stopped::Crashed("out of memory".to_owned()).into_error();
    assert!(matches!(&crashed, RunError::Worker(reason) if reason == "out of memory"), "{crashed}");
    assert!(matches!(Stopped::By(RunError::Interrupted).into_error(), RunError::Interrupted));
}

#[test]
fn no_scratch_file_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = new_store(folder.path());
    run(&path, &mut Embedder::hashing(1), None);
    let left = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().contains("scratch")));
}
