//! What the loop asks of the model: one epoch, joint vectors, figures, and everything that must survive a kill.

use std::collections::BTreeMap;
use std::path::Path;

use tch::{Device, Tensor};

use super::{RunError, initial};
use crate::config::Config;
use crate::eval::{self, Directions};
use crate::evidence::Evidence;
use crate::inputs::links::Link;
use crate::loss::similarity::lengths;
use crate::modality::PerModality;
use crate::model::features::ModelInputs;
use crate::model::{Humea, Joint};
use crate::noise::Randomness;
use crate::train::step::{StepConfig, Trainer, Underway};
use crate::transfer;

/// The model of a run, with its optimisers.
pub(super) struct Learner {
    trainer: Trainer,
    randomness: Randomness,
    shuffle: bool,
    eval: eval::EvalConfig,
    evidence: Option<Evidence>,
    device: Device,
}

impl Learner {
    /// A freshly initialised model over the inputs.
    pub(super) fn new(config: &Config, inputs: ModelInputs, evidence: Option<Evidence>, device: Device) -> Self {
        let randomness = Randomness::Seeded(config.run.seed);
        let model = Humea::new(config.model.clone(), inputs, randomness, device);
        let trainer = Trainer::new(model, StepConfig::new(&config.loss, &config.train), randomness);
        Self { trainer, randomness, shuffle: config.train.shuffle_links, eval: config.evaluate, evidence, device }
    }

    /// Starts from the parameters of a file instead of drawn ones.
    pub(super) fn start_from(&mut self, path: &Path) -> Result<(), RunError> {
        let initial = initial::read(path)?;
        self.trainer.forget();
        let Humea { parameters, estimator_parameters, .. } = &mut self.trainer.model;
        parameters.assign(&initial, path)?;
        Ok(estimator_parameters.assign(&initial, path)?)
    }

    /// Shuffles links for an epoch, if they are to be shuffled at all.
    pub(super) fn shuffle(&self, epoch: usize, links: &mut [Link]) {
        if self.shuffle {
            self.randomness.shuffle(epoch as u64, links);
        }
    }

    /// One epoch over the links; a GPU may still be at it when this returns.
    pub(super) fn begin(&mut self, links: &[Link], epoch: usize) -> Underway {
        self.trainer.begin(epoch as u64, links)
    }

    fn joint(&self, ids: &[u32]) -> (Tensor, PerModality<f64>) {
        let ids: Vec<i64> = ids.iter().map(|id| i64::from(*id)).collect();
        let model = &self.trainer.model;
        let Joint { mut vectors, weights } = model.joint(&transfer::slice(&ids, self.device));
        vectors /= lengths(&vectors);
        (vectors, model.by_modality(&weights))
    }

    /// What the seeds show about attribute values.
    pub(super) fn evidence(&self) -> Option<&Evidence> {
        self.evidence.as_ref()
    }

    /// One joint vector of unit length per entity, `[N, d]`.
    pub(super) fn vectors(&self) -> Tensor {
        let entities = self.trainer.model.inputs().entities as u32;
        self.joint(&(0..entities).collect::<Vec<_>>()).0
    }

    /// Figures of some links, and the weights of the modalities; none if the last step has run off, so that vectors are
    /// not finite. The losses of the next epoch would show it, but the last epoch has none.
    pub(super) fn evaluate(&self, links: &[Link]) -> Result<Option<(Directions, PerModality<f64>)>, RunError> {
        let [left, right] = sides(links);
        let (vectors, weights) = self.joint(&[left.as_slice(), &right].concat());
        if vectors.isfinite().all().int64_value(&[]) == 0 {
            return Ok(None);
        }
        let evidence = self.evidence().map(|evidence| evidence.between(&left, &right));
        Ok(Some((self.ranking(&vectors, [&left, &right])?.ranks(evidence.as_ref())?.figures(), weights)))
    }

