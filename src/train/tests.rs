//! Whole runs on a small pair of graphs grown from one hidden world.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use data_process::event::{Event, Observer, Silent};
use data_process::pair::{Fact, Graph, GraphPair, Triple};
use data_process::store::{self, NewVectors, Provenance};
use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::checkpoint::Checkpoint;
use super::learner::Learner;
use super::predict::{Wish, predict};
use super::run::{Material, Reopened, Summary, train};
use super::run_folder::{self, Existing, RunFolder};
use super::session::Session;
use super::{TrainError, initial, protocol::Protocol};
use crate::align::{Decoding, Wanted};
use crate::model::parameters::ParametersError;
use crate::pipeline::{Config, Layers, stages};
use crate::report::Line;

/// Entities of each graph; the last ones have no link.
const ENTITIES: u32 = 120;
const LINKED: u32 = 100;
const WIDTH: usize = 12;

/// Two graphs that see the same hidden vectors, edges and attributes, each with its own noise.
fn world(shuffled: bool) -> (GraphPair, Vec<f32>) {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let edges: Vec<(u32, u32, u32)> = (0..4 * ENTITIES)
        .map(|_| (random.next_u32() % ENTITIES, random.next_u32() % 6, random.next_u32() % ENTITIES))
        .collect();
    let mut order: Vec<u32> = (0..ENTITIES).collect();
    order.shuffle(&mut random);
    let graph = |name: &str, of: &dyn Fn(u32) -> u32, drop: usize| {
        let triples: BTreeSet<Triple> = edges
            .iter()
            .enumerate()
            .filter(|(at, _)| at % 7 != drop)
            .map(|(_, (head, relation, tail))| Triple { head: of(*head), relation: *relation, tail: of(*tail) })
            .collect();
        let facts = (0..ENTITIES).map(|entity| Fact {
            entity: of(entity),
            attribute: entity % 9,
            value: "x".into(),
            datatype: None,
            lang: None,
        });
        Graph {
            name: name.to_owned(),
            entities: (0..ENTITIES).map(|n| format!("{name}/{n}").into_boxed_str()).collect(),
            relations: (0..6).map(|n| format!("r{n}").into_boxed_str()).collect(),
            triples: triples.into_iter().collect(),
            attributes: (0..9).map(|n| format!("a{n}").into_boxed_str()).collect(),
            facts: facts.collect(),
            ..Graph::default()
        }
    };
    let mut rights: Vec<u32> = (0..LINKED).map(|entity| order[entity as usize]).collect();
    if shuffled {
        rights.shuffle(&mut random);
    }
    let links = (0..LINKED).zip(rights).collect();
    let pair = GraphPair { left: graph("left", &|n| n, 0), right: graph("right", &|n| order[n as usize], 1), links };
    (pair, vectors(&order, &mut random))
}

fn vectors(order: &[u32], random: &mut ChaCha8Rng) -> Vec<f32> {
    let draw = |random: &mut ChaCha8Rng| -> f32 { StandardNormal.sample(random) };
    let hidden: Vec<f32> = (0..ENTITIES as usize * WIDTH).map(|_| draw(random)).collect();
    let mut all = hidden.clone();
    all.resize(2 * hidden.len(), 0.0);
    for (entity, right) in order.iter().enumerate() {
        let at = (ENTITIES + right) as usize * WIDTH;
        all[at..at + WIDTH].copy_from_slice(&hidden[entity * WIDTH..(entity + 1) * WIDTH]);
    }
    for value in &mut all {
        *value += 0.3 * draw(random);
    }
    all
}

/// A store in a folder of its own. Every tenth entity lacks a vector.
fn store(folder: &Path, shuffled: bool) -> PathBuf {
    let (pair, values) = world(shuffled);
    let rows: Vec<u32> = (0..2 * ENTITIES).filter(|row| row % 10 != 3).collect();
    let values: Vec<f32> = rows
        .iter()
        .flat_map(|row| values[*row as usize * WIDTH..(*row as usize + 1) * WIDTH].iter().copied())
        .collect();
    let provenance = Provenance { source: "a hidden world".to_owned(), ..Provenance::default() };
    let image = NewVectors { name: "image", width: WIDTH, rows: &rows, values: &values, provenance: &provenance };
    let path = folder.join("world.parquet");
    store::write(&path, &pair, &[image]).unwrap();
    path
}

