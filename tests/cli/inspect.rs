//! `humea inspect --texts`: the same texts for people and, with `--json`, for programs.

use super::{humea, stdout};

/// What a language model reads of the synthetic pair in `store`, as JSON and as people see it.
fn texts(store: &str, template: &str) -> (serde_json::Value, String) {
    let arguments = ["inspect", store, "--texts", "2", "--template", template];
    let json = stdout(&[arguments.as_slice(), &["--json"]].concat());
    (serde_json::from_str(&json).unwrap(), stdout(&arguments))
}

#[test]
fn the_texts_are_those_of_the_template_in_either_form() {
    let place = tempfile::tempdir().unwrap();
    let store = place.path().join("pair.parquet");
    let store = store.to_str().unwrap();
    stdout(&["--quiet", "prep", "synthetic", "--entities", "100", "--out", store]);
    let [published, sentence] = ["published", "sentence"].map(|template| {
        let (json, shown) = texts(store, template);
        assert_eq!(json["template"], template);
        for kind in ["relations", "attributes"] {
            let samples = json[kind].as_array().unwrap();
            assert_eq!(samples.len(), 4, "two of each graph: {json}");
            for sample in samples {
                let [graph, of, text] = ["graph", "of", "text"].map(|key| sample[key].as_str().unwrap());
                assert!(shown.contains(&format!("  {graph} {of}\n    {text}\n")), "{sample} is not in {shown}");
            }
        }
        json
    });
    assert_ne!(published["attributes"], sentence["attributes"]);
}

#[test]
fn a_reader_that_has_seen_enough_ends_it_quietly() {
    let place = tempfile::tempdir().unwrap();
    let store = place.path().join("pair.parquet");
    let store = store.to_str().unwrap();
    stdout(&["--quiet", "prep", "synthetic", "--entities", "100", "--out", store]);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_humea"));
    command
        .args(["inspect", store, "--json"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_flag_that_would_do_nothing_is_refused() {
    for line in [["--texts", "3", "--layout"], ["--json", "--template", "published"]] {
        humea(&[["inspect", "pair.parquet"].as_slice(), &line].concat()).assert().code(2);
    }
    let run = tempfile::tempdir().unwrap();
    std::fs::write(run.path().join("config.toml"), "").unwrap();
    for (line, flag) in [(["--texts", "3"].as_slice(), "--texts"), (&["--layout"], "--layout")] {
        let shown = humea(&[["inspect", run.path().to_str().unwrap()].as_slice(), line].concat()).assert().code(5);
        let said = String::from_utf8_lossy(&shown.get_output().stderr).into_owned();
        assert!(said.contains("is a run folder") && said.contains(flag), "{said}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_under_standard_output_is_code_8_in_one_line() {
    let place = tempfile::tempdir().unwrap();
    let store = place.path().join("pair.parquet");
    let store = store.to_str().unwrap();
    let lines = [
        vec!["--quiet", "prep", "synthetic", "--entities", "100", "--out", store],
        vec!["inspect", store],
        vec!["inspect", store, "--texts", "2"],
        vec!["store", "validate", store],
    ];
    for line in lines {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_humea"));
        let output = command.args(&line).stdout(full).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(8), "{line:?}: {said}");
        assert!(said.starts_with("error: cannot write to standard output: ") && said.lines().count() == 1, "{said}");
    }
}
