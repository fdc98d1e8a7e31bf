//! Whole runs on the toy pair against the recorded trajectory, through the code that training uses.

use std::collections::BTreeSet;
use std::path::Path;

use tch::{Device, Kind, Tensor};

use super::adamw::AdamWConfig;
use super::curriculum::{CurriculumConfig, Replay, TrainingList};
use super::step::{DecoupledEntities, EpochLosses, LossConfig, StepConfig, Trainer};
use crate::eval::{self, Directions, EvalConfig, Ranking};
use crate::golden::{Figures, Runs};
use crate::loss::contrastive::contrastive;
use crate::loss::distillation::Reduction;
use crate::loss::similarity::{Masks, Similarities, normalise};
use crate::modality::{Modality, PerModality};
use crate::model::experts::ExpertsConfig;
use crate::model::features::{Adjacency, BagFeatures, DenseFeatures, Features, ModelInputs};
use crate::model::fusion::{FusionConfig, Ties};
use crate::model::graph_encoder::GraphEncoderConfig;
use crate::model::propagation::PropagationConfig;
use crate::model::{Humea, ModelConfig, Precision, published};
use crate::noise::{self, Purpose, Randomness};

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

    fn links(&self, name: &str) -> Vec<[u32; 2]> {
        let links = self.inputs.get(name);
        (0..links.size()[0]).map(|row| [0, 1].map(|side| links.int64_value(&[row, side]) as u32)).collect()
    }

    fn losses(&self, run: &str, which: &str) -> Vec<f64> {
        serde_json::from_value(self.runs.get(run)[which].clone()).unwrap()
    }

    /// The published curriculum, which ends early where a run was told so.
    fn list(&self, run: &str) -> TrainingList {
        let config = CurriculumConfig {
            replay: Replay::AsPublished,
            epochs: vec![0, 50, 100, 150, 200],
            pairs: vec![5, 4, 3, 2, 1],
            until: 250.min(self.runs.number(run, "--il_start") as u64 + 1),
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
        ModelInputs { entities, adjacency, features }
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

    fn model(&self, run: &str, ablated: BTreeSet<Modality>) -> Humea {
        let top_k = self.runs.number(run, "--topk") as i64;
        let config = ModelConfig {
            dim: self.initial.get("encoder.entity_emb.weight").size()[1],
            precision: Precision::Float32,
            graph: self.graph(),
            experts: self.experts(),
            fusion: FusionConfig { query_dim: self.query_dim(), top_k, ties: Ties::AsPublished, per_entity: false },
            propagation: PropagationConfig { rounds: 0, own: 1.0 },
            ablated,
        };
        let mut model = Humea::new(config, self.model_inputs(), Randomness::Recorded, Device::Cpu);
        let ours = published::rename(self.initial.all(), Path::new("initial_parameters")).unwrap();
        model.parameters.assign(&ours, Path::new("initial_parameters")).unwrap();
        model.estimator_parameters.assign(&ours, Path::new("initial_parameters")).unwrap();
        model
    }

    /// The first recorded metrics, means of both directions, are those of the model as it stands.
    fn compare_metrics(&self, run: &str, trainer: &Trainer) -> Result<(), String> {
        let links = self.links("test_links");
        let ids = [0, 1].map(|side: usize| links.iter().map(|link| i64::from(link[side])).collect::<Vec<_>>());
        let [left, right] = ids.map(|ids| normalise(&trainer.model.joint(&Tensor::from_slice(&ids)).vectors));
        let csls_k = self.runs.number(run, "--csls_k") as usize;
        let config = EvalConfig { csls: true, csls_k, ties: eval::Ties::Pessimistic };
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
            if (f64::midpoint(one, other) - expected).abs() >= 2e-4 {
                return Err(format!("{run}: {one}, {other}, not {expected}"));
            }
        }
        Ok(())
    }

    fn trainer(&self, run: &str) -> Trainer {
        self.decoupling(run, DecoupledEntities::All)
    }

    fn decoupling(&self, run: &str, decoupled: DecoupledEntities) -> Trainer {
        let number = |name: &str| self.runs.number(run, name);
        let ablation = number("--without") as usize;
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
            tau_contrastive: number("--tau_cl"),
            tau_distillation: number("--tau_al"),
            lambda_contrastive: number("--cl_loss"),
            lambda_distillation: number("--al_loss"),
            lambda_decoupling: number("--mi_loss"),
            doubled_distillation_weight: true,
            reduction: if self.runs.argument(run, "--reduction") == "sum" { Reduction::Sum } else { Reduction::Mean },
            mask_duplicates: false,
            decoupled,
            unimodal_alignment: ablation != 7,
            unimodal_distillation: ablation != 8,
        };
        let optimiser =
            AdamWConfig { learning_rate: number("--lr"), weight_decay: 0.01, betas: [0.9, 0.999], epsilon: 1e-8 };
        let config = StepConfig { loss, optimiser, batch_size: number("--bsize") as usize };
        Trainer::new(self.model(run, ablated), config, Randomness::Recorded)
    }
}

