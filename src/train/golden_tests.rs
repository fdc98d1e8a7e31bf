//! Whole runs on the toy pair against the recorded trajectory, through the code that training uses.

use std::collections::BTreeSet;
use std::path::Path;

use tch::{Device, Kind, Tensor};

use super::adamw::AdamWConfig;
use super::curriculum::{CurriculumConfig, Replay, TrainingList};
use super::step::{DecoupledEntities, EpochLosses, LossConfig, StepConfig, Trainer};
use crate::eval::{self, Directions, EvalConfig, Ranking};
use crate::golden::{Figures, Runs};
use crate::loss::distillation::Reduction;
use crate::loss::similarity::normalise;
use crate::modality::{Modality, PerModality};
use crate::model::experts::ExpertsConfig;
use crate::model::features::{Adjacency, BagFeatures, DenseFeatures, Features, ModelInputs};
use crate::model::fusion::{FusionConfig, Ties};
use crate::model::graph_encoder::GraphEncoderConfig;
use crate::model::propagation::PropagationConfig;
use crate::model::{Humea, ModelConfig, Precision, parameters, published};
use crate::noise::Randomness;

/// How the trajectory was recorded, read from its arguments and the shapes of its parameters.
struct Recording {
    inputs: Figures,
    initial: Figures,
    runs: Runs,
}

impl Recording {
    fn read() -> Self {
        let [inputs, initial] =
            ["inputs", "initial_parameters"].map(|name| Figures::read(&format!("trajectory/{name}")));
        Self { inputs, initial, runs: Runs::read() }
    }

    /// An argument that every run was given.
    fn number(&self, name: &str) -> f64 {
        self.runs.argument(self.runs.base(), name).unwrap()
    }

    fn links(&self, name: &str) -> Vec<[u32; 2]> {
        let links = self.inputs.get(name);
        (0..links.size()[0]).map(|row| [0, 1].map(|side| links.int64_value(&[row, side]) as u32)).collect()
    }

    fn losses(&self, run: &str, which: &str) -> Vec<f64> {
        serde_json::from_value(self.runs.get(run)[which].clone()).unwrap()
    }

    /// The published curriculum.
    fn list(&self) -> TrainingList {
        let config = CurriculumConfig {
            replay: Replay::AsPublished,
            epochs: vec![0, 50, 100, 150, 200],
            pairs: vec![5, 4, 3, 2, 1],
            until: 250,
        };
        TrainingList::new(config, self.links("train_links"))
    }

    fn model_inputs(&self) -> ModelInputs {
        let entities = self.inputs.get("image").size()[0];
        let indices = self.inputs.get("adjacency.indices");
        let order = (indices.get(0) * entities + indices.get(1)).argsort(0, false);
        let rows = indices.get(0).index_select(0, &order);
        let bounds = Tensor::arange(entities + 1, (Kind::Int64, Device::Cpu));
        let offsets = bounds.searchsorted::<Tensor>(&rows, false, false, "left", None);
        let adjacency = Adjacency { offsets, targets: indices.get(1).index_select(0, &order) };
        let features = PerModality::from_fn(|modality| match modality {
            Modality::Graph => None,
            Modality::Relation => Some(bag(&self.inputs.get("relation_bag"), self.width("rel_fc"))),
            Modality::Attribute => Some(bag(&self.inputs.get("attribute_bag"), self.width("att_fc"))),
            other => Some(dense(&self.inputs.get(other.name()))),
        });
        ModelInputs {
            entities,
            left: entities / 2, // nothing that is recorded reads it
            adjacency,
            features,
        }
    }

    /// The published bags are padded with zero columns to the width of the weights.
    fn width(&self, adaptor: &str) -> i64 {
        self.initial.get(&format!("encoder.{adaptor}.w_gate")).size()[0]
    }

    fn graph(&self) -> GraphEncoderConfig {
        let weight = |layer: usize| format!("encoder.gph_emb.layer_stack.{layer}.w");
        let layers = (0..usize::MAX).take_while(|layer| self.initial.has(&weight(*layer))).count();
        GraphEncoderConfig { layers, heads: self.initial.get(&weight(0)).size()[0], negative_slope: 0.2 }
    }

    fn experts(&self) -> ExpertsConfig {
        let count = self.initial.get("encoder.img_fc.w_gate").size()[1];
        ExpertsConfig { count, initial_std: 0.02, noise_floor: 0.01 }
    }

    fn query_dim(&self) -> i64 {
        let name = "encoder.joint.combo_gate_query";
        if self.initial.has(name) { self.initial.get(name).size()[0] } else { 0 }
    }

