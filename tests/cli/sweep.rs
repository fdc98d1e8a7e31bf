//! `humea run` from nothing to its table, and what a `kill -9` leaves behind.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use crate::humea;
use crate::train::send;

/// Three learning rates on a store that `humea run` makes itself; the last one diverges.
const SWEEP: &str = r#"
[run]
device = "cpu"
[data]
store = "tiny.parquet"
prep = ["synthetic", "--entities", "120", "--seed", "5"]
plm = "hashing"
[split]
rate = 0.4
[model]
dim = 8
[train]
epochs = 3
protocol = "last"
evaluate_every = 3
checkpoint_every = 1
checkpoint_seconds = 0
[sweep]
key = "train.lr"
values = [0.001, 0.01, 1e30]
published = [0.5, nan, nan]
"#;

/// A folder with that file.
fn place(sweep: &str) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("sweep.toml"), sweep).unwrap();
    place
}

/// Runs within the folder, one thread each so that parallel tests do not fight; code, standard output, standard error.
fn run(place: &Path, line: &str) -> (Option<i32>, String, String) {
    let mut command = humea(&line.split(' ').collect::<Vec<_>>());
    let output = command.current_dir(place).env("OMP_NUM_THREADS", "1").output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// The run folders in `runs`, by name.
fn folders(place: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(place.join("runs")).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.join("config.toml").exists()).collect();
    folders.sort();
    folders
}

#[test]
fn a_sweep_prepares_trains_survives_a_failure_and_skips_what_is_there() {
    let place = place(SWEEP);
    let place = place.path();
    let (code, plan, _) = run(place, "run sweep.toml --dry-run");
    assert_eq!((code, plan.matches("do     ").count()), (Some(0), 5), "{plan}");
    assert_eq!(fs::read_dir(place).unwrap().count(), 1, "a dry run writes nothing");

    let (code, table, said) = run(place, "run sweep.toml --jobs 2");
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("1 of 3 runs did not finish") && said.contains("training diverged"), "{said}");
    assert_eq!(table.matches("| finished |").count(), 2, "{table}");
    assert!(table.contains("| failed |") && table.contains("| 0.5000 |"), "{table}");
    assert_eq!(fs::read_to_string(place.join("runs/table.md")).unwrap(), table);
    let rows = fs::read_to_string(place.join("runs/table.csv")).unwrap();
    assert!(rows.starts_with("run,state,protocol,hits_at_1") && rows.lines().count() == 4, "{rows}");
    assert!(fs::read(place.join("runs/table.parquet")).unwrap().starts_with(b"PAR1"));
    let logs = fs::read_dir(place.join("runs/logs")).unwrap().map(|log| log.unwrap().path());
    let logs: String = logs.map(|log| fs::read_to_string(log).unwrap()).collect();
    assert!(logs.contains("training diverged") && logs.contains("modality"), "{logs}");

    let written = |place: &Path| -> Vec<(PathBuf, SystemTime)> {
        let results = folders(place).into_iter().map(|folder| folder.join("result.json")).filter(|path| path.exists());
        let all = results.chain([place.join("tiny.parquet")]);
        all.map(|path| (path.clone(), fs::metadata(&path).unwrap().modified().unwrap())).collect()
    };
    let before = written(place);
    let (_, plan, _) = run(place, "run sweep.toml --dry-run");
    assert_eq!((plan.matches("skip   ").count(), plan.matches("do     ").count()), (4, 1), "{plan}");
    let (code, again, _) = run(place, "run sweep.toml");
    assert_eq!((code, &again), (Some(4), &table));
    assert_eq!(written(place), before);
}

#[test]
fn a_sweep_whose_store_cannot_be_made_stops_there_with_the_reason() {
    let place = place(&SWEEP.replace("\"120\"", "\"9\""));
    let (code, table, said) = run(place.path(), "run sweep.toml");
    assert_eq!((code, table.as_str()), (Some(5), ""), "{said}");
    let last = said.lines().last().unwrap();
    assert!(last.starts_with("error: prep failed (exit status: "), "{said}");
    assert!(last.contains("entities") && last.contains("runs/logs/prep-1.log"), "{said}");
    assert!(!said.contains("embed-text") && !said.contains("do     train"), "{said}");
    assert!(folders(place.path()).is_empty() && !place.path().join("runs/table.md").exists());
}

