//! The losses against the reference figures.

use tch::{Device, Kind, Tensor};

use super::contrastive::contrastive;
use super::distillation::{Reduction, Teacher};
use super::similarity::{Masks, Similarities, normalise};
use super::uncertainty::weigh;
use crate::golden::{Figures, family};

/// The unit vectors of the recorded links' left and right entities in `embedding` `[n, D]`, as one modality.
fn sides(figures: &Figures, embedding: &Tensor) -> [Tensor; 2] {
    let links = figures.get("links");
    [0, 1].map(|side| normalise(&embedding.index_select(0, &links.select(1, side))).unsqueeze(0))
}

/// Runs the gradient of the cosines of `sides` down to what they were made from.
fn pull(gradient: &Similarities, sides: &[Tensor; 2]) {
    for (side, gradient) in sides.iter().zip(gradient.pull(&sides[0].detach(), &sides[1].detach())) {
        (side * gradient).sum(Kind::Float).backward();
    }
}

#[test]
fn golden_contrastive() {
    for name in family("contrastive_tau") {
        let figures = Figures::read(&name);
        let embedding = figures.leaf("embedding");
        let sides = sides(&figures, &embedding);
        let cosines = Similarities::of_block(&sides[0].detach(), &sides[1].detach());
        let (loss, gradient) = contrastive(&cosines, &Masks::Own, figures.get("tau").double_value(&[]));
        figures.assert_value("loss", &loss.squeeze());
        pull(&gradient, &sides);
        figures.assert_gradient("embedding", &embedding);
    }
}

#[test]
fn golden_distillation() {
    for (name, reduction) in [("distillation_mean", Reduction::Mean), ("distillation_sum", Reduction::Sum)] {
        let figures = Figures::read(name);
        let student = figures.leaf("student");
        let students = sides(&figures, &student);
        let [left, right] = sides(&figures, &figures.get("teacher"));
        let teacher = Similarities::of_block(&left, &right);
        let cosines = Similarities::of_block(&students[0].detach(), &students[1].detach());
        // The shipped figures leave the temperature to their description.
        let tau = if figures.has("tau") { figures.get("tau").double_value(&[]) } else { 4.0 };
        let (loss, gradient) = Teacher::new(&teacher, &Masks::Own, tau, reduction).distil(&cosines);
        // The recorded value holds the weight λ = 0.1 once.
        figures.assert_value("loss", &(loss.squeeze() * 0.1));
        pull(&gradient.map(|gradient| gradient * 0.1), &students);
        figures.assert_gradient("student", &student);
    }
}

#[test]
fn a_low_temperature_neither_overflows_nor_vanishes() {
    let z = normalise(&Tensor::randn([1, 40, 8], (Kind::Float, Device::Cpu)));
    let (left, right) = (z.narrow(1, 0, 20), -z.narrow(1, 0, 20));
    let cosines = Similarities::of_block(&left, &right);
    let (loss, gradient) = contrastive(&cosines, &Masks::Own, 0.004);
    let logits = Tensor::cat(
        &[cosines.across(), cosines.within().select(1, 0) - Tensor::eye(20, (Kind::Float, Device::Cpu)) * 1e9],
        2,
    ) / 0.004;
    let expected = -logits.log_softmax(2, Kind::Float).diagonal(0, 1, 2).mean(Kind::Float);
    // Both directions are alike: the right entities are the left ones turned round.
    assert!((loss.double_value(&[0]) / expected.double_value(&[]) - 1.0).abs() < 1e-4);
    assert!(gradient.across().isfinite().all().int64_value(&[]) == 1);
}

#[test]
fn golden_uncertainty_weighting() {
    let figures = Figures::read("uncertainty_weighting");
    let (loss, gradient) = weigh(&figures.get("losses"), &figures.get("log_vars"));
    figures.assert_value("loss", &loss);
    figures.assert_gradient_is("log_vars", &gradient);
}
