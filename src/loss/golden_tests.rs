//! The losses against the reference figures.

use tch::{Device, Tensor};

use super::contrastive::contrastive;
use super::distillation::{Reduction, distillation};
use super::similarity::{Masks, Similarities, normalise};
use super::uncertainty::weigh;
use crate::golden::Figures;

/// Cosines of the recorded links in `embedding` `[n, D]`, as one modality.
fn cosines(figures: &Figures, embedding: &Tensor) -> (Similarities, Masks) {
    let links = figures.get("links");
    let z = normalise(embedding).unsqueeze(0);
    let similarities = Similarities::of_block(&z, &links.select(1, 0), &links.select(1, 1));
    (similarities, Masks::identity(links.size()[0], Device::Cpu))
}

#[test]
fn golden_contrastive() {
    for name in ["contrastive_tau0.05", "contrastive_tau0.1"] {
        let figures = Figures::read(name);
        let embedding = figures.leaf("embedding");
        let (similarities, masks) = cosines(&figures, &embedding);
        let loss = contrastive(&similarities, &masks, figures.get("tau").double_value(&[])).squeeze();
        figures.assert_value("loss", &loss);
        loss.backward();
        figures.assert_gradient("embedding", &embedding);
    }
}

#[test]
fn golden_distillation() {
    for (name, reduction) in [("distillation_mean", Reduction::Mean), ("distillation_sum", Reduction::Sum)] {
        let figures = Figures::read(name);
        let (student, teacher) = (figures.leaf("student"), figures.get("teacher"));
        let (students, masks) = cosines(&figures, &student);
        let (teachers, _) = cosines(&figures, &teacher);
        // The recorded value holds the weight λ = 0.1 once.
        let loss = distillation(&students, &teachers, &masks, 4.0, reduction).squeeze() * 0.1;
        figures.assert_value("loss", &loss);
        loss.backward();
        figures.assert_gradient("student", &student);
    }
}

#[test]
fn golden_uncertainty_weighting() {
    let figures = Figures::read("uncertainty_weighting");
    let log_variances = figures.leaf("log_vars");
    let loss = weigh(&figures.get("losses"), &log_variances);
    figures.assert_value("loss", &loss);
    loss.backward();
    figures.assert_gradient("log_vars", &log_variances);
}
