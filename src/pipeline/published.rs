//! Tests that sweep every file in `pipelines/`.

use std::path::PathBuf;

use super::sweep;
use crate::config::Layers;

fn files() -> Vec<PathBuf> {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines"));
    let listed = [root.clone(), root.join("paper")].into_iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let mut files: Vec<PathBuf> = listed.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "toml"));
    files.sort();
    files
}

#[test]
fn every_pipeline_file_is_a_configuration_and_every_sweep_expands() {
    for file in files() {
        let config = Layers::resolved(&file).unwrap();
        assert!(config.expected.source.len() > 3, "{}: expected.source", file.display());
        let variants = sweep::variants(&file, &[], &PathBuf::from("runs")).unwrap();
        assert_eq!(variants.len(), config.sweep.values.len().max(1), "{}", file.display());
    }
}

#[test]
fn the_published_runs_are_all_there() {
    let names: Vec<String> =
        files().iter().map(|file| file.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    for pair in ["fb15k_db15k", "fb15k_yago15k"] {
        for rate in [20, 50, 80] {
            for pseudo in ["", "_pseudo"] {
                assert!(names.contains(&format!("{pair}_{rate}{pseudo}")), "{pair} {rate} {pseudo}");
            }
        }
    }
    assert_eq!(names.iter().filter(|name| name.starts_with("ablation_")).count(), 8);
    assert_eq!(names.iter().filter(|name| name.starts_with("sweep_")).count(), 4);
}

#[test]
fn the_paper_pipelines_use_none_of_our_own_options() {
    for file in files().iter().filter(|file| file.parent().is_some_and(|folder| folder.ends_with("paper"))) {
        let config = Layers::resolved(file).unwrap();
        let place = file.display();
        assert!(config.inputs.pad_bags && !config.loss.mask_duplicates && !config.evidence.values, "{place}");
        assert_eq!(config.model.propagation.rounds, 0, "{place}");
        assert_eq!(config.model.precision, crate::model::Precision::Float32, "{place}");
        assert_eq!(config.loss.decoupled, crate::train::step::DecoupledEntities::All, "{place}");
        assert_eq!((config.model.fusion.top_k, config.train.epochs), (5, 1000), "{place}");
        assert_eq!(config.train.protocol, crate::train::protocol::Protocol::BestOnTest, "{place}");
    }
}
