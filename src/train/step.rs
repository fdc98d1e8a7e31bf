//! One epoch: every block of the training list, one backward pass, one step of each optimiser.
//!
//! The gradients of every block are gathered in that of the normalised embeddings; only then are the layers below run
//! backwards, once. So memory holds one block, whatever the number of blocks.

use std::cell::RefCell;

use serde::{Deserialize, Deserializer, Serialize};
use tch::{Device, Kind, Tensor, no_grad};

use super::TrainConfig;
use super::adamw::{AdamW, AdamWConfig};
use super::blocks::{self, Blocks, Group, Sums};
use super::decoupling::{Decoupling, Scene};
use super::draws::{Draw, Draws, What};
use crate::bounds;
use crate::gradient::{accumulate, backward};
use crate::loss::distillation::Reduction;
use crate::loss::joint::Weights;
use crate::loss::odds;
use crate::loss::similarity::{denormalised, lengths};
use crate::loss::uncertainty::weigh;
use crate::modality::{Modality, PerModality};
use crate::model::Humea;
use crate::model::experts::{Experts, Rows};
use crate::model::mixture::Mixture;
use crate::noise::Randomness;
use crate::transfer::{self, Arriving};

pub use super::underway::{EpochLosses, Underway};

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
    #[serde(deserialize_with = "temperature")]
    pub tau_contrastive: f64,
    /// Temperature of the distillation.
    #[serde(deserialize_with = "temperature")]
    pub tau_distillation: f64,
    /// Weight of the unimodal alignment.
    #[serde(deserialize_with = "bounds::not_negative")]
    pub lambda_contrastive: f64,
    /// Weight of the unimodal distillation.
    #[serde(deserialize_with = "bounds::not_negative")]
    pub lambda_distillation: f64,
    /// Weight of the expert decoupling.
    #[serde(deserialize_with = "bounds::not_negative")]
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

fn temperature<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    let expected = format!("a temperature of at least {}", odds::COLDEST);
    bounds::checked(from, |number: f64| number >= odds::COLDEST && number.is_finite(), &expected)
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

impl StepConfig {
    /// Of a run's configuration.
    pub fn new(loss: &LossConfig, train: &TrainConfig) -> Self {
        let optimiser = AdamWConfig {
            learning_rate: train.lr,
            weight_decay: train.weight_decay,
            betas: [0.9, 0.999],
            epsilon: 1e-8,
        };
        Self { loss: loss.clone(), optimiser, batch_size: train.batch_size }
    }
}

/// The training list's entities, gathered once for as long as the list keeps its entities.
#[derive(Debug)]
struct Gathered {
    entities: Vec<u32>,
    /// For every entity of both graphs its place among these, should it be one of them.
    places: Vec<i64>,
    /// `[n]`, int64.
    ids: Tensor,
    rows: PerModality<Option<Rows>>,
    /// `[M, n]`.
    presence: Tensor,
}

/// The place of an entity that is in no link of the list.
const ABSENT: i64 = -1;

/// Model, optimisers and what is kept between epochs.
#[derive(Debug)]
pub struct Trainer {
    /// The model being trained.
    pub model: Humea,
    /// The optimiser of the model.
    pub optimiser: AdamW,
    /// The decoupling of the experts, with the optimiser of the estimators.
    pub decoupling: Decoupling,
    config: StepConfig,
    draws: RefCell<Draws>,
    gathered: Option<Gathered>,
}

/// Modalities that are embedded together, G of them, and what their experts need to run backwards, if they have any.
struct Embedded<'a> {
    modalities: &'a [Modality],
    mixture: Option<Mixture>,
}

impl Trainer {
    /// A trainer that has not stepped yet.
    pub fn new(model: Humea, config: StepConfig, randomness: Randomness) -> Self {
        let (optimiser, decoupling) = (AdamW::new(config.optimiser), Decoupling::new(&model, &config, randomness));
        let draws = RefCell::new(Draws::new(randomness, model.device()));
        Self { model, optimiser, decoupling, config, draws, gathered: None }
    }

    /// Must be called after the model's parameters were overwritten, by a checkpoint for instance: what was computed
    /// from the old ones is forgotten.
    pub fn forget(&mut self) {
        self.decoupling.forget();
        self.model.forget();
    }

    /// One epoch over `links`, in their order, in blocks.
    pub fn epoch(&mut self, epoch: u64, links: &[[u32; 2]]) -> EpochLosses {
        self.begin(epoch, links).wait()
    }

