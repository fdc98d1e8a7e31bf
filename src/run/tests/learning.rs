//! What a run learns, from what, and what its folder is good for.

use std::collections::HashMap;
use std::path::Path;

use data_process::event::Silent;
use data_process::store::{NewVectors, Provenance, Store, write};

use super::{ENTITIES, LINKED, bits, checkpoint, config, run, store};
use crate::align::{Decoding, Wanted};
use crate::model::parameters::ParametersError;
use crate::report::Line;
use crate::run::checkpoint::Checkpoint;
use crate::run::finished::Reopened;
use crate::run::folder::{Existing, RunFolder};
use crate::run::predict::{Wish, predict};
use crate::run::{RunError, initial};
use crate::train::protocol::Protocol;

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
    let shown = crate::run::described::describe(&RunFolder::open(&folder).unwrap()).unwrap();
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
    let damaged = crate::run::described::describe(&RunFolder::open(&folder).unwrap());
    assert!(matches!(damaged, Err(RunError::Damaged { .. })), "{damaged:?}");
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
fn entities_learn_fusion_weights_of_their_own() {
    let place = tempfile::tempdir().unwrap();
    let store = store(place.path(), false);
    let trained = |name: &str, sets: &[&str]| {
        let folder = place.path().join(name);
        let (_, summary) = run(&config(&store, 40, sets), &folder, Existing::Refuse).unwrap();
        (summary.last.test.hits_at_1(), crate::report::read(&folder.join("metrics.jsonl")).unwrap(), folder)
    };
    let soft = "model.fusion.top_k=0";
    let (_, shared, _) = trained("shared", &[soft]);
    let (hits, own, folder) = trained("own", &[soft, "model.fusion.per_entity=true"]);
    assert!(hits > 0.6, "{hits}");
    // Nobody has weights of their own yet.
    let joint = |lines: &[Line]| {
        lines.iter().find_map(|line| match line {
            Line::Epoch { loss, .. } => loss.get("joint").copied(),
            Line::Evaluation { .. } => None,
        })
    };
    let (shared, own) = (joint(&shared).unwrap(), joint(&own).unwrap());
    assert!((shared / own - 1.0).abs() < 1e-5, "{shared}, {own}");
    for part in ["vectors", "lengths"] {
        let learnt = &checkpoint(&folder, "last").tensors[&format!("model/fusion.gate.{part}")];
        assert!(learnt.abs().max().double_value(&[]) > 1e-3, "{part}");
    }
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
    assert!(matches!(narrow, Err(RunError::Parameters(ParametersError::Shape { .. }))));
    assert!(!place.path().join("narrow").exists());
}

#[test]
fn published_parameters_are_known_by_their_names() {
    let path = crate::golden::folder().join("trajectory/initial_parameters.safetensors");
    assert!(initial::read(&path).unwrap().contains_key("graph.embedding"));
    let error = initial::read(Path::new("no/such.safetensors")).unwrap_err();
    assert!(matches!(error, RunError::Initial { .. }), "{error}");
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
    let opened = Store::open(&path).unwrap();
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
    write(&scrambled, &pair, &[image]).unwrap();
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
fn experts_that_are_not_decoupled_cost_nothing_and_report_nothing() {
    let place = tempfile::tempdir().unwrap();
    let path = store(place.path(), false);
    let of = |name: &str, epochs, existing| {
        let folder = place.path().join(name);
        run(&config(&path, epochs, &["loss.lambda_decoupling=0"]), &folder, existing).unwrap();
        folder
    };
    let folder = of("run", 3, Existing::Refuse);
    let log = crate::report::read(&folder.join("metrics.jsonl")).unwrap();
    let Line::Epoch { loss, .. } = &log[0] else { panic!("{log:?}") };
    assert!(loss.contains_key("joint") && !loss.contains_key("decoupling") && !loss.contains_key("estimator"));
    let estimators = |folder: &Path| {
        bits(folder).into_iter().filter(|(name, _)| name.starts_with("estimators/")).collect::<Vec<_>>()
    };
    assert_eq!(estimators(&folder), estimators(&of("other", 5, Existing::Refuse)));
}

#[test]
fn another_store_an_absent_model_and_a_diverging_loss_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let path = store(place.path(), false);
    let folder = place.path().join("run");
    for epochs in [1, 40] {
        let wild = run(&config(&path, epochs, &["train.lr=1e30"]), &folder, Existing::Replace).unwrap_err();
        assert!(matches!(wild, RunError::Diverged { .. }), "{wild}");
        // The estimators' loss is no number any more in the line before.
        crate::report::read(&folder.join("metrics.jsonl")).unwrap();
    }
    let reopened = Reopened::open(&folder, None).unwrap().evaluate(&Silent);
    assert!(matches!(reopened, Err(RunError::NoModel { .. })));
    let other = tempfile::tempdir().unwrap();
    let other = store(other.path(), true);
    assert!(matches!(Reopened::open(&folder, Some(&other)), Err(RunError::OtherStore { .. })));
}
