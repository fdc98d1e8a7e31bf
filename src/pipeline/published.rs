//! Tests that sweep every file in `pipelines/`.

use std::path::PathBuf;

use super::sweep;
use crate::config::{Config, Layers};
use crate::eval::Ties;
use crate::modality::Modality;

/// The main results of the paper, means of both directions: the file under `pipelines/paper`, H@1, H@10, MRR.
const PUBLISHED: [(&str, [f64; 3]); 12] = [
    ("fb15k_db15k_20", [0.512, 0.764, 0.598]),
    ("fb15k_db15k_50", [0.695, 0.880, 0.763]),
    ("fb15k_db15k_80", [0.809, 0.935, 0.856]),
    ("fb15k_yago15k_20", [0.439, 0.699, 0.528]),
    ("fb15k_yago15k_50", [0.649, 0.847, 0.720]),
    ("fb15k_yago15k_80", [0.774, 0.920, 0.827]),
    ("fb15k_db15k_20_pseudo", [0.679, 0.854, 0.741]),
    ("fb15k_db15k_50_pseudo", [0.740, 0.894, 0.796]),
    ("fb15k_db15k_80_pseudo", [0.836, 0.940, 0.875]),
    ("fb15k_yago15k_20_pseudo", [0.606, 0.794, 0.671]),
    ("fb15k_yago15k_50_pseudo", [0.698, 0.861, 0.755]),
    ("fb15k_yago15k_80_pseudo", [0.779, 0.912, 0.828]),
];

/// A file of `pipelines/paper`, resolved.
fn paper(name: &str) -> Config {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines/paper"));
    Layers::resolved(&root.join(name).with_extension("toml")).unwrap()
}

/// A share as the tables show it: `.512`.
fn short(figure: f64) -> String {
    format!("{figure:.3}").trim_start_matches('0').to_owned()
}

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
fn the_published_runs_are_all_there_with_their_figures() {
    for (name, figures) in PUBLISHED {
        let expected = paper(name).expected;
        let found = [expected.hits_at_1, expected.hits_at_10, expected.mrr];
        assert_eq!(found.map(short), figures.map(short), "{name}");
    }
    let names: Vec<String> =
        files().iter().map(|file| file.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(names.iter().filter(|name| name.starts_with("ablation_")).count(), 8);
    assert_eq!(names.iter().filter(|name| name.starts_with("sweep_")).count(), 4);
}

#[test]
fn the_readme_compares_with_the_published_figures() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    for (row, name) in [
        ("FB15K-DB15K, 20 %", "fb15k_db15k_20"),
        ("FB15K-DB15K, 50 %", "fb15k_db15k_50"),
        ("FB15K-DB15K, 80 %", "fb15k_db15k_80"),
        ("FB15K-YAGO15K, 20 %", "fb15k_yago15k_20"),
    ] {
        let (_, figures) = PUBLISHED.iter().find(|(of, _)| *of == name).unwrap();
        let end = format!("| {} |", figures.map(short).join("/"));
        let line = readme.lines().find(|line| line.starts_with(&format!("| {row} |"))).unwrap();
        assert!(line.ends_with(&end), "{line}: the published figures are {end}");
    }
}

#[test]
fn every_ablation_turns_off_what_its_name_says() {
    let modalities = ["image", "graph", "relation", "relation_text", "attribute", "attribute_text"];
    for (number, name) in (1..).zip(modalities) {
        let ablated = paper(&format!("ablation_{number}_{name}")).model.ablated;
        assert_eq!(ablated.into_iter().map(Modality::name).collect::<Vec<_>>(), [name]);
    }
    let losses = |config: Config| (config.loss.unimodal_alignment, config.loss.unimodal_distillation);
    assert_eq!(losses(paper("ablation_7_unimodal_alignment")), (false, true));
    assert_eq!(losses(paper("ablation_8_unimodal_distillation")), (true, false));
}

#[test]
fn the_paper_pipelines_use_none_of_our_own_options() {
    for file in files().iter().filter(|file| file.parent().is_some_and(|folder| folder.ends_with("paper"))) {
        let config = Layers::resolved(file).unwrap();
        let place = file.display();
        assert!(config.inputs.pad_bags && !config.loss.mask_duplicates && !config.evidence.values, "{place}");
        assert_eq!(config.model.propagation.rounds, 0, "{place}");
        assert!(!config.model.fusion.per_entity && config.evaluate.ties == Ties::Pessimistic, "{place}");
        assert_eq!(config.model.precision, crate::model::Precision::Float32, "{place}");
        assert_eq!(config.loss.decoupled, crate::train::step::DecoupledEntities::All, "{place}");
        assert_eq!((config.model.fusion.top_k, config.train.epochs), (5, 1000), "{place}");
        assert_eq!(config.train.protocol, crate::train::protocol::Protocol::BestOnTest, "{place}");
    }
}