    fn model(&self, ablated: BTreeSet<Modality>) -> Humea {
        let config = ModelConfig {
            dim: self.number("--feat_dim") as i64,
            precision: Precision::Float32,
            graph: self.graph(),
            experts: self.experts(),
            fusion: FusionConfig { query_dim: self.query_dim(), top_k: 5, ties: Ties::AsPublished },
            propagation: PropagationConfig { rounds: 0, own: 1.0 },
            ablated,
        };
        let mut model = Humea::new(config, self.model_inputs(), Randomness::Recorded, Device::Cpu);
        let ours = published::rename(self.initial.all());
        model.parameters.assign(&ours, Path::new("initial_parameters")).unwrap();
        model.estimator_parameters.assign(&ours, Path::new("initial_parameters")).unwrap();
        model
    }

    /// The first recorded metrics, means of both directions, are those of the model as it stands.
    fn assert_metrics(&self, run: &str, trainer: &Trainer) {
        let links = self.links("test_links");
        let ids = [0, 1].map(|side: usize| links.iter().map(|link| i64::from(link[side])).collect::<Vec<_>>());
        let [left, right] = ids.map(|ids| normalise(&trainer.model.joint(&Tensor::from_slice(&ids))));
        let config = EvalConfig { csls: true, csls_k: self.number("--csls_k") as usize, ties: eval::Ties::Pessimistic };
        let ranks = Ranking::new(&left, &right, config).unwrap().ranks(None).unwrap();
        let Directions { left_to_right: one, right_to_left: other } = ranks.figures();
        let found = [
            (one.hits_at_1, other.hits_at_1),
            (one.hits_at_5, other.hits_at_5),
            (one.hits_at_10, other.hits_at_10),
            (one.mr, other.mr),
            (one.mrr, other.mrr),
        ];
        let recorded = &self.runs.get(run)["evaluations"][0];
        let hits = (0..3).map(|at| &recorded["hits@1,5,10"][at]);
        for ((one, other), expected) in found.into_iter().zip(hits.chain([&recorded["mr"], &recorded["mrr"]])) {
            // The record has four decimals.
            let expected = expected.as_f64().unwrap();
            assert!((f64::midpoint(one, other) - expected).abs() < 2e-4, "{run}: {one}, {other}, not {expected}");
        }
    }

    fn trainer(&self, run: &str) -> Trainer {
        self.decoupling(run, DecoupledEntities::All)
    }

    fn decoupling(&self, run: &str, decoupled: DecoupledEntities) -> Trainer {
        let ablation = self.runs.argument(run, "--without").map_or(0, |number| number as usize);
        let zeroed = [
            Modality::Image,
            Modality::Graph,
            Modality::Relation,
            Modality::RelationText,
            Modality::Attribute,
            Modality::AttributeText,
        ];
        let ablated = zeroed.get(ablation.wrapping_sub(1)).copied().into_iter().collect();
        let loss = LossConfig {
            tau_contrastive: self.number("--tau_cl"),
            tau_distillation: self.number("--tau_al"),
            lambda_contrastive: 1.0,
            lambda_distillation: 0.1,
            lambda_decoupling: 1e-4,
            doubled_distillation_weight: true,
            reduction: Reduction::Mean,
            mask_duplicates: false,
            decoupled,
            unimodal_alignment: ablation != 7,
            unimodal_distillation: ablation != 8,
        };
        let optimiser =
            AdamWConfig { learning_rate: self.number("--lr"), weight_decay: 0.01, betas: [0.9, 0.999], epsilon: 1e-8 };
        let config = StepConfig { loss, optimiser, batch_size: self.number("--bsize") as usize };
        Trainer::new(self.model(ablated), config, Randomness::Recorded)
    }
}

fn dense(matrix: &Tensor) -> Features {
    let [rows, width] = matrix.size2().map(|(rows, width)| [rows, width]).unwrap();
    let none = Tensor::zeros([0], (Kind::Int64, Device::Cpu));
    let norms = matrix.norm_scalaropt_dim(2, [1_i64].as_slice(), false);
    Features::Dense(DenseFeatures {
        width,
        present: matrix.shallow_clone(),
        rows: Tensor::arange(rows, (Kind::Int64, Device::Cpu)),
        scale: norms.reciprocal(),
        imputed_rows: none,
        imputed: Tensor::zeros([0, width], (Kind::Float, Device::Cpu)),
        mask: None,
    })
}

fn bag(matrix: &Tensor, width: i64) -> Features {
    let sparse = matrix.to_sparse_csr(None);
    Features::Bag(BagFeatures {
        width,
        offsets: sparse.crow_indices(),
        columns: sparse.col_indices(),
        values: sparse.values(),
    })
}

fn assert_close(run: &str, what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    for (epoch, (found, expected)) in found.iter().zip(expected).enumerate() {
        let difference = (found - expected).abs() / expected.abs();
        assert!(difference <= tolerance, "{run}, epoch {epoch}: {what} {found} instead of {expected}");
    }
}

