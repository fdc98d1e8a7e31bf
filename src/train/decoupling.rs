//! The decoupling of experts (method, section 3): estimators bound what two experts' outputs tell of each other, the bound is
//! minimised, and the estimators follow in a step of their own.

use tch::{Kind, Tensor};

use super::adamw::AdamW;
use super::draws::{Draw, Draws, What};
use super::outputs::Outputs;
use super::step::{DecoupledEntities, StepConfig};
use crate::modality::{Modality, PerModality};
use crate::model::Humea;
use crate::model::estimator::Estimators;
use crate::model::experts::Rows;
use crate::noise::Randomness;

/// What is kept of it between epochs.
#[derive(Debug)]
pub struct Decoupling {
    /// The optimiser of the estimators.
    pub optimiser: AdamW,
    weight: f64,
    randomness: Randomness,
    /// The features of all entities, if it is taken over them; else over those of the training list.
    every: Option<PerModality<Option<Rows>>>,
    /// The outputs that an epoch will decouple.
    ahead: Option<(u64, Vec<Outputs>)>,
}

/// A model in an epoch, and the features of the training list's entities.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) model: &'a Humea,
    pub(super) epoch: u64,
    pub(super) rows: &'a PerModality<Option<Rows>>,
}

impl Scene<'_> {
    /// For each modality's rows another order, one after another: `[G·n]`.
    fn permutations(&self, outputs: &Outputs, draws: &mut Draws) -> Option<Tensor> {
        let rows = outputs.values.size()[1];
        let each = outputs.of.iter().zip(0..).map(|((modality, _), place)| Draw {
            modality: *modality,
            epoch: self.epoch,
            what: What::Permutation([place * rows, rows]),
        });
        draws.get(each.collect())
    }
}

impl Decoupling {
    /// Nothing learnt yet.
    pub(super) fn new(model: &Humea, config: &StepConfig, randomness: Randomness) -> Self {
        let every = (config.loss.decoupled == DecoupledEntities::All).then(|| model.select_every());
        let (optimiser, weight) = (AdamW::new(config.optimiser), config.loss.lambda_decoupling);
        Self { optimiser, weight, randomness, every, ahead: None }
    }

    /// Must be called when parameters have been overwritten: what was computed from the old ones is forgotten.
    pub(super) fn forget(&mut self) {
        self.ahead = None;
    }

    /// Must be called when the training list has other entities.
    pub(super) fn forget_list(&mut self) {
        if self.every.is_none() {
            self.forget();
        }
    }

    /// The mean of the modalities' bounds, its gradient added to that of the experts' parameters; none without a weight.
    pub(super) fn bound(&mut self, scene: Scene<'_>, draws: &mut Draws) -> Option<Tensor> {
        let kept = self.ahead.take().filter(|(of, _)| *of == scene.epoch).map(|(_, outputs)| outputs);
        let (modalities, estimators) = self.decoupled(&scene)?;
        let share = 1.0 / modalities.len() as f64;
        let mut sum = zero(scene.model);
        for outputs in kept.unwrap_or_else(|| self.outputs(scene, &modalities)) {
            sum += self.bound_of(scene, draws, (outputs, estimators), self.weight * share);
        }
        Some(sum * share)
    }

    fn bound_of(
        &self,
        scene: Scene<'_>,
        draws: &mut Draws,
        (outputs, estimators): (Outputs, &Estimators),
        share: f64,
    ) -> Tensor {
        let Some(permutation) = scene.permutations(&outputs, draws) else { return zero(scene.model) };
        let Outputs { first, of, values } = outputs;
        let (bound, gradient) = estimators.upper_bound(first, &values, &permutation);
        drop(values);
        let (share, sums) =
            (share / gradient.size()[1] as f64, gradient.sum_dim_intlist([1_i64].as_slice(), false, Kind::Float));
        for (((modality, pair), gradient), sum) in of.into_iter().zip(gradient.unbind(0)).zip(sums.unbind(0)) {
            if let Some((experts, rows)) = scene.model.experts(modality).zip(self.rows(modality, scene)) {
                experts.backward_pair(rows, pair, (&gradient, &sum), share);
            }
        }
        bound
    }

    /// The estimators' own step on fresh outputs of the experts; the mean of their losses, none without a weight.
    ///
    /// The parameters are now those the next epoch begins with, and the pair is the one that it decouples: its outputs are kept
    /// for it.
    pub(super) fn learn(&mut self, scene: Scene<'_>) -> Option<Tensor> {
        let (modalities, estimators) = self.decoupled(&scene)?;
        let share = 1.0 / modalities.len() as f64;
        self.optimiser.zero_grad(&scene.model.estimator_parameters);
        let mut sum = zero(scene.model);
        let epoch = scene.epoch + 1;
        let ahead = self.outputs(Scene { epoch, ..scene }, &modalities);
        for outputs in &ahead {
            sum += estimators.learn(outputs.first, &outputs.values, share) * share;
        }
        self.ahead = Some((epoch, ahead));
        self.optimiser.step(&scene.model.estimator_parameters);
        Some(sum)
    }

    /// The modalities that are decoupled and their estimators; none without a weight.
    fn decoupled<'a>(&self, scene: &Scene<'a>) -> Option<(Vec<Modality>, &'a Estimators)> {
        scene.model.decoupled().filter(|_| self.weight != 0.0)
    }

    /// The rows it is taken over.
    fn rows<'a>(&'a self, modality: Modality, scene: Scene<'a>) -> Option<&'a Rows> {
        self.every.as_ref().unwrap_or(scene.rows)[modality].as_ref()
    }

    /// Outputs of the pairs of experts that an epoch decouples.
    fn outputs(&self, scene: Scene<'_>, modalities: &[Modality]) -> Vec<Outputs> {
        Outputs::grouped(modalities.iter().filter_map(|modality| {
            let experts = scene.model.experts(*modality)?;
            let pair = self.randomness.expert_pair(*modality, scene.epoch, experts.count());
            Some((*modality, pair, experts.pair(self.rows(*modality, scene)?, pair)))
        }))
    }
}

fn zero(model: &Humea) -> Tensor {
    Tensor::zeros([0_i64; 0], (Kind::Float, model.device()))
}
