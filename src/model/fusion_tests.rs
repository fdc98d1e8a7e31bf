#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

use super::*;
use crate::golden::{Figures, against_cotangent};
use crate::loss::similarity::{lengths, normalise};

fn fusion(query_dim: i64, present: PerModality<bool>) -> (Fusion, Parameters) {
    of(FusionConfig { query_dim, top_k: 5, ties: Ties::Lowest, per_entity: false }, present)
}

/// For embeddings of width 4.
fn of(config: FusionConfig, present: PerModality<bool>) -> (Fusion, Parameters) {
    let mut parameters = Parameters::default();
    let mut stream = crate::noise::Randomness::Recorded.stream(crate::noise::Purpose::Parameters, None, 0);
    let fusion = Fusion::new(config, 4, &present, &mut parameters, &mut stream, Device::Cpu);
    (fusion, parameters)
}

/// Compares weights, joint and gradients; `names` pairs our parameters with the recorded ones.
fn assert_golden(figures: &Figures, query_dim: i64, names: &[(&str, &str)]) {
    let (fusion, mut parameters) = fusion(query_dim, PerModality::from_fn(|_| true));
    let values = names.iter().map(|(ours, recorded)| {
        let shape = parameters.iter().find(|(name, _)| name == ours).unwrap().1.size();
        ((*ours).to_owned(), figures.get(&format!("param.{recorded}")).reshape(shape))
    });
    let values = values.collect();
    parameters.assign(&values, std::path::Path::new("fusion")).unwrap();
    let inputs = Modality::ALL.map(|m| figures.leaf(&format!("input.{m}")));
    let weights = fusion.shared_weights().unwrap();
    figures.assert_value("modality_weights", &weights);
    let parts: Vec<Tensor> = inputs.iter().enumerate().map(|(at, x)| normalise(x) * weights.get(at as i64)).collect();
    let joint = Tensor::cat(&parts, 1);
    figures.assert_value("output", &joint);
    against_cotangent(&joint, figures).backward();
    for (modality, input) in Modality::ALL.into_iter().zip(&inputs) {
        figures.assert_gradient(&format!("input.{modality}"), input);
    }
    for (ours, recorded) in names {
        let parameter = parameters.iter().find(|(name, _)| name == ours).unwrap().1;
        figures.assert_gradient(&format!("param.{recorded}"), parameter);
    }
}

#[test]
fn golden_direct_weights() {
    assert_golden(&Figures::read("fusion_direct"), 0, &[("fusion.weight", "weight")]);
}

#[test]
fn golden_weights_from_a_query() {
    let figures = Figures::read("fusion_query");
    let names = [
        ("fusion.query", "combo_gate_query"),
        ("fusion.projection.weight", "combo_proj.weight"),
        ("fusion.projection.bias", "combo_proj.bias"),
    ];
    assert_golden(&figures, figures.get("param.combo_gate_query").size()[0], &names);
}

#[test]
fn golden_combinations_are_the_published_ones() {
    let recorded = Figures::read("fusion_direct").get("combo_masks");
    let (fusion, _) = fusion(0, PerModality::from_fn(|_| true));
    assert_eq!(fusion.members, recorded);
}

#[test]
fn an_absent_modality_leaves_its_combinations_and_an_empty_one_goes() {
    let (fusion, _) = fusion(0, PerModality::from_fn(|m| m != Modality::Image));
    assert_eq!(fusion.combinations, 6);
    assert!(fusion.shared_weights().unwrap().double_value(&[Modality::Image as i64]) < f64::EPSILON);
}

#[test]
fn an_entity_has_the_shared_weights_until_its_gate_has_learnt() {
    let present = PerModality::from_fn(|m| m != Modality::Image);
    let (shared, _) = fusion(0, present);
    let config = FusionConfig { query_dim: 0, top_k: 5, ties: Ties::Lowest, per_entity: true };
    let (own, parameters) = of(config, present);
    let x = Tensor::randn([5, 3, 4], (Kind::Float, Device::Cpu));
    let (z, lengths) = (normalise(&x), lengths(&x));
    assert!(own.shared_weights().is_none());
    let of_all = shared.shared_weights().unwrap().unsqueeze(1);
    let weights = || own.weights_of(&z, &lengths);
    let apart = |weights: &Tensor| (weights - &of_all).abs().max().double_value(&[]);
    assert!(apart(&weights()) < 1e-6 && apart(&shared.weights_of(&z, &lengths)) < 1e-6);
    for part in ["vectors", "lengths"] {
        let name = format!("fusion.gate.{part}");
        let gate = parameters.iter().find(|(known, _)| **known == name).unwrap().1;
        no_grad(|| gate.shallow_clone().copy_(&Tensor::randn_like(gate)));
        let learnt = weights();
        assert!(apart(&learnt) > 1e-3, "{part}");
        let _ = no_grad(|| gate.shallow_clone().zero_());
    }
}

#[test]
fn each_entity_keeps_its_largest_shares() {
    let shares = Tensor::from_slice2(&[[0.1_f32, 0.4, 0.2, 0.3], [0.25, 0.25, 0.25, 0.25]]);
    let kept = only(&shares, &largest(&shares, 2));
    let expected = Tensor::from_slice2(&[[0.0_f32, 4.0 / 7.0, 0.0, 3.0 / 7.0], [0.5, 0.5, 0.0, 0.0]]);
    assert!((kept - expected).abs().max().double_value(&[]) < 1e-6);
}
