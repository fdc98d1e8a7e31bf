//! An epoch that a GPU may still be at, and what it will have lost.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::modality::{Modality, PerModality};
use crate::transfer::Arriving;

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
    /// The bound on the mutual information of two experts, mean over the modalities, unweighted; none without a weight.
    pub decoupling: Option<f64>,
    /// The loss of the estimators' own step; none where there is no bound.
    pub estimator: Option<f64>,
}

/// An epoch that a GPU may still be at.
#[derive(Debug)]
pub struct Underway {
    /// Of each modality the contrastive loss, then of each the divergence; total and joint; decoupling and estimators, if there are any.
    pub(super) losses: Arriving,
    pub(super) modalities: Vec<Modality>,
    /// Whether contrastive losses and divergences are taken.
    pub(super) parts: [bool; 2],
}

impl Underway {
    /// Whether the losses are there already, as far as one can tell without asking.
    pub fn is_over(&self) -> bool {
        self.losses.are_there()
    }

    /// The epoch's losses, once they are there: the one place an epoch waits for the device, as `make test-device` counts.
    pub fn wait(self) -> EpochLosses {
        let all = Vec::<f64>::try_from(self.losses.wait()).unwrap_or_default();
        let count = self.modalities.len();
        let of = |part: usize| {
            let at = |modality| Some(part * count + self.modalities.iter().position(|m| *m == modality)?);
            PerModality::from_fn(|modality| all.get(at(modality)?).copied().filter(|_| self.parts[part]))
        };
        let whole = |place: usize| all.get(2 * count + place).copied();
        EpochLosses {
            total: whole(0).unwrap_or(f64::NAN),
            joint: whole(1).unwrap_or(f64::NAN),
            contrastive: of(0),
            distillation: of(1),
            decoupling: whole(2),
            estimator: whole(3),
        }
    }
}

impl EpochLosses {
    /// The parts by name, those of a modality as `part/modality`.
    pub fn parts(&self) -> BTreeMap<String, f64> {
        let Self { total, joint, contrastive, distillation, decoupling, estimator } = self;
        let whole =
            [("total", Some(*total)), ("joint", Some(*joint)), ("decoupling", *decoupling), ("estimator", *estimator)];
        let mut parts: BTreeMap<String, f64> =
            whole.into_iter().filter_map(|(name, part)| Some((name.to_owned(), part?))).collect();
        for (kind, of) in [("contrastive", contrastive), ("distillation", distillation)] {
            parts.extend(of.iter().filter_map(|(modality, part)| Some((format!("{kind}/{modality}"), (*part)?))));
        }
        parts
    }

    /// What is not a finite number any more, and its value; a modality's part rather than a sum it has spoilt. The
    /// estimators spoil the next epoch's parts, which say more.
    pub fn diverged(&self) -> Option<(String, f64)> {
        let spoilt = self.parts().into_iter().filter(|(name, value)| name != "estimator" && !value.is_finite());
        let (name, value) = spoilt.max_by_key(|(name, _)| name.contains('/'))?;
        let culprit = name.split_once('/').map(|(_, modality)| format!("modality {modality} ({name})"));
        Some((culprit.unwrap_or_else(|| format!("the loss ({name})")), value))
    }
}
