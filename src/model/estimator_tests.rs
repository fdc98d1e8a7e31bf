#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

use super::*;
use crate::golden::Figures;

#[test]
fn golden_bound_and_learning_loss() {
    let figures = Figures::read("club");
    let mut parameters = Parameters::default();
    let dim = figures.get("z1").size()[1];
    let mut stream = crate::noise::Randomness::Recorded.stream(crate::noise::Purpose::Parameters, None, 0);
    let estimator = Estimator::new(Modality::Image, dim, Precision::Float32, &mut parameters, &mut stream, Device::Cpu);
    let mut values = std::collections::BTreeMap::new();
    for (ours, recorded) in [("mean", "p_mu"), ("log_variance", "p_logvar")] {
        for (to, from) in [(0, 0), (1, 2)] {
            for kind in ["weight", "bias"] {
                let tensor = figures.get(&format!("param.{recorded}.{from}.{kind}"));
                values.insert(format!("estimator.image.{ours}.{to}.{kind}"), tensor);
            }
        }
    }
    parameters.assign(&values, std::path::Path::new("club")).unwrap();
    let outputs = Tensor::cat(&[figures.get("z1"), figures.get("z2")], 1).unsqueeze(0);
    let (bound, gradient) = upper_bound(&[&estimator], &outputs, &figures.get("permutation"), 1.0);
    figures.assert_value("upper_bound", &bound);
    for (name, half) in ["z1", "z2"].into_iter().zip(halves(&gradient.squeeze_dim(0))) {
        figures.assert_gradient_is(name, &half);
    }
    figures.assert_value("learning_loss", &learn(&[&estimator], &outputs, 1.0));
}

#[test]
fn blocks_add_up_to_the_whole() {
    let mut parameters = Parameters::default();
    let mut stream = crate::noise::Randomness::Seeded(3).stream(crate::noise::Purpose::Parameters, None, 0);
    let estimator = Estimator::new(Modality::Image, 4, Precision::Float32, &mut parameters, &mut stream, Device::Cpu);
    let rows = 2 * ROWS + 17;
    let outputs = noise::normal(&mut stream, &[1, rows, 8], 1.0);
    let permutation = Tensor::randperm(rows, (Kind::Int64, Device::Cpu));
    let whole = leaf(&outputs);
    let [x, y] = halves(&whole);
    let [mean, log_variance] = predict(&[&estimator], &x, true);
    let spread = (&mean - y.index_select(1, &permutation)).square() - (&mean - &y).square();
    let expected = (spread * (-log_variance).exp()).sum(Kind::Float) / (2.0 * rows as f64);
    expected.backward();
    let (bound, gradient) = upper_bound(&[&estimator], &outputs, &permutation, 0.5);
    assert!((bound - expected).abs().double_value(&[]) < 1e-6);
    assert!((gradient * 2.0 - whole.grad()).abs().max().double_value(&[]) < 1e-7);
}

#[test]
fn bfloat16_gives_nearly_the_same_bound() {
    let bound = |precision: Precision| {
        let mut parameters = Parameters::default();
        let mut stream = crate::noise::Randomness::Seeded(4).stream(crate::noise::Purpose::Parameters, None, 0);
        let estimator = Estimator::new(Modality::Image, 16, precision, &mut parameters, &mut stream, Device::Cpu);
        let outputs = noise::normal(&mut stream, &[1, 100, 32], 1.0);
        let permutation = Tensor::arange(100, (Kind::Int64, Device::Cpu)).flip([0]);
        let (bound, gradient) = upper_bound(&[&estimator], &outputs, &permutation, 1.0);
        let learnt = learn(&[&estimator], &outputs, 1.0);
        [bound.double_value(&[]), gradient.norm().double_value(&[]), learnt.double_value(&[])]
    };
    for (rounded, exact) in bound(Precision::Bf16).into_iter().zip(bound(Precision::Float32)) {
        let off = (rounded - exact).abs() / exact.abs();
        assert!(off > 0.0 && off < 2e-2, "{rounded} {exact}");
    }
}

#[test]
fn several_estimators_together_are_each_by_itself() {
    let mut parameters = Parameters::default();
    let mut stream = crate::noise::Randomness::Seeded(5).stream(crate::noise::Purpose::Parameters, None, 0);
    let (rows, dim) = (40, 6);
    let estimators = [Modality::Image, Modality::Relation]
        .map(|modality| Estimator::new(modality, dim, Precision::Float32, &mut parameters, &mut stream, Device::Cpu));
    let outputs = noise::normal(&mut stream, &[2, rows, 2 * dim], 1.0);
    let permutations = [3, 7].map(|shift| Tensor::arange(rows, (Kind::Int64, Device::Cpu)).roll([shift], [0]));
    let flat = Tensor::cat(&[permutations[0].shallow_clone(), &permutations[1] + rows], 0);
    let gradients = |parameters: &Parameters| {
        parameters
            .iter()
            .map(|(_, parameter)| (parameter.shallow_clone().grad().copy(), parameter.shallow_clone().zero_grad()).0)
            .collect::<Vec<_>>()
    };
    let (mut bound, mut loss, mut gradient) = (0.0, 0.0, Vec::new());
    for at in 0..2 {
        let own = outputs.narrow(0, at as i64, 1);
        let (of_one, of_outputs) = upper_bound(&[&estimators[at]], &own, &permutations[at], 0.5);
        bound += of_one.double_value(&[]);
        gradient.push(of_outputs);
        loss += learn(&[&estimators[at]], &own, 0.5).double_value(&[]);
    }
    let expected = gradients(&parameters);
    let both = estimators.each_ref();
    let (found, of_outputs) = upper_bound(&both, &outputs, &flat, 0.5);
    let close = |one: &Tensor, other: &Tensor| assert!((one - other).abs().max().double_value(&[]) < 1e-6);
    close(&found, &Tensor::from(bound));
    close(&of_outputs, &Tensor::cat(&gradient, 0));
    close(&learn(&both, &outputs, 0.5), &Tensor::from(loss));
    for (one, other) in gradients(&parameters).iter().zip(&expected) {
        close(one, other);
    }
}