/// The command as a process group of its own, so that its runs die with it.
fn start(place: &Path, line: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_humea"));
    command.args(line.split(' ')).current_dir(place).env("OMP_NUM_THREADS", "1").process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn kill(mut child: Child) {
    let killed = Command::new("kill").args(["-9", "--", &format!("-{}", child.id())]).status().unwrap();
    assert!(killed.success(), "the command was over before it could be killed");
    child.wait().unwrap();
}

/// Waits until something is so.
fn until(so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < Duration::from_mins(2), "nothing happens");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn lines(file: &Path) -> usize {
    fs::read_to_string(file).map_or(0, |text| text.lines().count())
}

/// The figures of a run without its seconds, and the bits of every tensor of its last checkpoint.
fn outcome(folder: &Path) -> (String, Vec<u8>) {
    let result = fs::read_to_string(folder.join("result.json")).unwrap();
    let figures = result.lines().filter(|line| !line.contains("\"seconds\"")).collect();
    let checkpoint = fs::read(folder.join("checkpoints/last.safetensors")).unwrap();
    // The header, whose length comes first, holds the seconds too.
    let header = u64::from_le_bytes(checkpoint[..8].try_into().unwrap()) as usize;
    (figures, checkpoint[8 + header..].to_vec())
}

#[test]
fn a_run_killed_again_and_again_ends_as_if_undisturbed() {
    let longer = SWEEP.replace("epochs = 3", "epochs = 16");
    let place = place(longer.split("[sweep]").next().unwrap());
    let place = place.path();
    assert_eq!(run(place, "prep synthetic --entities 120 --seed 5 --out tiny.parquet").0, Some(0));
    let line = "train --config sweep.toml --run-dir ";
    assert_eq!(run(place, &format!("{line}whole")).0, Some(0));
    let log = place.join("broken/metrics.jsonl");
    for kills in 0..8_u64 {
        let before = lines(&log);
        let child = start(place, &format!("{line}broken --resume"));
        // The log is cut back to the checkpoint at the start and grows after each epoch, just before its checkpoint is
        // written: the kills fall on either side of both.
        until(|| place.join("broken/run.json").exists() && lines(&log) != before);
        std::thread::sleep(Duration::from_micros(kills * 900));
        kill(child);
    }
    assert!(!place.join("broken/result.json").exists(), "the kills came too late to disturb");
    assert_eq!(run(place, &format!("{line}broken --resume")).0, Some(0));
    assert!(outcome(&place.join("whole")) == outcome(&place.join("broken")));
}

#[test]
fn a_killed_sweep_goes_on_and_ends_as_if_undisturbed() {
    let sweep = SWEEP.replace(", 1e30]", "]").replace(", nan, nan]", ", nan]");
    let (whole, broken) = (place(&sweep), place(&sweep));
    assert_eq!(run(whole.path(), "run sweep.toml").0, Some(0));
    let child = start(broken.path(), "run sweep.toml");
    // The first run is finished, the second under way.
    let second = |place: &Path| folders(place).into_iter().find(|folder| folder.to_string_lossy().contains("-0.01-"));
    until(|| {
        broken.path().join("runs").exists()
            && second(broken.path()).is_some_and(|folder| lines(&folder.join("metrics.jsonl")) > 0)
    });
    kill(child);
    assert!(!second(broken.path()).unwrap().join("result.json").exists());
    let (code, _, said) = run(broken.path(), "run sweep.toml");
    assert_eq!(code, Some(0), "{said}");
    for (one, other) in folders(whole.path()).iter().zip(folders(broken.path())) {
        assert_eq!(one.file_name(), other.file_name());
        assert!(outcome(one) == outcome(&other));
    }
}

/// A `humea run` in the middle of a training that does not end by itself, and the training's folder.
fn endless(place: &Path) -> (Child, PathBuf) {
    let child = start(place, "run sweep.toml");
    until(|| {
        place.join("runs").exists() && folders(place).first().is_some_and(|run| lines(&run.join("metrics.jsonl")) > 0)
    });
    (child, folders(place).remove(0))
}

fn endless_sweep() -> tempfile::TempDir {
    place(
        &SWEEP.replace("epochs = 3", "epochs = 1000000").replace("checkpoint_every = 1", "checkpoint_every = 1000000"),
    )
}

/// Whether no process trains in a folder.
fn is_free(run: &Path) -> bool {
    File::open(run).unwrap().try_lock().is_ok()
}

#[test]
fn a_sweep_that_is_asked_to_stop_stops_its_training_where_it_can_go_on() {
    for signal in ["-TERM", "-INT"] {
        let place = endless_sweep();
        let (mut child, run) = endless(place.path());
        assert!(!is_free(&run));
        send(signal, &child);
        assert_eq!(child.wait().unwrap().code(), Some(130), "{signal}");
        assert!(is_free(&run) && run.join("checkpoints/last.safetensors").exists(), "{signal}");
        assert_eq!(folders(place.path()).len(), 1, "no further training is begun");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_sweep_that_is_killed_leaves_no_training_behind() {
    let place = endless_sweep();
    let (mut child, run) = endless(place.path());
    child.kill().unwrap();
    child.wait().unwrap();
    until(|| is_free(&run));
    assert!(run.join("checkpoints/last.safetensors").exists());
}