    /// The same, but that a GPU may still be at it when this returns: it can be asked for the next epoch meanwhile.
    pub fn begin(&mut self, epoch: u64, links: &[[u32; 2]]) -> Underway {
        self.optimiser.zero_grad(&self.model.parameters);
        let squared = self.model.shared_weights().map(|weights| weights.square());
        let gathered = self.gather(links);
        // It depends on nothing of this epoch and is soon asked for: a GPU works on it while the host asks for the many small steps that
        // follow.
        let scene = Scene { model: &self.model, epoch, rows: &gathered.rows };
        let bound = self.decoupling.bound(scene, self.draws.get_mut());
        let (graph, graph_state) = self.model.graph_forward();
        let embedded = no_grad(|| self.embedded(epoch, &graph, &gathered));
        let (x, embedded): (Vec<Tensor>, Vec<_>) = embedded.into_iter().unzip();
        // Nothing else is drawn in this epoch.
        self.draws.borrow_mut().look_ahead();
        let unit = no_grad(|| Unit::of(x));
        let weights = self.fusion_weights(squared, &gathered, &unit);
        let (sums, total) = no_grad(|| self.blocks(links, &gathered, &unit.z, &weights));
        backward(weights.learnt(), &sums.weights);
        if let Some(of_graph) = no_grad(|| self.backward(embedded, &unit, &sums.z, &gathered)) {
            self.model.graph_backward(&of_graph, &graph_state);
        }
        self.optimiser.step(&self.model.parameters);
        self.model.look_ahead();
        let estimator = self.decoupling.learn(Scene { model: &self.model, epoch, rows: &gathered.rows });
        self.gathered = Some(gathered);
        self.report(&sums, total, bound.zip(estimator).map(<[Tensor; 2]>::from).as_ref())
    }

    fn device(&self) -> Device {
        self.model.device()
    }

    fn gather(&mut self, links: &[[u32; 2]]) -> Gathered {
        let mut places = vec![ABSENT; self.model.inputs().entities as usize];
        for entity in links.iter().flatten() {
            places[*entity as usize] = 0;
        }
        let entities: Vec<u32> = (0..).zip(&places).filter(|(_, place)| **place != ABSENT).map(|(id, _)| id).collect();
        for (place, entity) in (0..).zip(&entities) {
            places[*entity as usize] = place;
        }
        match self.gathered.take() {
            Some(kept) if kept.entities == entities => kept,
            _ => {
                self.decoupling.forget_list();
                let ids: Vec<i64> = entities.iter().map(|id| i64::from(*id)).collect();
                let ids = transfer::slice(&ids, self.device());
                let rows = self.model.select(&ids);
                let presence = self.model.presence(&ids);
                Gathered { entities, places, ids, rows, presence }
            }
        }
    }

    /// Embeddings of the training list's entities, `[G, n, D]` for each group of modalities, in order.
    fn embedded(&self, epoch: u64, graph: &Tensor, gathered: &Gathered) -> Vec<(Tensor, Embedded<'_>)> {
        let groups = self.model.groups().map(|modalities| {
            let noise = || self.noise(modalities, epoch, gathered);
            let (x, mixture) = self.model.embed(modalities, (graph, &gathered.ids), &gathered.rows, noise);
            (x, Embedded { modalities, mixture })
        });
        groups.collect()
    }

    /// The noise of the gates of some modalities' experts.
    fn noise(&self, modalities: &[Modality], epoch: u64, gathered: &Gathered) -> Option<Tensor> {
        let draws = modalities.iter().map(|modality| {
            let experts = self.model.experts(*modality).map_or(0, Experts::count);
            Draw { modality: *modality, epoch, what: What::Gating([gathered.entities.len() as i64, experts]) }
        });
        self.draws.borrow_mut().get(draws.collect())
    }

    /// Runs the layers behind the embeddings backwards, given the gradient `[M, n, D]` that the blocks have left; that of the graph
    /// encoder's output, `[N, D]`, unless it is ablated.
    ///
    /// What the layers of one group have kept is gone before the next one's work. Images, usually the widest, come last but one this
    /// way.
    fn backward(
        &self,
        embedded: Vec<Embedded>,
        Unit { z, lengths }: &Unit,
        of_z: &Tensor,
        gathered: &Gathered,
    ) -> Option<Tensor> {
        let (mut end, mut of_graph) = (z.size()[0], None);
        for Embedded { modalities, mixture } in embedded.into_iter().rev() {
            let count = modalities.len() as i64;
            end -= count;
            let [z, of_z, lengths] = [z, of_z, lengths].map(|of| of.narrow(0, end, count));
            let of_x = denormalised(&of_z, &z, &lengths);
            if let Some(mixture) = mixture {
                self.model.backward(modalities, &gathered.rows, &mixture, &of_x);
            } else if !self.model.is_ablated(modalities[0]) {
                let zeros = self.model.zeros(self.model.inputs().entities);
                of_graph = Some(zeros.index_add(0, &gathered.ids, &of_x.squeeze_dim(0)));
            }
        }
        of_graph
    }

    /// How much each modality of the training list's entities counts, given the squares of the fusion's weights, `[M]`, if they share
    /// those.
    fn fusion_weights(&self, squared: Option<Tensor>, gathered: &Gathered, Unit { z, lengths }: &Unit) -> Weights {
        // What experts make of an empty bag is zero at first: it adds nothing to the length of the joint.
        let presence = &gathered.presence * z.any_dim(2, false);
        match squared {
            Some(squared) => Weights::Shared { squared, presence },
            None => Weights::Own(self.model.weights_of(z, lengths) * presence),
        }
    }

