//! One epoch: every block of the training list, one backward pass, one step of each optimiser.
//!
//! The losses of a block are run backwards at once, into the gradient of the normalised embeddings; only then are the
//! layers below run backwards, once. So memory holds one block, whatever the number of blocks.

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::adamw::{AdamW, AdamWConfig};
use crate::loss::contrastive::contrastive;
use crate::loss::distillation::{Reduction, distillation};
use crate::loss::similarity::{Masks, Similarities, normalise};
use crate::loss::uncertainty::weigh;
use crate::modality::{Modality, PerModality};
use crate::model::Humea;
use crate::model::experts::Rows;
use crate::noise::{Purpose, Randomness};

/// Which entities the decoupling loss is taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecoupledEntities {
    /// All entities of both graphs, as published.
    All,
    /// The entities of the training list.
    Batch,
}

/// Weights, temperatures and variants of the losses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "four independent switches of the published program")]
pub struct LossConfig {
    /// Temperature of the contrastive loss.
    pub tau_contrastive: f64,
    /// Temperature of the distillation.
    pub tau_distillation: f64,
    /// Weight of the unimodal alignment.
    pub lambda_contrastive: f64,
    /// Weight of the unimodal distillation.
    pub lambda_distillation: f64,
    /// Weight of the expert decoupling.
    pub lambda_decoupling: f64,
    /// Whether the weight of the distillation enters twice, as published.
    pub doubled_distillation_weight: bool,
    /// How the distillation's divergences are reduced.
    pub reduction: Reduction,
    /// Whether an entity that occurs twice in a block is masked as a negative of itself.
    pub mask_duplicates: bool,
    /// Entities of the decoupling loss.
    pub decoupled: DecoupledEntities,
    /// Whether each modality is aligned on its own.
    pub unimodal_alignment: bool,
    /// Whether each modality is distilled from the joint.
    pub unimodal_distillation: bool,
}

/// What a step needs beside the model.
#[derive(Clone, Debug, PartialEq)]
pub struct StepConfig {
    /// The losses.
    pub loss: LossConfig,
    /// The main optimiser; the estimators' own has the same settings.
    pub optimiser: AdamWConfig,
    /// Pairs in a block, B.
    pub batch_size: usize,
}

/// The losses of one epoch, summed over its blocks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochLosses {
    /// What was minimised.
    pub total: f64,
    /// The contrastive loss of the joint embedding.
    pub joint: f64,
    /// The contrastive loss of each modality, unweighted.
    pub contrastive: PerModality<Option<f64>>,
    /// The divergence of each modality from the joint, unweighted.
    pub distillation: PerModality<Option<f64>>,
    /// The bound on the mutual information of two experts, mean over the modalities, unweighted.
    pub decoupling: f64,
    /// The loss of the estimators' own step.
    pub estimator: f64,
}

impl EpochLosses {
    /// The first part that is not a finite number: a modality, or `None` for the loss as a whole.
    pub fn diverged(&self) -> Option<Option<Modality>> {
        let bad = |value: &Option<f64>| value.is_some_and(|v| !v.is_finite());
        let parts = self.contrastive.iter().chain(self.distillation.iter());
        let culprit = parts.into_iter().find(|(_, value)| bad(value)).map(|(modality, _)| modality);
        if culprit.is_some() || !self.total.is_finite() { Some(culprit) } else { None }
    }
}

/// The training list's entities, gathered once for as long as the list keeps its entities.
#[derive(Debug)]
struct Gathered {
    entities: Vec<u32>,
    /// `[n]`, int64.
    ids: Tensor,
    rows: PerModality<Option<Rows>>,
    /// `[M, n]`.
    presence: Tensor,
}

/// Model, optimisers and what is kept between epochs.
#[derive(Debug)]
pub struct Trainer {
    /// The model being trained.
    pub model: Humea,
    /// The optimiser of the model.
    pub optimiser: AdamW,
    /// The optimiser of the estimators.
    pub estimator_optimiser: AdamW,
    config: StepConfig,
    randomness: Randomness,
    every: PerModality<Option<Rows>>,
    gathered: Option<Gathered>,
    ahead: PerModality<Option<Ahead>>,
}

/// Numbers of two experts.
type Pair = (i64, i64);