fn config(store: &Path, epochs: usize, sets: &[&str]) -> Config {
    let mut all: Vec<String> = [
        "run.device=cpu",
        "model.dim=32",
        "split.rate=0.4",
        "train.batch_size=64",
        "train.lr=0.01",
        "train.evaluate_every=5",
        "train.checkpoint_every=5",
        "train.checkpoint_seconds=0",
        "train.protocol=last",
    ]
    .map(str::to_owned)
    .into();
    all.push(format!("data.store={}", store.display()));
    all.push(format!("train.epochs={epochs}"));
    all.extend(sets.iter().map(|set| (*set).to_owned()));
    Layers::of(None, &all, &[]).unwrap().config().unwrap()
}

fn run(config: &Config, folder: &Path, existing: Existing) -> Result<(RunFolder, Summary), TrainError> {
    train(config, Some(folder), existing, None, &Silent)
}

/// A checkpoint of a run.
fn checkpoint(folder: &Path, name: &str) -> Checkpoint {
    let path = folder.join("checkpoints").join(name).with_extension("safetensors");
    Checkpoint::load(&path, tch::Device::Cpu).unwrap()
}

/// The tensors of the last checkpoint, as bits.
fn bits(folder: &Path) -> Vec<(String, Vec<u32>)> {
    bits_of(checkpoint(folder, "last"))
}

fn bits_of(checkpoint: Checkpoint) -> Vec<(String, Vec<u32>)> {
    let bits = |tensor: tch::Tensor| {
        let flat = tensor.to_kind(tch::Kind::Float).flatten(0, -1);
        Vec::<f32>::try_from(flat).unwrap().into_iter().map(f32::to_bits).collect()
    };
    checkpoint.tensors.into_iter().map(|(name, tensor)| (name, bits(tensor))).collect()
}

#[test]
fn a_run_learns_and_can_be_judged_and_used_from_its_folder_alone() {
    let place = tempfile::tempdir().unwrap();
    let store = store(place.path(), false);
    let folder = place.path().join("run");
    let (_, summary) = run(&config(&store, 40, &[]), &folder, Existing::Refuse).unwrap();
    assert!(summary.last.test.hits_at_1() > 0.6, "{summary:?}");
    for file in
        ["config.toml", "run.json", "metrics.jsonl", "result.json", "report.html", "checkpoints/best.safetensors"]
    {
        assert!(folder.join(file).exists(), "{file}");
    }
    let again = Reopened::open(&folder, None).unwrap().evaluate(&Silent).unwrap();
    assert_eq!((again.best.test, again.last.test), (summary.best.test, summary.last.test));
    let shown = crate::report::folder::describe(&RunFolder::open(&folder).unwrap()).unwrap();
    assert!(shown.contains("40 of 40 epochs") && shown.contains("best.safetensors"), "{shown}");
    let report = std::fs::read_to_string(folder.join("report.html")).unwrap();
    for words in [&shown, &report] {
        assert!(words.contains("best on test (epoch ") && !words.contains("nothing was chosen"), "{words}");
    }
    for name in ["pairs.parquet", "pairs.csv", "pairs.nt"] {
        let wish = Wish { entities: Some(Wanted::Unseen), ..Wish::default() };
        assert!(predict(&folder, None, &place.path().join(name), wish, &Silent).unwrap() > 30, "{name}");
    }
    let unlinked = predict(&folder, None, &place.path().join("u.csv"), Wish::default(), &Silent).unwrap();
    assert!(unlinked > 5 && unlinked <= (ENTITIES - LINKED) as usize, "{unlinked}");
    std::fs::write(folder.join("result.json"), "{").unwrap();
    let damaged = crate::report::folder::describe(&RunFolder::open(&folder).unwrap());
    assert!(matches!(damaged, Err(TrainError::Damaged { .. })), "{damaged:?}");
}

