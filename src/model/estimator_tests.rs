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
    let outputs = Tensor::cat(&[figures.get("z1"), figures.get("z2")], 1);
    let (bound, gradient) = estimator.upper_bound(&outputs, &figures.get("permutation"));
    figures.assert_value("upper_bound", &bound);
    for (name, half) in ["z1", "z2"].into_iter().zip(halves(&gradient)) {
        figures.assert_gradient_is(name, &half);
    }
    figures.assert_value("learning_loss", &estimator.learn(&outputs, 1.0));
}

#[test]
fn blocks_add_up_to_the_whole() {
    let mut parameters = Parameters::default();
    let mut stream = crate::noise::Randomness::Seeded(3).stream(crate::noise::Purpose::Parameters, None, 0);
    let estimator = Estimator::new(Modality::Image, 4, Precision::Float32, &mut parameters, &mut stream, Device::Cpu);
    let rows = 2 * ROWS + 17;
    let outputs = noise::normal(&mut stream, &[rows, 8], 1.0);
    let permutation = Tensor::randperm(rows, (Kind::Int64, Device::Cpu));
    let whole = leaf(&outputs);
    let [x, y] = halves(&whole);
    let (mean, log_variance) = estimator.predict(&x, true);
    let spread = (&mean - y.index_select(0, &permutation)).square() - (&mean - &y).square();
    let expected = (spread * (-log_variance).exp()).sum(Kind::Float) / (2.0 * rows as f64);
    expected.backward();
    let (bound, gradient) = estimator.upper_bound(&outputs, &permutation);
    assert!((bound - expected).abs().double_value(&[]) < 1e-6);
    assert!((gradient - whole.grad()).abs().max().double_value(&[]) < 1e-7);
}

#[test]
fn bfloat16_gives_nearly_the_same_bound() {
    let bound = |precision: Precision| {
        let mut parameters = Parameters::default();
        let mut stream = crate::noise::Randomness::Seeded(4).stream(crate::noise::Purpose::Parameters, None, 0);
        let estimator = Estimator::new(Modality::Image, 16, precision, &mut parameters, &mut stream, Device::Cpu);
        let outputs = noise::normal(&mut stream, &[100, 32], 1.0);
        let (bound, gradient) =
            estimator.upper_bound(&outputs, &Tensor::arange(100, (Kind::Int64, Device::Cpu)).flip([0]));
        let learnt = estimator.learn(&outputs, 1.0);
        [bound.double_value(&[]), gradient.norm().double_value(&[]), learnt.double_value(&[])]
    };
    for (rounded, exact) in bound(Precision::Bf16).into_iter().zip(bound(Precision::Float32)) {
        let off = (rounded - exact).abs() / exact.abs();
        assert!(off > 0.0 && off < 2e-2, "{rounded} {exact}");
    }
}