/// Outputs of two experts for every entity, computed for the estimators' step of one epoch and read again by the next:
/// nothing changes the parameters in between.
#[derive(Debug)]
struct Ahead {
    epoch: u64,
    pair: Pair,
    /// `[n, 2·D]`.
    outputs: Tensor,
}

/// The leaves between the losses and the layers below.
struct Leaves {
    /// Normalised embeddings `[M, n, D]` with the layers behind them, and the same as a leaf.
    z: [Tensor; 2],
    /// Fusion weights `[M]`, likewise.
    weights: [Tensor; 2],
}

/// Running sums of an epoch, on the device.
struct Sums {
    total: Tensor,
    joint: Tensor,
    contrastive: Tensor,
    distillation: Tensor,
}

impl Trainer {
    /// A trainer that has not stepped yet.
    pub fn new(model: Humea, config: StepConfig, randomness: Randomness) -> Self {
        let every = model.select_every();
        let (optimiser, estimator_optimiser) = (AdamW::new(config.optimiser), AdamW::new(config.optimiser));
        let ahead = PerModality::from_fn(|_| None);
        Self { model, optimiser, estimator_optimiser, config, randomness, every, gathered: None, ahead }
    }

    /// Must be called after the model's parameters were overwritten, by a checkpoint for instance: what was computed
    /// from the old ones is forgotten.
    pub fn forget(&mut self) {
        self.ahead = PerModality::from_fn(|_| None);
    }

    /// One epoch over `links`, in their order, in blocks.
    pub fn epoch(&mut self, epoch: u64, links: &[[u32; 2]]) -> EpochLosses {
        self.model.parameters.zero_grad();
        let gathered = self.gather(links);
        let (graph, graph_state) = self.model.graph_forward();
        let graph = graph.set_requires_grad(true);
        let leaves = self.forward(epoch, &graph, &gathered);
        let sums = self.blocks(links, &gathered, &leaves);
        leaves.pull();
        if graph.grad().defined() {
            self.model.graph_backward(&graph.grad(), &graph_state);
        }
        let decoupling = self.decouple(epoch, &gathered);
        self.optimiser.step(&self.model.parameters);
        let estimator = self.step_estimators(epoch, &gathered);
        self.gathered = Some(gathered);
        self.report(&sums, &decoupling, &estimator)
    }

    fn device(&self) -> Device {
        self.model.inputs().adjacency.offsets.device()
    }

    fn gather(&mut self, links: &[[u32; 2]]) -> Gathered {
        let mut entities: Vec<u32> = links.iter().flatten().copied().collect();
        entities.sort_unstable();
        entities.dedup();
        match self.gathered.take() {
            Some(kept) if kept.entities == entities => kept,
            _ => {
                let ids: Vec<i64> = entities.iter().map(|id| i64::from(*id)).collect();
                let ids = Tensor::from_slice(&ids).to_device(self.device());
                let rows = self.model.select(&ids);
                let presence = self.model.presence(&ids);
                Gathered { entities, ids, rows, presence }
            }
        }
    }

    fn forward(&self, epoch: u64, graph: &Tensor, gathered: &Gathered) -> Leaves {
        let z: Vec<Tensor> = self
            .model
            .modalities()
            .iter()
            .map(|modality| normalise(&self.embed(*modality, epoch, graph, gathered)))
            .collect();
        let z = Tensor::stack(&z, 0);
        let weights = self.model.weights();
        Leaves { z: [z.shallow_clone(), leaf(&z)], weights: [weights.shallow_clone(), leaf(&weights)] }
    }

    fn embed(&self, modality: Modality, epoch: u64, graph: &Tensor, gathered: &Gathered) -> Tensor {
        let count = gathered.entities.len() as i64;
        let Some(rows) = &gathered.rows[modality] else {
            let zeros = self.model.is_ablated(modality);
            return if zeros { self.model.zeros(count) } else { graph.index_select(0, &gathered.ids) };
        };
        let experts = self.model.decoupled(modality).map_or(0, |(experts, _)| experts.count());
        let noise = self.randomness.gating(modality, epoch, [count, experts], self.device());
        self.model.embed(modality, rows, noise.as_ref(), count).unwrap_or_else(|| self.model.zeros(count))
    }