#[test]
fn a_run_that_was_evaluated_on_the_way_is_not_finished() {
    let place = tempfile::tempdir().unwrap();
    let (store, folder) = (store(place.path(), false), place.path().join("run"));
    let config = config(&store, 10, &["train.keep_checkpoints=true"]);
    run(&config, &folder, Existing::Refuse).unwrap();
    assert!(stages::finished(&config, &folder).is_some());
    let described = || crate::report::folder::describe(&RunFolder::open(&folder).unwrap()).unwrap();
    assert!(!described().contains("not finished"));
    // What a kill after epoch 5 leaves, evaluated.
    let checkpoints = folder.join("checkpoints");
    std::fs::copy(checkpoints.join("epoch-00005.safetensors"), checkpoints.join("last.safetensors")).unwrap();
    let summary = Reopened::open(&folder, None).unwrap().evaluate(&Silent).unwrap();
    assert_eq!(summary.last.epochs, 5);
    assert!(stages::finished(&config, &folder).is_none() && described().contains("not finished"));
    run(&config, &folder, Existing::Resume).unwrap();
    assert!(stages::finished(&config, &folder).is_some());
}

#[test]
fn large_products_in_bfloat16_learn_as_well() {
    let place = tempfile::tempdir().unwrap();
    let (store, folder) = (store(place.path(), false), place.path().join("run"));
    let (_, summary) = run(&config(&store, 40, &["model.precision=bf16"]), &folder, Existing::Refuse).unwrap();
    assert!(summary.last.test.hits_at_1() > 0.6, "{summary:?}");
    let again = Reopened::open(&folder, None).unwrap().evaluate(&Silent).unwrap();
    assert_eq!(again.last.test, summary.last.test);
}

#[test]
fn shuffled_links_stay_at_chance() {
    let place = tempfile::tempdir().unwrap();
    let store = store(place.path(), true);
    let (_, summary) = run(&config(&store, 40, &[]), &place.path().join("run"), Existing::Refuse).unwrap();
    assert!(summary.last.test.hits_at_1() < 0.15, "{summary:?}");
}

#[test]
fn the_same_seed_gives_the_same_bits_and_another_does_not() {
    let place = tempfile::tempdir().unwrap();
    let store = store(place.path(), false);
    let of = |name: &str, sets: &[&str]| {
        run(&config(&store, 4, sets), &place.path().join(name), Existing::Refuse).unwrap();
        bits(&place.path().join(name))
    };
    let first = of("a", &[]);
    assert!(first == of("b", &[]));
    assert!(first != of("c", &["run.seed=43"]));
}

#[test]
fn a_run_starts_from_the_parameters_it_is_given() {
    let place = tempfile::tempdir().unwrap();
    let store = store(place.path(), false);
    run(&config(&store, 5, &[]), &place.path().join("taught"), Existing::Refuse).unwrap();
    let taught = Checkpoint::load(&place.path().join("taught/checkpoints/last.safetensors"), tch::Device::Cpu).unwrap();
    let ours: Vec<_> = taught
        .tensors
        .iter()
        .filter_map(|(name, tensor)| Some((name.strip_prefix("model/").or(name.strip_prefix("estimators/"))?, tensor)))
        .map(|(name, tensor)| (name, tensor.detach()))
        .collect();
    let initial = place.path().join("initial.safetensors");
    tch::Tensor::write_safetensors(&ours, &initial).unwrap();
    // Another seed, and steps too small to be seen: what is left is the start.
    let given = |file: &Path| format!("train.initial={}", file.display());
    let start = |from: &Path, name: &str| {
        let still = ["run.seed=9", "train.lr=1e-30", "train.weight_decay=0", &given(from)];
        run(&config(&store, 1, &still), &place.path().join(name), Existing::Refuse).unwrap();
    };
    start(&initial, "still");
    start(&place.path().join("taught/checkpoints/last.safetensors"), "from_checkpoint");
    start(&place.path().join("taught/checkpoints/best.safetensors"), "from_best");
    let parameters = |name: &str| {
        let mut all = bits(&place.path().join(name));
        all.retain(|(name, _)| name.starts_with("model/") || name.starts_with("estimators/"));
        all
    };
    assert!(parameters("still") == parameters("taught"));
    assert!(parameters("from_checkpoint") == parameters("taught"));
    assert!(parameters("from_best") == parameters("taught"));
    let narrow =
        run(&config(&store, 1, &[&given(&initial), "model.dim=16"]), &place.path().join("narrow"), Existing::Refuse);
    assert!(matches!(narrow, Err(TrainError::Parameters(ParametersError::Shape { .. }))));
    assert!(!place.path().join("narrow").exists());
}

