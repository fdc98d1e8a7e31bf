//! What of a run is kept when, and what goes on from it.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use data_process::event::{Event, Observer, Silent};

use super::{bits, bits_of, checkpoint, config, run, store};
use crate::run::RunError;
use crate::run::checkpoint::{Checkpoint, State};
use crate::run::finished::{self, Reopened};
use crate::run::folder::{Existing, RunFolder};
use crate::run::learner::Learner;
use crate::run::material::Material;
use crate::run::predict::{Wish, predict};
use crate::run::session::Session;
use crate::run::training::train;

#[test]
fn a_run_that_was_evaluated_on_the_way_is_not_finished() {
    let place = tempfile::tempdir().unwrap();
    let (store, folder) = (store(place.path(), false), place.path().join("run"));
    let config = config(&store, 10, &["train.keep_checkpoints=true"]);
    run(&config, &folder, Existing::Refuse).unwrap();
    assert!(finished::summary(&config, &folder).is_some());
    let described = || crate::run::described::describe(&RunFolder::open(&folder).unwrap()).unwrap();
    assert!(!described().contains("not finished"));
    // What a kill after epoch 5 leaves, evaluated.
    let checkpoints = folder.join("checkpoints");
    std::fs::copy(checkpoints.join("epoch-00005.safetensors"), checkpoints.join("last.safetensors")).unwrap();
    let summary = Reopened::open(&folder, None).unwrap().evaluate(&Silent).unwrap();
    assert_eq!(summary.last.epochs, 5);
    assert!(finished::summary(&config, &folder).is_none() && described().contains("not finished"));
    run(&config, &folder, Existing::Resume).unwrap();
    assert!(finished::summary(&config, &folder).is_some());
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
    assert!(matches!(error, RunError::Diverged { epoch: 8, .. }), "{error}");
    let [kept, best] = [&spoilt, &until].map(|folder| checkpoint(folder, "best"));
    assert!(kept.state.epochs > 1 && kept.state.best == best.state.best, "{:?}", kept.state);
    assert!(bits_of(kept) == bits_of(best));
}

#[test]
fn a_checkpoint_that_is_not_there_is_lost_or_yet_to_come() {
    let place = tempfile::tempdir().unwrap();
    let (store, folder) = (store(place.path(), false), place.path().join("run"));
    let (run, _) = run(&config(&store, 10, &[]), &folder, Existing::Refuse).unwrap();
    let refused = || Reopened::open(&folder, None).unwrap().evaluate(&Silent).unwrap_err();
    std::fs::remove_file(run.checkpoint("best")).unwrap();
    assert!(matches!(refused(), RunError::LostModel { .. }));
    std::fs::remove_file(folder.join("result.json")).unwrap();
    assert!(matches!(refused(), RunError::LostModel { .. }), "its last checkpoint is that of the last epoch");
    let early = Checkpoint { state: State { epochs: 3, ..State::default() }, ..checkpoint(&folder, "last") };
    early.save(&run.checkpoint("last")).unwrap();
    assert!(matches!(refused(), RunError::NotEvaluated { .. }));
    std::fs::remove_file(run.checkpoint("last")).unwrap();
    assert!(matches!(refused(), RunError::NoModel { .. }));
}