    /// Runs every block forwards and backwards into the leaves.
    fn blocks(&self, links: &[[u32; 2]], gathered: &Gathered, leaves: &Leaves) -> Sums {
        let count = self.model.modalities().len() as i64;
        let zeros = |shape: &[i64]| Tensor::zeros(shape, (Kind::Float, self.device()));
        let mut sums =
            Sums { total: zeros(&[]), joint: zeros(&[]), contrastive: zeros(&[count]), distillation: zeros(&[count]) };
        for block in links.chunks(self.config.batch_size) {
            self.block(block, gathered, leaves, &mut sums);
        }
        sums
    }

    fn block(&self, links: &[[u32; 2]], gathered: &Gathered, leaves: &Leaves, sums: &mut Sums) {
        let [left, right] = [0, 1].map(|side: usize| self.positions(links, side, gathered));
        let masks = if self.config.loss.mask_duplicates {
            Masks::duplicates(&left, &right)
        } else {
            Masks::identity(links.len() as i64, self.device())
        };
        let cosines = Similarities::of_block(&leaves.z[1], &left, &right);
        let weights = &leaves.weights[1];
        let [left_norm, right_norm] = [&left, &right].map(|at| joint_norm(weights, &gathered.presence, at));
        let joint = cosines.joint(weights, &left_norm, &right_norm);
        let joint_loss = contrastive(&joint, &masks, self.config.loss.tau_contrastive).sum(Kind::Float);
        let mut loss = joint_loss.shallow_clone();
        if self.config.loss.unimodal_alignment {
            loss += self.alignment(&cosines, &masks, &mut sums.contrastive);
        }
        if self.config.loss.unimodal_distillation {
            loss += self.distil(&cosines, &joint, &masks, &mut sums.distillation);
        }
        loss.backward();
        sums.total += loss.detach();
        sums.joint += joint_loss.detach();
    }

    fn alignment(&self, cosines: &Similarities, masks: &Masks, sum: &mut Tensor) -> Tensor {
        let loss = &self.config.loss;
        let losses = contrastive(cosines, masks, loss.tau_contrastive);
        *sum += losses.detach();
        weigh(&losses, &self.model.uncertainties[0]) * loss.lambda_contrastive
    }

    fn distil(&self, cosines: &Similarities, joint: &Similarities, masks: &Masks, sum: &mut Tensor) -> Tensor {
        let loss = &self.config.loss;
        let losses = distillation(cosines, joint, masks, loss.tau_distillation, loss.reduction);
        *sum += losses.detach();
        let inner = if loss.doubled_distillation_weight { loss.lambda_distillation } else { 1.0 };
        weigh(&(losses * inner), &self.model.uncertainties[1]) * loss.lambda_distillation
    }

    /// Rows of one side's entities among the gathered ones, `[B]`.
    fn positions(&self, links: &[[u32; 2]], side: usize, gathered: &Gathered) -> Tensor {
        let at = |link: &[u32; 2]| gathered.entities.binary_search(&link[side]).unwrap_or_default() as i64;
        Tensor::from_slice(&links.iter().map(at).collect::<Vec<_>>()).to_device(self.device())
    }

    /// The decoupling loss of every modality with experts, run backwards; the mean of the bounds.
    fn decouple(&mut self, epoch: u64, gathered: &Gathered) -> Tensor {
        let mut sum = Tensor::zeros([0_i64; 0], (Kind::Float, self.device()));
        let with_experts: Vec<_> = self.with_experts().collect();
        for modality in &with_experts {
            let kept = self.ahead[*modality].take().filter(|ahead| ahead.epoch == epoch);
            let kept = kept.map(|ahead| (ahead.pair, ahead.outputs));
            let Some((pair, outputs)) = kept.or_else(|| self.expert_outputs(*modality, epoch, gathered)) else {
                continue;
            };
            sum += self.decouple_one(*modality, epoch, gathered, (pair, outputs), with_experts.len() as f64);
        }
        sum
    }

    fn decouple_one(
        &self,
        modality: Modality,
        epoch: u64,
        gathered: &Gathered,
        (pair, outputs): (Pair, Tensor),
        count: f64,
    ) -> Tensor {
        let parts = self.model.decoupled(modality).zip(self.decoupled_rows(modality, gathered));
        let Some(((experts, estimator), rows)) = parts else {
            return Tensor::zeros([0_i64; 0], (Kind::Float, self.device()));
        };
        let permutation =
            self.randomness.permutation(Purpose::Permutation, modality, epoch, outputs.size()[0], self.device());
        let (bound, gradient) = estimator.upper_bound(&outputs, &permutation);
        if self.config.loss.lambda_decoupling != 0.0 {
            experts.pull_pair(rows, pair, &(gradient * (self.config.loss.lambda_decoupling / count)));
        }
        bound / count
    }

