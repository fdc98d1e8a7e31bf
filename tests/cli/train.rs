//! `humea train`: it learns from links that are true and from no others, Ctrl-C costs nothing, and what goes wrong is named.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use assert_cmd::assert::OutputAssertExt;
use data_process::store::{self, NewVectors, Provenance, Store};
use humea::run::checkpoint::Checkpoint;
use humea::run::summary::Summary;
use tch::{Device, Kind, Tensor};
use tempfile::TempDir;

const ENTITIES: &str = "200";

/// A folder with a generated store.
fn place() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    let mut prep = Command::new(env!("CARGO_BIN_EXE_humea"));
    prep.args(["-q", "prep", "synthetic", "--entities", ENTITIES, "--seed", "3", "--image-noise", "0.35", "--out"]);
    prep.arg(store_in(&place)).assert().success();
    place
}

fn store_in(place: &TempDir) -> PathBuf {
    place.path().join("pair.parquet")
}

/// The same graphs and images with the right ends of the links exchanged.
fn shuffled(path: &Path) -> PathBuf {
    let store = Store::open(path).unwrap();
    let mut pair = store.pair().unwrap();
    let rights: Vec<u32> = pair.links.iter().map(|(_, right)| *right).collect();
    for (link, right) in pair.links.iter_mut().zip(rights.iter().cycle().skip(rights.len() / 2)) {
        link.1 = *right;
    }
    let images = store.vectors("image").unwrap();
    let (rows, values) = (images.rows(), images.as_slice().unwrap());
    let image = NewVectors { name: "image", width: images.width(), rows, values, provenance: &Provenance::default() };
    let shuffled = path.with_file_name("shuffled.parquet");
    store::write(&shuffled, &pair, &[image]).unwrap();
    shuffled
}

/// `humea train` on one thread: others would only wait for each other where several tests run at once.
fn train(run: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_humea"));
    command.args(["-q", "train", "--run-dir"]).arg(run).args(arguments).env("OMP_NUM_THREADS", "1");
    command
}

fn train_on(store: &Path, run: &Path, epochs: &str) -> Command {
    let mut command =
        train(run, &["--device", "cpu", "--rate", "0.3", "--set", "train.lr=0.01", "--set", "model.dim=32"]);
    command.args(["--set", "train.protocol=last", "--epochs", epochs, "--store"]).arg(store);
    command
}

fn summary(run: &Path) -> Summary {
    serde_json::from_slice(&fs::read(run.join("result.json")).unwrap()).unwrap()
}

#[test]
fn true_links_are_learnt_and_shuffled_ones_stay_at_chance() {
    let place = place();
    let of = |store: &Path, name: &str| {
        let run = place.path().join(name);
        train_on(store, &run, "20").assert().success();
        summary(&run).last
    };
    let learnt = of(&store_in(&place), "true");
    let (vectors, both) = (learnt.vectors_alone.unwrap().hits_at_1(), learnt.test.hits_at_1());
    assert!(vectors > 0.7 && both > vectors, "{learnt:?}");
    let chance = of(&shuffled(&store_in(&place)), "shuffled").test;
    // One in 126 would be right by chance.
    assert!(chance.hits_at_1() < 0.05 && chance.left_to_right.mrr < 0.12, "{chance:?}");
}

/// The one line a run that had to stop said, once its code is checked.
fn complaint(command: &mut Command, code: i32) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