#[test]
fn published_parameters_are_known_by_their_names() {
    let path = crate::golden::folder().join("trajectory/initial_parameters.safetensors");
    assert!(initial::read(&path).unwrap().contains_key("graph.embedding"));
    let error = initial::read(Path::new("no/such.safetensors")).unwrap_err();
    assert!(matches!(error, TrainError::Initial { .. }), "{error}");
}

#[test]
fn a_resumed_run_equals_an_uninterrupted_one() {
    let place = tempfile::tempdir().unwrap();
    let store = store(place.path(), false);
    let sets = [
        "pseudo_labels.enabled=true",
        "pseudo_labels.start=4",
        "pseudo_labels.every=2",
        "train.curriculum.replay=corrected",
        "train.curriculum.epochs=[0, 3]",
        "train.curriculum.pairs=[2, 1]",
    ];
    let config = config(&store, 12, &sets);
    let (whole, broken) = (place.path().join("whole"), place.path().join("broken"));
    let (_, undisturbed) = run(&config, &whole, Existing::Refuse).unwrap();
    // A kill leaves the folder as it was at some epoch: the checkpoint of epoch 5, and log lines beyond it.
    let mut keep = config;
    keep.train.keep_checkpoints = true;
    run(&keep, &broken, Existing::Refuse).unwrap();
    let checkpoints = broken.join("checkpoints");
    std::fs::copy(checkpoints.join("epoch-00005.safetensors"), checkpoints.join("last.safetensors")).unwrap();
    std::fs::write(checkpoints.join(".tmpXXXX"), "a checkpoint cut short").unwrap();
    std::fs::remove_file(broken.join("result.json")).unwrap();
    let (_, resumed) = run(&keep, &broken, Existing::Resume).unwrap();
    assert_eq!((resumed.best.test, resumed.last.test), (undisturbed.best.test, undisturbed.last.test));
    assert!(bits(&whole) == bits(&broken));
    let epochs = |folder: &Path| {
        let lines = crate::report::read(&folder.join("metrics.jsonl")).unwrap();
        lines.iter().map(crate::report::Line::epoch).collect::<Vec<_>>()
    };
    assert_eq!(epochs(&whole), epochs(&broken));
}

/// Looks, after each epoch, which epochs' models the folder holds as `best` and `last`; waits after one of them, if asked to.
struct Watch<'a> {
    folder: &'a Path,
    wait: Option<(usize, Duration)>,
    seen: Mutex<Vec<[Option<usize>; 2]>>,
}

impl<'a> Watch<'a> {
    fn over(folder: &'a Path, wait: Option<(usize, Duration)>) -> Self {
        Self { folder, wait, seen: Mutex::default() }
    }

    /// By epochs done.
    fn seen(self) -> Vec<[Option<usize>; 2]> {
        self.seen.into_inner().unwrap()
    }
}

impl Observer for Watch<'_> {
    fn on(&self, event: Event<'_>) {
        let Event::Advanced(_) = event else { return };
        let there = |name: &str| self.folder.join(format!("checkpoints/{name}.safetensors")).exists();
        let held = |name| there(name).then(|| checkpoint(self.folder, name).state.epochs);
        let mut seen = self.seen.lock().unwrap();
        seen.push(["best", "last"].map(held));
        if let Some((_, pause)) = self.wait.filter(|(epoch, _)| seen.len() == epoch + 1) {
            std::thread::sleep(pause);
        }
    }
}

