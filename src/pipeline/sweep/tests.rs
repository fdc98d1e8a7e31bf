use data_process::fault::{Fault, Kind};

use super::*;

/// How a plan ends of which nothing is finished.
fn undone(plan: &Plan, logs: &Path, ended: &Ended) -> Outcome {
    let table = Table(plan.variants.iter().map(row).collect());
    let failures = failures(plan, &table, logs, ended);
    Outcome { table, failures }
}

fn file(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("some.toml");
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_sweep_is_one_run_for_each_value() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "[sweep]\nkey = \"train.lr\"\nvalues = [0.1, 0.2]\npublished = [0.5, nan]\n");
    let variants = variants(&path, &[], Path::new("runs")).unwrap();
    let found: Vec<_> = variants.iter().map(|v| (v.config.run.name.as_str(), v.config.train.lr, v.published)).collect();
    assert_eq!(found[0], ("some-0.1", 0.1, 0.5));
    assert!(found[1].0 == "some-0.2" && found[1].2.is_nan());
    assert_ne!(variants[0].folder, variants[1].folder);
}

#[test]
fn a_value_with_a_path_in_it_names_no_other_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "[sweep]\nkey = \"train.initial\"\nvalues = [\"../a.safetensors\"]\n");
    let variants = variants(&path, &[], Path::new("runs")).unwrap();
    assert_eq!(variants[0].config.run.name, "some-.._a.safetensors");
    assert_eq!(variants[0].folder.parent(), Some(Path::new("runs")));
}

#[test]
fn a_file_that_names_no_store_is_refused_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let refused = plan(&[file(folder.path(), "")], &[], folder.path()).unwrap_err();
    assert!(matches!(refused, SweepError::Config(_)) && refused.to_string().contains("data.store"), "{refused}");
}

#[test]
fn a_sweep_over_an_unknown_key_or_with_uneven_figures_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let of = |text: &str| variants(&file(folder.path(), text), &[], Path::new("runs")).unwrap_err();
    assert!(matches!(of("[sweep]\nkey = \"train.epoch\"\nvalues = [1]\n"), SweepError::Config(_)));
    assert!(matches!(of("[sweep]\nkey = \"train.epochs\"\nvalues = []\n"), SweepError::NoValues { .. }));
    let uneven = of("[sweep]\nkey = \"train.epochs\"\nvalues = [1, 2]\npublished = [0.1]\n");
    assert!(matches!(uneven, SweepError::Published { .. }));
}

#[test]
fn runs_of_one_name_have_logs_of_their_own_and_the_same_run_is_planned_once() {
    let folder = tempfile::tempdir().unwrap();
    let files = ["a", "b"].map(|name| {
        std::fs::create_dir(folder.path().join(name)).unwrap();
        let text = format!("[data]\nstore = \"{name}.parquet\"\nprep = [\"synthetic\"]\n");
        file(&folder.path().join(name), &text)
    });
    let twice = [&files[..], &files[..1]].concat();
    let plan = plan(&twice, &[], folder.path()).unwrap();
    assert_eq!(plan.variants.len(), 2);
    let outcome = undone(&plan, folder.path(), &Ended::new());
    let Err(SweepError::Failed { names, .. }) = outcome.check() else { panic!("nothing was run") };
    for variant in &plan.variants {
        assert_eq!(variant.config.run.name, "some");
        assert!(names.contains(&format!("{}.log", variant.config.folder_name())), "{names}");
    }
}

#[test]
fn what_did_not_finish_is_a_row_and_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let stored = file(folder.path(), "[data]\nstore = \"some.parquet\"\nprep = [\"synthetic\"]\n");
    let plan = plan(&[stored], &[], folder.path()).unwrap();
    let outcome = undone(&plan, folder.path(), &Ended::new());
    assert_eq!(outcome.table.0[0].state, "failed");
    assert!(matches!(outcome.check(), Err(SweepError::Failed { failed: 1, all: 1, .. })));
}

#[test]
fn a_reason_is_the_last_error_of_a_log_or_else_its_last_line() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    for (words, expected) in [
        (
            "a note\nerror: unexpected argument '--x' found\n\nUsage: humea\n\nFor more information, try '--help'.\n",
            "unexpected argument '--x' found",
        ),
        ("a note\nKilled\n\n", "Killed"),
        ("", "it said nothing"),
    ] {
        std::fs::write(&log, words).unwrap();
        assert_eq!(reason(&log), expected);
    }
}

#[test]
fn runs_that_failed_alike_pass_their_code_on() {
    use std::os::unix::process::ExitStatusExt;

    let folder = tempfile::tempdir().unwrap();
    let swept = "[data]\nstore = \"s\"\nprep = [\"synthetic\"]\n[sweep]\nkey = \"train.lr\"\nvalues = [0.1, 0.2]\n";
    let plan = plan(&[file(folder.path(), swept)], &[], folder.path()).unwrap();
    let ended = |codes: [i32; 2]| {
        let folders = plan.variants.iter().map(|variant| variant.folder.clone());
        let ended = folders.zip(codes.map(|code| ExitStatus::from_raw(code << 8))).collect();
        undone(&plan, folder.path(), &ended).check().unwrap_err().code()
    };
    assert_eq!((ended([5, 5]), ended([5, 4]), ended([0, 0])), (Some(5), None, None));
}

#[test]
fn a_store_that_is_not_there_must_be_made() {
    let folder = tempfile::tempdir().unwrap();
    let stored = file(folder.path(), "[data]\nstore = \"no/such.parquet\"\n");
    let refused = plan(&[stored], &[], folder.path()).unwrap_err();
    assert!(matches!(refused, SweepError::NoStore { .. }) && refused.kind() == Kind::Input, "{refused}");
}