/// Waits until a run has logged so many lines.
fn wait_for(child: &mut Child, log: &Path, lines: usize) {
    while fs::read_to_string(log).unwrap_or_default().lines().count() < lines {
        assert!(child.try_wait().unwrap().is_none(), "the run ended before it could be interrupted");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn interrupt(child: &Child) {
    send("-INT", child);
}

pub(crate) fn send(signal: &str, child: &Child) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
}

/// Every tensor of a run's last checkpoint, as bits.
fn bits(run: &Path) -> Vec<(String, Vec<u32>)> {
    let checkpoint = Checkpoint::load(&run.join("checkpoints/last.safetensors"), Device::Cpu).unwrap();
    let of = |tensor: Tensor| Vec::<f32>::try_from(tensor.to_kind(Kind::Float).flatten(0, -1)).unwrap();
    let bits = |tensor| of(tensor).into_iter().map(f32::to_bits).collect();
    checkpoint.tensors.into_iter().map(|(name, tensor)| (name, bits(tensor))).collect()
}

#[test]
fn a_run_stopped_by_ctrl_c_goes_on_to_the_very_same_model() {
    let place = place();
    let (store, whole, broken) = (store_in(&place), place.path().join("whole"), place.path().join("broken"));
    train_on(&store, &whole, "60").assert().success();

    let mut child = train_on(&store, &broken, "60").stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    wait_for(&mut child, &broken.join("metrics.jsonl"), 3);
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(
        said.starts_with("error: stopped after epoch ") && said.contains("humea train --resume --run-dir"),
        "{said}"
    );
    let stopped = Checkpoint::load(&broken.join("checkpoints/last.safetensors"), Device::Cpu).unwrap().state.epochs;
    assert!((1..60).contains(&stopped) && !broken.join("result.json").exists(), "stopped after {stopped}");

    train(&broken, &["--resume"]).assert().success();
    let (undisturbed, resumed) = (summary(&whole), summary(&broken));
    assert_eq!((undisturbed.best.test, undisturbed.last.test), (resumed.best.test, resumed.last.test));
    assert!(bits(&whole) == bits(&broken), "the parameters differ");
}

#[test]
fn sigterm_writes_the_best_model_that_waited_for_its_time() {
    let place = place();
    let run = place.path().join("run");
    let mut command = train_on(&store_in(&place), &run, "60");
    command.args(["--set", "train.evaluate_every=1", "--set", "train.checkpoint_seconds=1e9"]);
    let mut child = command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    // A line of each epoch, one of its evaluation.
    wait_for(&mut child, &run.join("metrics.jsonl"), 12);
    let state = |name| {
        let path = run.join("checkpoints").join(name).with_extension("safetensors");
        Checkpoint::load(&path, Device::Cpu).unwrap().state
    };
    assert_eq!(state("best").epochs, 1);
    send("-TERM", &child);
    // A scheduler sends it to every process, and one that waits for another passes it on: still one wish.
    send("-INT", &child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let told = state("last").best.unwrap();
    assert!(told.epochs > 1 && state("best").best == Some(told), "{told:?}");
    assert_eq!(state("best").epochs, told.epochs);
}

#[test]
fn ctrl_c_ends_what_has_nothing_to_keep() {
    let run = tempfile::tempdir().unwrap();
    // A configuration that never comes: the command waits for it until it is stopped.
    let pipe = run.path().join("config.toml");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut evaluate = Command::new(env!("CARGO_BIN_EXE_humea"));
    let mut child = evaluate.args(["evaluate", "--run"]).arg(run.path()).spawn().unwrap();
    let kept_open = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    interrupt(&child);
    let ended = (0..500).find_map(|_| {
        std::thread::sleep(Duration::from_millis(20));
        child.try_wait().unwrap()
    });
    drop(kept_open);
    let code = ended.and_then(|ended| ended.code());
    child.wait().unwrap();
    assert_eq!(code, Some(130));
}

#[test]
fn a_run_goes_on_from_anywhere_and_with_a_store_that_has_moved() {
    let place = place();
    let (here, elsewhere) = (place.path(), tempfile::tempdir().unwrap());
    let run = here.join("run");
    let named = Path::new("pair.parquet");
    train_on(named, Path::new("run"), "3").current_dir(here).assert().success();
    let begun = summary(&run);
    train(&run, &["--resume"]).current_dir(elsewhere.path()).assert().success();
    let moved = elsewhere.path().join("moved.parquet");
    fs::rename(store_in(&place), &moved).unwrap();
    fs::remove_file(run.join("result.json")).unwrap();
    complaint(&mut train(&run, &["--resume"]), 3);
    train(&run, &["--resume", "--store"]).arg(&moved).assert().success();
    assert_eq!(summary(&run).last.test, begun.last.test);
}

#[test]
fn a_full_disk_stops_a_run_with_the_epoch_and_the_last_good_checkpoint() {
    let place = place();
    let (store, run) = (store_in(&place), place.path().join("run"));
    let mut child = train_on(&store, &run, "60").stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    wait_for(&mut child, &run.join("metrics.jsonl"), 3);
    interrupt(&child);
    child.wait().unwrap();
    let kept = bits(&run);
    // No file may grow to the size of a checkpoint; the signal that says so is ignored, which leaves the error of a full disk.
    let mut full = Command::new("sh");
    full.args(["-c", "trap '' XFSZ; ulimit -f 512; exec \"$@\"", "sh"]).env("OMP_NUM_THREADS", "1");
    let resumed = train(&run, &["--resume"]);
    let said = complaint(full.arg(resumed.get_program()).args(resumed.get_args()), 8);
    let last = run.join("checkpoints/last.safetensors").display().to_string();
    assert!(said.contains("(after epoch ") && said.contains(&format!("the last good checkpoint is {last}")), "{said}");
    assert!(kept == bits(&run) && !run.join("result.json").exists());
    train(&run, &["--resume"]).assert().success();
}

#[test]
fn a_loss_that_runs_off_stops_the_run_with_its_epoch_and_modality() {
    let place = place();
    let run = place.path().join("run");
    let said = complaint(train_on(&store_in(&place), &run, "20").args(["--lr", "1e30"]), 4);
    assert!(said.contains("error: epoch ") && said.contains("modality ") && said.contains("lower train.lr"), "{said}");
    assert!(said.contains("there is no checkpoint yet"), "{said}");
}

#[test]
fn a_number_that_is_none_in_a_column_stops_the_run_with_its_modality_and_entity() {
    let place = place();
    let store = Store::open(&store_in(&place)).unwrap();
    let images = store.vectors("image").unwrap();
    let (rows, mut values) = (images.rows(), images.as_slice().unwrap().to_vec());
    let mark = 1234.5_f32;
    values[5 * images.width() + 1] = mark;
    let image =
        NewVectors { name: "image", width: images.width(), rows, values: &values, provenance: &Provenance::default() };
    let bad = place.path().join("bad.parquet");
    store::write(&bad, &store.pair().unwrap(), &[image]).unwrap();
    // No writer of ours takes such a number, so the file is changed.
    let mut bytes = std::fs::read(&bad).unwrap();
    let at = bytes.windows(4).position(|window| window == mark.to_le_bytes()).unwrap();
    bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&bad, bytes).unwrap();
    let run = place.path().join("run");
    let said = complaint(&mut train_on(&bad, &run, "3"), 4);
    let entity = format!("modality image: the vector of entity {} ", rows[5]);
    assert!(said.contains(&entity) && said.contains("not finite"), "{said}");
    assert!(!run.exists());
}