    /// Figures of some links, and, where there is evidence, those of the vectors alone.
    pub(super) fn test(&self, links: &[Link]) -> Result<(Directions, Option<Directions>), RunError> {
        let [left, right] = sides(links);
        let ranking = self.ranking(&self.joint(&[left.as_slice(), &right].concat()).0, [&left, &right])?;
        let alone = ranking.ranks(None)?.figures();
        let Some(evidence) = self.evidence() else { return Ok((alone, None)) };
        Ok((ranking.ranks(Some(&evidence.between(&left, &right)))?.figures(), Some(alone)))
    }

    /// Of the vectors of links' left, then right entities.
    fn ranking(&self, vectors: &Tensor, sides: [&[u32]; 2]) -> Result<eval::Ranking, RunError> {
        let links = sides[0].len() as i64;
        let [lefts, rights] = [0, links].map(|first| vectors.narrow(0, first, links));
        Ok(eval::Ranking::new(&lefts, &rights, self.eval)?.among(sides))
    }

    /// The parameters, by name: what judging, predicting and starting anew need.
    pub(super) fn parameters(&self) -> BTreeMap<String, Tensor> {
        let model = &self.trainer.model;
        let named = |prefix: &'static str, of: &crate::model::parameters::Parameters| {
            of.iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor.shallow_clone())).collect::<Vec<_>>()
        };
        let mut all: BTreeMap<String, Tensor> = named(MODEL, &model.parameters).into_iter().collect();
        all.extend(named(ESTIMATORS, &model.estimator_parameters));
        all
    }

    /// Everything that must survive a kill, by name.
    pub(super) fn tensors(&self) -> BTreeMap<String, Tensor> {
        let Trainer { optimiser, decoupling, .. } = &self.trainer;
        let mut all = self.parameters();
        for (prefix, optimiser) in [(OPTIMISER, optimiser), (ESTIMATOR_OPTIMISER, &decoupling.optimiser)] {
            all.extend(optimiser.state().into_iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor)));
        }
        all
    }

    /// Takes up what [`Self::parameters`] gave, and of [`Self::tensors`] those; `path` is named in errors.
    pub(super) fn assign(&mut self, tensors: &BTreeMap<String, Tensor>, path: &Path) -> Result<(), RunError> {
        self.trainer.forget();
        let Humea { parameters, estimator_parameters, .. } = &mut self.trainer.model;
        parameters.assign(&under(MODEL, tensors), path)?;
        Ok(estimator_parameters.assign(&under(ESTIMATORS, tensors), path)?)
    }

    /// Takes up what [`Self::tensors`] gave; `path` is named in errors.
    pub(super) fn restore(&mut self, tensors: &BTreeMap<String, Tensor>, path: &Path) -> Result<(), RunError> {
        self.assign(tensors, path)?;
        let Trainer { model, optimiser, decoupling, .. } = &mut self.trainer;
        optimiser.restore(under(OPTIMISER, tensors), &model.parameters, path)?;
        decoupling.optimiser.restore(under(ESTIMATOR_OPTIMISER, tensors), &model.estimator_parameters, path)?;
        Ok(())
    }
}

/// The tensors whose names begin with a prefix, without it.
fn under(prefix: &str, tensors: &BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
    let of = tensors.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?, tensor)));
    of.map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone())).collect()
}

/// The left and the right entities of links.
fn sides(links: &[Link]) -> [Vec<u32>; 2] {
    [0, 1].map(|side: usize| links.iter().map(|link| link[side]).collect())
}

/// Whether a checkpoint's tensor of that name is one of those that [`Learner::assign`] takes up.
pub(super) fn is_parameter(name: &str) -> bool {
    name.starts_with(MODEL) || name.starts_with(ESTIMATORS)
}

/// What the names of a checkpoint's tensors begin with.
pub(super) const MODEL: &str = "model/";
pub(super) const ESTIMATORS: &str = "estimators/";
const OPTIMISER: &str = "optimiser/";
const ESTIMATOR_OPTIMISER: &str = "estimator_optimiser/";