    fn with_experts(&self) -> impl Iterator<Item = Modality> + '_ {
        self.model.modalities().iter().copied().filter(|modality| self.model.decoupled(*modality).is_some())
    }

    /// The rows the decoupling is taken over.
    fn decoupled_rows<'a>(&'a self, modality: Modality, gathered: &'a Gathered) -> Option<&'a Rows> {
        match self.config.loss.decoupled {
            DecoupledEntities::All => self.every[modality].as_ref(),
            DecoupledEntities::Batch => gathered.rows[modality].as_ref(),
        }
    }

    /// The pair of experts an epoch decouples, and their outputs, `[n, 2·D]`.
    fn expert_outputs(&self, modality: Modality, epoch: u64, gathered: &Gathered) -> Option<(Pair, Tensor)> {
        let (experts, _) = self.model.decoupled(modality)?;
        let pair = self.randomness.expert_pair(modality, epoch, experts.count());
        Some((pair, experts.pair(self.decoupled_rows(modality, gathered)?, pair)))
    }

    /// The estimators' own step on fresh outputs of the experts; the mean of their losses.
    ///
    /// The parameters are now those the next epoch begins with, and the pair is the one that it decouples: its outputs
    /// are kept for it, unless it may take them over other rows.
    fn step_estimators(&mut self, epoch: u64, gathered: &Gathered) -> Tensor {
        self.model.estimator_parameters.zero_grad();
        let mut sum = Tensor::zeros([0_i64; 0], (Kind::Float, self.device()));
        let with_experts: Vec<_> = self.with_experts().collect();
        for modality in &with_experts {
            let Some((pair, outputs)) = self.expert_outputs(*modality, epoch + 1, gathered) else { continue };
            let Some((_, estimator)) = self.model.decoupled(*modality) else { continue };
            let share = 1.0 / with_experts.len() as f64;
            sum += estimator.learn(&outputs, share) * share;
            if self.config.loss.decoupled == DecoupledEntities::All {
                self.ahead[*modality] = Some(Ahead { epoch: epoch + 1, pair, outputs });
            }
        }
        self.estimator_optimiser.step(&self.model.estimator_parameters);
        sum
    }

    /// Copies the sums to the host: the one place an epoch waits for the device.
    fn report(&self, sums: &Sums, decoupling: &Tensor, estimator: &Tensor) -> EpochLosses {
        let total = &sums.total + decoupling * self.config.loss.lambda_decoupling;
        let of = |values: &Tensor, on: bool| {
            let values = Vec::<f64>::try_from(values.to_kind(Kind::Double).to_device(Device::Cpu)).unwrap_or_default();
            let at = |modality| self.model.modalities().iter().position(|m| *m == modality);
            PerModality::from_fn(|modality| values.get(at(modality)?).copied().filter(|_| on))
        };
        EpochLosses {
            total: total.double_value(&[]),
            joint: sums.joint.double_value(&[]),
            contrastive: of(&sums.contrastive, self.config.loss.unimodal_alignment),
            distillation: of(&sums.distillation, self.config.loss.unimodal_distillation),
            decoupling: decoupling.double_value(&[]),
            estimator: estimator.double_value(&[]),
        }
    }
}

impl Leaves {
    /// Runs the layers below backwards: the gradient of these sums is exactly what the leaves have gathered.
    fn pull(&self) {
        for [behind, leaf] in [&self.z, &self.weights] {
            if leaf.grad().defined() && behind.requires_grad() {
                (behind * leaf.grad()).sum(Kind::Float).backward();
            }
        }
    }
}

fn leaf(tensor: &Tensor) -> Tensor {
    tensor.detach().set_requires_grad(true)
}

/// Norms of the joint embeddings of the rows `at`: √`Σ_m` `w_m²` over the modalities an entity has.
fn joint_norm(weights: &Tensor, presence: &Tensor, at: &Tensor) -> Tensor {
    presence.index_select(1, at).tr().mv(&weights.square()).clamp_min(1e-24).sqrt()
}