/// A run that is looked at after each epoch, with everything due as often as can be.
fn watched(store: &Path, folder: &Path, seconds: f64, wait: Option<(usize, Duration)>) -> Vec<[Option<usize>; 2]> {
    let seconds = format!("train.checkpoint_seconds={seconds}");
    let config = config(store, 12, &["train.evaluate_every=1", "train.checkpoint_every=1", &seconds]);
    let watch = Watch::over(folder, wait);
    train(&config, Some(folder), Existing::Refuse, None, &watch).unwrap();
    watch.seen()
}

#[test]
fn checkpoints_that_wait_for_their_time_end_as_those_written_at_once() {
    let place = tempfile::tempdir().unwrap();
    let store = store(place.path(), false);
    let [at_once, late] = ["at_once", "late"].map(|name| place.path().join(name));
    let each = watched(&store, &at_once, 0.0, None);
    // The last of all is written once, after everything else.
    assert!(each[..12].iter().enumerate().skip(1).all(|(epochs, [_, last])| *last == Some(epochs)), "{each:?}");
    assert!(each[12][0] > Some(1), "{each:?}");
    // The first is written, whatever comes.
    assert_eq!(watched(&store, &late, 1e9, None)[1..], [[Some(1), None]; 12]);
    for name in ["best", "last"] {
        let [one, other] = [&at_once, &late].map(|folder| checkpoint(folder, name));
        assert_eq!((one.state.epochs, one.state.best), (other.state.epochs, other.state.best), "{name}");
        assert_eq!((&one.training, &one.pseudo), (&other.training, &other.pseudo), "{name}");
        assert!(bits_of(one) == bits_of(other), "{name}");
    }
    let [one, other] = [&at_once, &late].map(|folder| Reopened::open(folder, None).unwrap().evaluate(&Silent).unwrap());
    assert_eq!((one.best.epochs, one.best.test, one.last.test), (other.best.epochs, other.best.test, other.last.test));
}

#[test]
fn a_model_that_is_held_is_written_once_its_time_has_come() {
    let place = tempfile::tempdir().unwrap();
    let store = store(place.path(), false);
    let each = watched(&store, &place.path().join("at_once"), 0.0, None);
    let pause = Duration::from_millis(300);
    let late = watched(&store, &place.path().join("late"), 0.25, Some((7, pause)));
    assert_eq!(late[8], each[8]);
}

#[test]
fn kept_checkpoints_do_not_wait_nor_tell_of_a_best_that_is_not_there() {
    let place = tempfile::tempdir().unwrap();
    let (store, folder) = (store(place.path(), false), place.path().join("run"));
    let sets = [
        "train.evaluate_every=1",
        "train.checkpoint_every=3",
        "train.checkpoint_seconds=1e9",
        "train.keep_checkpoints=true",
    ];
    let watch = Watch::over(&folder, None);
    train(&config(&store, 12, &sets), Some(&folder), Existing::Refuse, None, &watch).unwrap();
    let seen = watch.seen();
    for epochs in [3, 6, 9, 12] {
        let kept = checkpoint(&folder, &format!("epoch-{epochs:05}")).state;
        assert_eq!((kept.epochs, seen[epochs][0]), (epochs, kept.best.map(|best| best.epochs)));
    }
}

