//! `humea embed-text`: killed and resumed, from the cache of the Hub, and against what it must refuse.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use assert_cmd::assert::OutputAssertExt;
use data_process::pair::{Fact, Graph, GraphPair};
use data_process::store::{self, Store};

fn fixture(model: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/plm").join(model)
}

/// A store whose entities all have an attribute text of their own, so many of each graph.
fn new_store(folder: &Path, entities: u32) -> PathBuf {
    let graph = |name: &str| {
        let mut graph = Graph { name: name.to_owned(), ..Graph::default() };
        for entity in 0..entities {
            graph.entities.insert(format!("{name}/{entity}").into());
            let attribute = graph.attributes.insert_full(format!("{name}Number{entity}").into()).0 as u32;
            graph.facts.push(Fact { entity, attribute, value: "1".into(), datatype: None, lang: None });
        }
        graph
    };
    let path = folder.join("pair.parquet");
    store::write(&path, &GraphPair { left: graph("l"), right: graph("r"), links: vec![(0, 0)] }, &[]).unwrap();
    path
}

fn embed(store: &Path, model: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_humea"));
    command.arg("embed-text").arg("--store").arg(store).args(["--plm", model, "--device", "cpu"]);
    command.env("HF_HUB_OFFLINE", "1").env_remove("HF_TOKEN");
    command
}

fn column(store: &Path) -> Vec<f32> {
    Store::open(store).unwrap().vectors("attribute_text").unwrap().as_slice().unwrap().to_vec()
}

fn finished_files(folder: &Path) -> usize {
    let Ok(keys) = fs::read_dir(folder.join("embed-text.cache")) else { return 0 };
    let files = keys.flatten().flat_map(|key| fs::read_dir(key.path()).into_iter().flatten().flatten());
    files.filter(|file| file.path().extension().is_some_and(|extension| extension == "vec")).count()
}

/// Starts a run over 12,000 texts, stops it by `signal` after its first finished piece and checks that the store is as it
/// was; then that the same command again computes only the rest, and that the column is that of an undisturbed run.
fn stopped_by(signal: &str) -> ExitStatus {
    let (stopped, whole) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let model = fixture("bert");
    let model = model.to_str().unwrap();
    let (store, reference) = (new_store(stopped.path(), 6000), new_store(whole.path(), 6000));
    let slow = ["--batch-tokens", "16"];
    let mut child = embed(&store, model).args(slow).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while finished_files(stopped.path()) == 0 && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    let status = child.wait().unwrap();
    assert!(Store::open(&store).unwrap().vector_columns().is_empty(), "the store is as it was");

    let output = embed(&store, model).args(slow).assert().success().get_output().stdout.clone();
    let said = String::from_utf8(output).unwrap();
    assert!(said.contains("12000 distinct texts") && !said.contains("12000 computed now"), "{said}");
    embed(&reference, model).args(slow).assert().success();
    assert_eq!(column(&store), column(&reference));
    status
}

#[test]
fn a_killed_run_goes_on_where_it_stopped_and_gives_the_same_column() {
    assert_eq!(stopped_by("-KILL").signal(), Some(9));
}

#[test]
fn a_run_stopped_by_ctrl_c_says_so_by_its_code_and_goes_on_where_it_stopped() {
    assert_eq!(stopped_by("-INT").code(), Some(130));
}

#[test]
fn a_repository_in_the_cache_that_python_shares_is_used_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let commit = "1".repeat(40);
    let repository = folder.path().join("hub/models--someone--tiny-bert");
    let snapshot = repository.join("snapshots").join(&commit);
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir_all(repository.join("refs")).unwrap();
    fs::write(repository.join("refs/main"), &commit).unwrap();
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        fs::copy(fixture("bert").join(file), snapshot.join(file)).unwrap();
    }
    let store = new_store(folder.path(), 3);
    let mut embed = embed(&store, "someone/tiny-bert");
    embed.env("HF_HOME", folder.path()).env_remove("HF_HUB_CACHE");
    // Python caches no note of what a model lacks: whether this one is a sentence model is not known.
    let undecided = embed.assert().code(7);
    let said = String::from_utf8(undecided.get_output().stderr.clone()).unwrap();
    assert!(said.contains("--normalize") && said.contains("modules.json"), "{said}");
    embed.args(["--pooling", "cls", "--normalize=false"]).assert().success();
    let opened = Store::open(&store).unwrap();
    let provenance = opened.vector_columns()[0].provenance.clone().unwrap();
    assert_eq!((provenance.model.as_deref(), provenance.revision), (Some("someone/tiny-bert"), Some(commit)));
}

#[test]
fn every_wrong_input_gives_one_clear_error_and_its_code() {
    let folder = tempfile::tempdir().unwrap();
    let store = new_store(folder.path(), 3);
    let hostile = folder.path().join("hostile");
    fs::create_dir(&hostile).unwrap();
    for file in ["config.json", "tokenizer.json"] {
        fs::copy(fixture("bert").join(file), hostile.join(file)).unwrap();
    }
    let evil = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/vectors/evil.bin");
    fs::copy(evil, hostile.join("pytorch_model.bin")).unwrap();
    let (hostile, bert) = (hostile.to_str().unwrap(), fixture("bert"));
    let bert = bert.to_str().unwrap();
    let cases: [(&str, &[&str], i32, &str); 9] = [
        (hostile, &[], 4, "was not run"),
        ("nobody/nothing", &[], 7, "HF_HUB_OFFLINE is set"),
        ("./nowhere", &[], 3, "there is no ./nowhere"),
        (folder.path().to_str().unwrap(), &[], 3, "has no config.json"),
        (bert, &["--layer", "9"], 5, "2 layers"),
        (bert, &["--max-length", "2"], 5, "leaves no room"),
        (bert, &["--max-length", "9999"], 5, "positions for 144"),
        (bert, &["--pooling", "average"], 2, "cls, mean, last or max"),
        (bert, &["--shard", "3/2"], 2, "is not a shard"),
    ];
    for (model, options, code, words) in cases {
        let failed = embed(&store, model).env("HF_HOME", folder.path()).args(options).assert().code(code);
        let said = String::from_utf8(failed.get_output().stderr.clone()).unwrap();
        assert!(said.contains(words), "{model} {options:?}: {said}");
    }
    assert!(Store::open(&store).unwrap().vector_columns().is_empty());
    embed(&folder.path().join("none.parquet"), "hashing").assert().code(3);
}

#[test]
fn shards_are_joined_by_the_command_that_is_named_in_the_help() {
    let folder = tempfile::tempdir().unwrap();
    // A graph with edges: every shard holds relation vectors, whatever share of the attribute texts falls to it.
    let store = folder.path().join("pair.parquet");
    let mut prep = Command::new(env!("CARGO_BIN_EXE_humea"));
    prep.args(["prep", "synthetic", "--entities", "100", "--seed", "1", "--out"]).arg(&store).assert().success();
    for shard in ["1/2", "2/2"] {
        embed(&store, "hashing").args(["--shard", shard]).assert().success();
    }
    let parts = ["pair.shard-1-of-2.parquet", "pair.shard-2-of-2.parquet"].map(|name| folder.path().join(name));
    let mut merge = Command::new(env!("CARGO_BIN_EXE_humea"));
    merge.args(["store", "merge"]).args(parts).arg("--out").arg(&store).assert().success();
    let joined = column(&store);
    embed(&store, "hashing").assert().success();
    assert_eq!(joined, column(&store));
}