    /// The losses of every block and their gradients; the whole of them, weighted.
    fn blocks(&self, links: &[[u32; 2]], gathered: &Gathered, z: &Tensor, weights: &Weights) -> (Sums, Tensor) {
        let uncertainties = self.uncertainties();
        let factors = uncertainties.each_ref().map(|weight| Some(weight.as_ref()?.factor()));
        let (z, sums) = (z.shallow_clone(), Sums::zero(z, weights));
        let mut blocks = Blocks { loss: &self.config.loss, z, weights, factors, sums };
        let groups = blocks::groups(links.len(), self.config.batch_size, self.device());
        let places = groups.last().map_or(0, |Group { first, size: [count, size], .. }| first + count * size);
        let [left, right] = [0, 1].map(|side: usize| self.positions(links, side, gathered, places));
        let count = links.len().div_ceil(self.config.batch_size) as f64;
        for Group { first, size, pairs } in groups {
            let [count, size] = size.map(|of| of as i64);
            let row = |side: &Tensor| side.narrow(0, first as i64, count * size).view([count, size]);
            blocks.add(&row(&left), &row(&right), pairs as i64);
        }
        let sums = blocks.sums;
        let mut total = sums.joint.sum(Kind::Float);
        for (weight, parts) in uncertainties.iter().zip(&sums.parts) {
            if let Some(weight) = weight {
                total += weight.total(parts, count);
            }
        }
        (sums, total)
    }

    /// The learnt weighting of the contrastive losses and of the divergences; none if they are off.
    fn uncertainties(&self) -> [Option<Weighting<'_>>; 2] {
        let loss = &self.config.loss;
        let inner = if loss.doubled_distillation_weight { loss.lambda_distillation } else { 1.0 };
        let [contrastive, distillation] = self.model.uncertainties.each_ref();
        [
            loss.unimodal_alignment.then_some(Weighting {
                log_variances: contrastive,
                inner: 1.0,
                outer: loss.lambda_contrastive,
            }),
            loss.unimodal_distillation.then_some(Weighting {
                log_variances: distillation,
                inner,
                outer: loss.lambda_distillation,
            }),
        ]
    }

    /// Rows of one side's entities among the gathered ones, for every link, and the first one for what `places` are left.
    fn positions(&self, links: &[[u32; 2]], side: usize, gathered: &Gathered, places: usize) -> Tensor {
        let mut rows: Vec<i64> = links.iter().map(|link| gathered.places[link[side] as usize]).collect();
        rows.resize(places, 0);
        transfer::slice(&rows, self.device())
    }

    /// Sends the sums to the host, all at once.
    fn report(&self, sums: &Sums, mut total: Tensor, decoupled: Option<&[Tensor; 2]>) -> Underway {
        let loss = &self.config.loss;
        if let Some([bound, _]) = decoupled {
            total += bound * loss.lambda_decoupling;
        }
        let [contrastive, distillation] = &sums.parts;
        let parts = [contrastive, distillation, &total, &sums.joint].into_iter().chain(decoupled.into_iter().flatten());
        let flat: Vec<Tensor> = parts.map(|part| part.reshape([-1])).collect();
        Underway {
            losses: Arriving::begin(&Tensor::cat(&flat, 0)),
            modalities: self.model.modalities().to_vec(),
            parts: [loss.unimodal_alignment, loss.unimodal_distillation],
        }
    }
}

/// Embeddings of unit length, and the lengths they had.
struct Unit {
    /// `[M, n, D]`.
    z: Tensor,
    /// `[M, n, 1]`.
    lengths: Tensor,
}

impl Unit {
    /// Of embeddings `[G, n, D]`, joined.
    fn of(embedded: Vec<Tensor>) -> Self {
        let mut z = Tensor::cat(&embedded, 0);
        drop(embedded);
        let lengths = lengths(&z);
        z /= &lengths;
        Self { z, lengths }
    }
}

/// The weighting of the modalities' losses of one kind by learnt uncertainty: `outer · Σ_m (e^{−s_m}·inner·L_m + s_m)` for
/// each block.
struct Weighting<'a> {
    /// s, `[M]`.
    log_variances: &'a Tensor,
    inner: f64,
    outer: f64,
}

impl Weighting<'_> {
    /// What the gradient of each modality's loss is multiplied with, `[M]`.
    fn factor(&self) -> Tensor {
        (-self.log_variances).exp() * (self.inner * self.outer)
    }

    /// The whole of `blocks` blocks whose losses add up to `sums` `[M]`; its gradient in s is added to the parameter's.
    fn total(&self, sums: &Tensor, blocks: f64) -> Tensor {
        let (total, gradient) = weigh(&(sums * (self.inner / blocks)), self.log_variances);
        let factor = self.outer * blocks;
        accumulate(self.log_variances, 0, &(gradient * factor));
        total * factor
    }
}