#[test]
fn the_best_checkpoint_has_no_moments_and_one_that_has_them_is_taken() {
    let place = tempfile::tempdir().unwrap();
    let (store, folder) = (store(place.path(), false), place.path().join("run"));
    run(&config(&store, 10, &["train.protocol=best_on_test"]), &folder, Existing::Refuse).unwrap();
    let (mut best, last) = (checkpoint(&folder, "best"), checkpoint(&folder, "last"));
    let is_parameter = |name: &String| name.starts_with("model/") || name.starts_with("estimators/");
    assert!(best.tensors.keys().all(is_parameter) && !last.tensors.keys().all(is_parameter));
    assert!(best.tensors.keys().eq(last.tensors.keys().filter(|name| is_parameter(name))));
    // As it was written before, with what a run goes on from.
    let used = || {
        let summary = Reopened::open(&folder, None).unwrap().evaluate(&Silent).unwrap();
        (summary.best.test, predict(&folder, None, &place.path().join("u.csv"), Wish::default(), &Silent).unwrap())
    };
    let new = used();
    best.training = last.training;
    best.tensors.extend(last.tensors.into_iter().filter(|(name, _)| !is_parameter(name)));
    best.save(&folder.join("checkpoints/best.safetensors")).unwrap();
    assert_eq!(used(), new);
}

#[test]
fn a_run_that_was_killed_before_its_first_last_checkpoint_is_judged_by_its_best() {
    let place = tempfile::tempdir().unwrap();
    let (store, folder) = (store(place.path(), false), place.path().join("run"));
    let (_, whole) = run(&config(&store, 5, &[]), &folder, Existing::Refuse).unwrap();
    std::fs::remove_file(folder.join("checkpoints/last.safetensors")).unwrap();
    let judged = Reopened::open(&folder, None).unwrap().evaluate(&Silent).unwrap();
    assert_eq!((judged.best.test, judged.last.test), (whole.best.test, whole.best.test));
}

/// Spoils a model after so many epochs.
struct Spoiler {
    epochs: u64,
    done: Mutex<u64>,
    parameters: Mutex<Vec<tch::Tensor>>,
}

impl Observer for Spoiler {
    fn on(&self, event: Event<'_>) {
        let Event::Advanced(by) = event else { return };
        let mut done = self.done.lock().unwrap();
        *done += by;
        if *done == self.epochs {
            let mut parameters = self.parameters.lock().unwrap();
            tch::no_grad(|| parameters.iter_mut().for_each(|tensor| drop(tensor.fill_(f64::NAN))));
        }
    }
}

#[test]
fn a_loss_that_runs_off_costs_no_best_model() {
    let place = tempfile::tempdir().unwrap();
    let store = store(place.path(), false);
    let (until, spoilt) = (place.path().join("until"), place.path().join("spoilt"));
    run(&config(&store, 7, &["train.evaluate_every=1"]), &until, Existing::Refuse).unwrap();
    std::fs::create_dir_all(spoilt.join("checkpoints")).unwrap();
    std::fs::write(spoilt.join("config.toml"), "").unwrap();
    let folder = RunFolder::open(&spoilt).unwrap();
    let config = config(&store, 20, &["train.evaluate_every=1", "train.checkpoint_seconds=1e9"]);
    let (store, device) = (store::Store::open(&store).unwrap(), tch::Device::Cpu);
    let Material { inputs, links, structure, evidence } = Material::of(&store, &config, None, device, &Silent).unwrap();
    let mut learner = Learner::new(&config, inputs, evidence, device);
    let parameters = learner.parameters().into_values().collect::<Vec<_>>().into();
    let spoiler = Spoiler { epochs: 7, done: Mutex::default(), parameters };
    let session = Session::begin(&config, &folder, &structure, &links, &mut learner, device).unwrap();
    let error = session.run(&spoiler).unwrap_err();
    assert!(matches!(error, TrainError::Diverged { epoch: 8, .. }), "{error}");
    let [kept, best] = [&spoilt, &until].map(|folder| checkpoint(folder, "best"));
    assert!(kept.state.epochs > 1 && kept.state.best == best.state.best, "{:?}", kept.state);
    assert!(bits_of(kept) == bits_of(best));
}

