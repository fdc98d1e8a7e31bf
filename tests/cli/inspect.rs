//! `humea inspect --texts`: the same texts for people and, with `--json`, for programs.

use super::stdout;

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
