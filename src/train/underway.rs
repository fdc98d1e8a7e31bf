//! An epoch that a GPU may still be at, and what it will have lost.

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
    /// The bound on the mutual information of two experts, mean over the modalities, unweighted.
    pub decoupling: f64,
    /// The loss of the estimators' own step.
    pub estimator: f64,
}

/// An epoch that a GPU may still be at.
#[derive(Debug)]
pub struct Underway {
    /// Of each modality the contrastive loss, then of each the divergence; total, joint, decoupling and estimators.
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
        let whole = |place: usize| all.get(2 * count + place).copied().unwrap_or(f64::NAN);
        EpochLosses {
            total: whole(0),
            joint: whole(1),
            contrastive: of(0),
            distillation: of(1),
            decoupling: whole(2),
            estimator: whole(3),
        }
    }
}