fn dense(matrix: &Tensor) -> Features {
    let [rows, width] = matrix.size2().map(|(rows, width)| [rows, width]).unwrap();
    let norms = matrix.norm_scalaropt_dim(2, [1_i64].as_slice(), false);
    Features::Dense(DenseFeatures {
        width,
        present: matrix.shallow_clone(),
        scale: Some(norms.reciprocal()),
        imputed: Tensor::zeros([0, width], (Kind::Float, Device::Cpu)),
        slots: Tensor::arange(rows, (Kind::Int64, Device::Cpu)),
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

/// Compares the epochs that both have.
fn close(run: &str, what: &str, found: &[f64], expected: &[f64], tolerance: f64) -> Result<(), String> {
    for (epoch, (found, expected)) in found.iter().zip(expected).enumerate() {
        let difference = (found - expected).abs() / expected.abs();
        if difference.is_nan() || difference > tolerance {
            return Err(format!("{run}, epoch {epoch}: {what} {found} instead of {expected}"));
        }
    }
    Ok(())
}

/// A recorded run under way.
struct Course<'a> {
    recording: &'a Recording,
    run: &'a str,
    trainer: Trainer,
    list: TrainingList,
    losses: Vec<EpochLosses>,
    /// For each epoch what its rounding errors are drawn with; 0, and nothing, leave them as they are.
    draws: Vec<u64>,
}

impl<'a> Course<'a> {
    fn new(recording: &'a Recording, run: &'a str, draws: Vec<u64>) -> Self {
        let (trainer, list) = (recording.trainer(run), recording.list(run));
        Self { recording, run, trainer, list, losses: Vec::new(), draws }
    }

    /// The run, once it is as `accept` wants it.
    ///
    /// The gradient in the weight of a combination that is not kept, or whose only modality is ablated, is 0 but for
    /// rounding, which `AdamW` scales up to whole steps: which combinations are kept next is chance, in the record too. So
    /// these gradients are rounded otherwise, from shortly before the first difference on, until the course is the recorded
    /// one.
    fn like_recorded(recording: &'a Recording, run: &'a str, accept: impl Fn(&mut Self) -> Result<(), String>) -> Self {
        let (mut reason, mut furthest, mut draws) = (None, 0, Vec::new());
        for attempt in 0..ATTEMPTS {
            let mut course = Self::new(recording, run, draws.clone());
            course.draws.truncate((furthest as u64).saturating_sub(1 + attempt % 3) as usize);
            course.draws.resize(recording.losses(run, "total_loss_per_epoch").len(), attempt);
            match accept(&mut course) {
                Ok(()) => return course,
                Err(other) => reason = reason.or(Some(other)),
            }
            if course.losses.len() >= furthest {
                (furthest, draws) = (course.losses.len(), course.draws);
            }
        }
        panic!("{} (and otherwise after {ATTEMPTS} other roundings)", reason.unwrap());
    }

    /// Takes the last step of the fusion's parameters again, with other rounding errors where the gradient is nothing else:
    /// one for each combination that was `kept`, and one that the others share; in every third draw all share it.
    fn round_otherwise(&self, kept: &Tensor, draw: u64) {
        let epoch = self.losses.len() as u64;
        let mut stream = Randomness::Seeded(draw).stream(Purpose::Gating, None, epoch);
        let combinations = kept.size()[0];
        let drawn = noise::uniform(&mut stream, &[combinations + 1], 1.0);
        let errors = drawn.sign() * (drawn.abs() * 1e3_f64.ln()).exp() * 1e-9;
        let shared = errors.get(combinations);
        let alone = if draw.is_multiple_of(3) { &kept.zeros_like() } else { kept };
        let errors = errors.narrow(0, 0, combinations).where_self(alone, &shared);
        let find = |name: &str| self.trainer.model.parameters.iter().find(|(found, _)| *found == name);
        for name in ["fusion.weight", "fusion.projection.bias"] {
            if let Some((_, parameter)) = find(name) {
                self.step_again(name, parameter, &errors);
            }
        }
        if let Some(((name, weight), (_, query))) = find("fusion.projection.weight").zip(find("fusion.query")) {
            self.step_again(name, weight, &errors.outer(&query.detach()));
        }
    }

    fn step_again(&self, name: &str, parameter: &Tensor, errors: &Tensor) {
        let (steps, state) = (self.losses.len() as i32, self.trainer.optimiser.state());
        let [mut first, mut second] = ["first", "second"].map(|of| state[&format!("{of}.{name}")].shallow_clone());
        let gradient = parameter.grad();
        let wrong = gradient.abs().le_tensor(&(gradient.abs().max() * ROUNDING));
        let change = (errors - &gradient) * &wrong;
        let rate = self.recording.runs.number(self.run, "--lr");
        let step = |first: &Tensor, second: &Tensor| {
            let root = (second / (1.0 - 0.999_f64.powi(steps))).sqrt() + 1e-8;
            first / (1.0 - 0.9_f64.powi(steps)) / root * -rate
        };
        let taken = step(&first, &second);
        second += ((&gradient + &change).square() - gradient.square()) * 1e-3;
        first += change * 0.1;
        let mut parameter = parameter.detach();
        parameter += (step(&first, &second) - taken) * wrong;
    }

    /// Trains one more epoch, unless no more were recorded.
    fn advance(&mut self) {
        let epoch = self.losses.len();
        if epoch < self.expected("total").len() {
            let links = links_of(&self.trainer, &mut self.list, epoch as u64);
            let kept = self.trainer.model.kept();
            self.losses.push(self.trainer.epoch(epoch as u64, &links));
            if self.draws[epoch] > 0 {
                self.round_otherwise(&kept, self.draws[epoch]);
            }
        }
    }

    /// Trains until there are so many epochs, or as many as were recorded.
    fn train(&mut self, epochs: usize) {
        for _ in self.losses.len()..epochs.min(self.expected("total").len()) {
            self.advance();
        }
    }

    /// Compares the losses of the first `epochs` epochs.
    fn compare(&mut self, epochs: usize, tolerance: f64) -> Result<(), String> {
        for epoch in 1..=epochs.min(self.expected("total").len()) {
            self.train(epoch);
            for (what, part) in PARTS {
                let found: Vec<f64> = self.losses.iter().map(part).collect();
                close(self.run, what, &found, &self.expected(what), tolerance)?;
            }
        }
        Ok(())
    }

    fn expected(&self, part: &str) -> Vec<f64> {
        self.recording.losses(self.run, &format!("{part}_loss_per_epoch"))
    }

    /// Goes on to the first epoch whose metrics were recorded, and compares them.
    fn compare_metrics(&mut self) -> Result<(), String> {
        self.train(self.recording.runs.number(self.run, "--check_point") as usize + 1);
        self.recording.compare_metrics(self.run, &self.trainer)
    }

    /// Compares the length of all joint embeddings after the last epoch.
    fn compare_joint(&mut self) -> Result<(), String> {
        self.train(usize::MAX);
        let found = self.trainer.model.joint(&every_entity(&self.trainer)).vectors.norm().double_value(&[]);
        let recorded = self.recording.runs.get(self.run)["joint_norm"].as_f64().unwrap();
        if (found / recorded - 1.0).abs() < 0.01 { Ok(()) } else { Err(format!("joint norm {found}, not {recorded}")) }
    }
}

/// Roundings that are tried: enough for most, and a course that is wrong is told within minutes.
const ATTEMPTS: u64 = 100;

/// A gradient this much smaller than the largest one is a rounding error.
const ROUNDING: f64 = 1e-6;

type Part = fn(&EpochLosses) -> f64;

/// The losses that were recorded.
const PARTS: [(&str, Part); 2] =
    [("total", |loss| loss.total), ("estimator", |loss| loss.estimator.unwrap_or(f64::NAN))];

fn links_of(trainer: &Trainer, list: &mut TrainingList, epoch: u64) -> Vec<[u32; 2]> {
    list.at(epoch, |_| {}, || trainer.model.joint(&every_entity(trainer)).vectors).to_vec()
}

fn every_entity(trainer: &Trainer) -> Tensor {
    Tensor::arange(trainer.model.inputs().entities, (Kind::Int64, Device::Cpu))
}

#[test]
fn golden_first_epoch() {
    let recording = Recording::read();
    let run = recording.runs.base();
    let mut trainer = recording.trainer(run);
    let links = links_of(&trainer, &mut recording.list(run), 0);
    let loss = trainer.epoch(0, &links);
    let expected = recording.losses(run, "total_loss_per_epoch")[0];
    assert!((loss.total / expected - 1.0).abs() < 1e-3, "{loss:?} instead of {expected}");
}

#[test]
fn golden_trajectory() {
    let recording = Recording::read();
    Course::like_recorded(&recording, recording.runs.base(), |course| {
        course.compare(20, 1e-3)?;
        course.compare(usize::MAX, 0.1)?;
        course.compare_joint()
    });
}

#[test]
fn golden_metrics_at_the_first_evaluation() {
    let recording = Recording::read();
    Course::like_recorded(&recording, recording.runs.base(), |course| {
        course.compare(10, 1e-3)?;
        course.compare_metrics()
    });
}

#[test]
fn golden_ablations() {
    let recording = Recording::read();
    let ablations: Vec<_> = recording.runs.ablations().collect();
    assert_eq!(ablations.len(), 8);
    for run in ablations {
        Course::like_recorded(&recording, run, |course| {
            course.compare(10, 1e-3)?;
            // An epoch later, after more chance than elsewhere.
            if recording.runs.argument(run, "--without") == "1" { Ok(()) } else { course.compare_metrics() }
        });
    }
}

/// The joint is concatenated for ranking, but not for the losses.
#[test]
fn an_empty_bag_is_as_little_in_the_losses_as_in_the_joint() {
    let recording = Recording::read();
    let links = recording.links("train_links");
    for entity in links[0] {
        let _ = recording.inputs.get("attribute_bag").get(i64::from(entity)).zero_();
    }
    let run = recording.runs.base();
    let mut trainer = recording.trainer(run);
    let joint = normalise(&trainer.model.joint(&every_entity(&trainer)).vectors);
    let sides = [0, 1].map(|side: usize| {
        let ids: Vec<i64> = links.iter().map(|link| i64::from(link[side])).collect();
        joint.index_select(0, &Tensor::from_slice(&ids)).split(recording.runs.number(run, "--bsize") as i64, 0)
    });
    let mut expected = 0.0;
    for (left, right) in sides[0].iter().zip(&sides[1]) {
        let cosines = Similarities::of_block(&left.unsqueeze(0), &right.unsqueeze(0));
        expected += contrastive(&cosines, &Masks::Own, recording.runs.number(run, "--tau_cl")).0.double_value(&[0]);
    }
    assert!((trainer.epoch(0, &links).joint / expected - 1.0).abs() < 1e-5);
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