/// Trains a recorded run for as many epochs as were recorded; the total and the estimator losses.
fn train(recording: &Recording, run: &str) -> (Trainer, Vec<f64>, Vec<f64>) {
    let mut list = recording.list();
    let mut trainer = recording.trainer(run);
    let epochs = recording.losses(run, "total_loss_per_epoch").len() as u64;
    let losses: Vec<_> = (0..epochs).map(|epoch| one_epoch(&mut trainer, &mut list, epoch)).collect();
    let totals = losses.iter().map(|loss| loss.total).collect();
    let estimators = losses.iter().map(|loss| loss.estimator).collect();
    (trainer, totals, estimators)
}

fn one_epoch(trainer: &mut Trainer, list: &mut TrainingList, epoch: u64) -> EpochLosses {
    let joint = || trainer.model.joint(&every_entity(trainer));
    let links = list.at(epoch, joint).to_vec();
    trainer.epoch(epoch, &links)
}

fn every_entity(trainer: &Trainer) -> Tensor {
    Tensor::arange(trainer.model.inputs().entities, (Kind::Int64, Device::Cpu))
}

#[test]
fn golden_first_epoch() {
    let recording = Recording::read();
    let mut trainer = recording.trainer(recording.runs.base());
    let loss = one_epoch(&mut trainer, &mut recording.list(), 0);
    let expected = recording.losses(recording.runs.base(), "total_loss_per_epoch")[0];
    assert!((loss.total / expected - 1.0).abs() < 1e-3, "{loss:?} instead of {expected}");
}

#[test]
fn golden_trajectory() {
    let recording = Recording::read();
    let run = recording.runs.base();
    let (trainer, totals, estimators) = train(&recording, run);
    let expected = recording.losses(run, "total_loss_per_epoch");
    assert_close(run, "total", &totals[..20], &expected[..20], 1e-3);
    assert_close(run, "total", &totals, &expected, 0.1);
    let expected = recording.losses(run, "estimator_loss_per_epoch");
    assert_close(run, "estimator", &estimators[..20], &expected[..20], 1e-3);
    let joint = trainer.model.joint(&every_entity(&trainer));
    let recorded = recording.runs.get(run)["joint_norm"].as_f64().unwrap();
    assert!((joint.norm().double_value(&[]) / recorded - 1.0).abs() < 0.01);
}

#[test]
fn golden_metrics_at_the_first_evaluation() {
    let recording = Recording::read();
    let (mut list, mut trainer) = (recording.list(), recording.trainer(recording.runs.base()));
    for epoch in 0..=recording.number("--check_point") as u64 {
        one_epoch(&mut trainer, &mut list, epoch);
    }
    recording.assert_metrics(recording.runs.base(), &trainer);
}

#[test]
fn golden_ablations() {
    let recording = Recording::read();
    let ablations: Vec<_> = recording.runs.ablations().collect();
    assert_eq!(ablations.len(), 8);
    for run in ablations {
        let (trainer, totals, estimators) = train(&recording, run);
        let expected = |which: &str| recording.losses(run, which)[..10].to_vec();
        assert_close(run, "total", &totals[..10], &expected("total_loss_per_epoch"), 1e-3);
        assert_close(run, "estimator", &estimators[..10], &expected("estimator_loss_per_epoch"), 1e-3);
        // Without images the gradient of some of the fusion's weights is 0 but for rounding, which AdamW scales up to whole
        // steps: which five combinations are kept at last is chance, in the record too.
        if recording.runs.argument(run, "--without") != Some(1.0) {
            recording.assert_metrics(run, &trainer);
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_parameters_bit_for_bit() {
    let recording = Recording::read();
    let links = recording.links("train_links");
    let run = || {
        let mut trainer = recording.trainer(recording.runs.base());
        for epoch in 0..3 {
            trainer.epoch(epoch, &links);
        }
        trainer
    };
    let (first, second) = (run(), run());
    for ((name, one), (_, other)) in first.model.parameters.iter().zip(second.model.parameters.iter()) {
        assert_eq!(one.detach(), other.detach(), "{name}");
    }
    // `parameters` writes what it reads, so that a checkpoint is the model.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    parameters::write(first.model.parameters.iter(), &path).unwrap();
    let mut other = recording.model(BTreeSet::new());
    other.parameters.assign(&parameters::read(&path).unwrap(), &path).unwrap();
}

#[test]
fn outputs_kept_for_the_next_epoch_are_those_it_would_compute() {
    let recording = Recording::read();
    let links = recording.links("train_links");
    let fewer = &links[..links.len() / 2];
    let run = |decoupled, forget: bool| {
        let mut trainer = recording.decoupling(recording.runs.base(), decoupled);
        let epochs = [&links[..], &links[..], fewer, fewer].into_iter().zip(0..).map(|(links, epoch)| {
            if forget {
                trainer.forget();
            }
            trainer.epoch(epoch, links)
        });
        epochs.collect::<Vec<_>>()
    };
    for decoupled in [DecoupledEntities::All, DecoupledEntities::Batch] {
        assert_eq!(run(decoupled, true), run(decoupled, false), "{decoupled:?}");
    }
}