#[test]
fn pseudo_labels_do_not_see_the_test_links() {
    let place = tempfile::tempdir().unwrap();
    let path = store(place.path(), false);
    let sets =
        ["pseudo_labels.enabled=true", "pseudo_labels.start=4", "pseudo_labels.every=2", "train.evaluate_every=100"];
    let of = |store: &Path, name: &str| {
        run(&config(store, 8, &sets), &place.path().join(name), Existing::Refuse).unwrap();
        let last = place.path().join(name).join("checkpoints/last.safetensors");
        Checkpoint::load(&last, tch::Device::Cpu).unwrap().pseudo
    };
    let honest = of(&path, "a");
    // The same store with the test links, and only those, joined to the wrong entities.
    let opened = store::Store::open(&path).unwrap();
    let mut pair = opened.pair().unwrap();
    let split = data_process::split::seeded(
        pair.links.len(),
        42,
        0.4.try_into().unwrap(),
        data_process::split::Share::default(),
    );
    let rights: Vec<u32> = split.test.iter().map(|at| pair.links[*at].1).collect();
    for (at, right) in split.test.iter().zip(rights.iter().cycle().skip(1)) {
        pair.links[*at].1 = *right;
    }
    let vectors = opened.vectors("image").unwrap();
    let provenance = Provenance::default();
    let image = NewVectors {
        name: "image",
        width: vectors.width(),
        rows: vectors.rows(),
        values: vectors.as_slice().unwrap(),
        provenance: &provenance,
    };
    let scrambled = place.path().join("scrambled.parquet");
    store::write(&scrambled, &pair, &[image]).unwrap();
    assert!(!honest.is_empty());
    assert_eq!(honest, of(&scrambled, "b"));
}

#[test]
fn the_validation_protocol_reads_the_test_links_once() {
    let place = tempfile::tempdir().unwrap();
    let store = store(place.path(), false);
    let sets = ["train.protocol=validation", "split.validation=0.25"];
    let folder = place.path().join("run");
    let (run, summary) = run(&config(&store, 10, &sets), &folder, Existing::Refuse).unwrap();
    assert_eq!((summary.protocol, summary.counts.as_str()), (Protocol::Validation, "best"));
    let log = std::fs::read_to_string(run.metrics()).unwrap();
    assert!(log.contains("\"part\":\"validation\"") && !log.contains("\"part\":\"test\""));
}

/// What an observer was told.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Observer for Notes {
    fn on(&self, event: Event<'_>) {
        if let Event::Note(text) = event {
            self.0.lock().unwrap().push(text.to_owned());
        }
    }
}

/// The links of the world's store, as `humea train` takes further ones.
fn write_links(place: &Path, links: &[[u32; 2]]) -> PathBuf {
    let path = place.join("links.tsv");
    let lines = links.iter().map(|[left, right]| format!("{left}\t{right}\n"));
    std::fs::write(&path, lines.collect::<String>()).unwrap();
    path
}

#[test]
fn further_links_that_are_held_out_or_tested_are_told() {
    let place = tempfile::tempdir().unwrap();
    let store = store(place.path(), false);
    let all = store::Store::open(&store).unwrap().structure().unwrap().links;
    let given = format!("split.train_links={}", write_links(place.path(), &all).display());
    let (folder, notes) = (place.path().join("run"), Notes::default());
    let config = config(&store, 1, &["train.protocol=validation", "split.validation=0.25", &given]);
    train(&config, Some(&folder), Existing::Refuse, None, &notes).unwrap();
    let told = notes.0.into_inner().unwrap().join("\n");
    assert!(told.contains("10 of its links are held out") && told.contains("60 of its links are test links"), "{told}");
    let report = std::fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(report.contains("<td>test links that were trained on</td><td>60</td>"), "{report}");
    let log = crate::report::read(&folder.join("metrics.jsonl")).unwrap();
    assert!(matches!(log[0], Line::Epoch { links: 90, .. }), "{log:?}");
}

#[test]
fn a_run_keeps_its_links_whatever_becomes_of_their_file() {
    let place = tempfile::tempdir().unwrap();
    let store = store(place.path(), false);
    let all = store::Store::open(&store).unwrap().structure().unwrap().links;
    let file = write_links(place.path(), &all[..5]);
    let config = config(&store, 6, &[&format!("split.train_links={}", file.display())]);
    let folder = place.path().join("run");
    let (_, summary) = run(&config, &folder, Existing::Refuse).unwrap();
    assert!(stages::finished(&config, &folder).is_some());
    let resumed = || run(&config, &folder, Existing::Resume).map(|(_, summary)| summary.last.test);
    let name = config.folder_name();

    write_links(place.path(), &all);
    assert!(stages::finished(&config, &folder).is_none() && name != config.folder_name());
    assert!(matches!(resumed(), Err(TrainError::OtherFile { key, .. }) if key == "split.train_links"));
    let evaluate = || Reopened::open(&folder, None).unwrap().evaluate(&Silent).unwrap().last.test;
    assert_eq!(evaluate(), summary.last.test);
    let report = std::fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(!report.contains("<td>test links that were trained on</td><td>60</td>"), "{report}");
    std::fs::remove_file(file).unwrap();
    assert_eq!((evaluate(), resumed().unwrap()), (summary.last.test, summary.last.test));
    predict(&folder, None, &place.path().join("pairs.csv"), Wish::default(), &Silent).unwrap();
}

#[test]
fn a_folder_that_is_taken_is_told_before_the_store_is_read() {
    let place = tempfile::tempdir().unwrap();
    let (folder, nowhere) = (place.path().join("run"), config(Path::new("no/such/store"), 1, &[]));
    let refused = |existing| run(&nowhere, &folder, existing).unwrap_err();
    assert!(matches!(refused(Existing::Refuse), TrainError::Store(_)) && !folder.exists());
    let held = run_folder::lock(&folder).unwrap();
    assert!(held.is_none() || matches!(refused(Existing::Replace), TrainError::Busy { .. }));
    drop(held);
    std::fs::write(folder.join("config.toml"), "").unwrap();
    assert!(matches!(refused(Existing::Refuse), TrainError::Exists { .. }));
}

#[test]
fn confidence_is_learnt_with_the_decoding_in_use() {
    let place = tempfile::tempdir().unwrap();
    let store = store(place.path(), false);
    let sets = ["train.protocol=validation", "split.rate=0.8", "split.validation=0.5"];
    let folder = place.path().join("run");
    run(&config(&store, 10, &sets), &folder, Existing::Refuse).unwrap();
    let confidences = |decoding| {
        let (out, wish) = (place.path().join("pairs.csv"), Wish { decoding: Some(decoding), entities: None });
        predict(&folder, None, &out, wish, &Silent).unwrap();
        let rows = csv::Reader::from_path(&out).unwrap().into_records().map(Result::unwrap).collect::<Vec<_>>();
        let row = |row: &csv::StringRecord| ([row[0].to_owned(), row[1].to_owned()], row[5].to_owned());
        rows.iter().map(row).collect::<HashMap<_, _>>()
    };
    let (greedy, mutual) = (confidences(Decoding::Greedy), confidences(Decoding::Mutual));
    // Fewer of the mutual pairs are wrong.
    assert!(mutual.values().all(|likely| !likely.is_empty()), "{mutual:?}");
    assert!(mutual.iter().any(|(pair, likely)| *likely != greedy[pair]), "{greedy:?} {mutual:?}");
}

#[test]
fn another_store_an_absent_model_and_a_diverging_loss_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let path = store(place.path(), false);
    let folder = place.path().join("run");
    for epochs in [1, 40] {
        let wild = run(&config(&path, epochs, &["train.lr=1e30"]), &folder, Existing::Replace).unwrap_err();
        assert!(matches!(wild, TrainError::Diverged { .. }), "{wild}");
    }
    let reopened = Reopened::open(&folder, None).unwrap().evaluate(&Silent);
    assert!(matches!(reopened, Err(TrainError::NoModel { .. })));
    let other = tempfile::tempdir().unwrap();
    let other = store(other.path(), true);
    assert!(matches!(Reopened::open(&folder, Some(&other)), Err(TrainError::OtherStore { .. })));
}
