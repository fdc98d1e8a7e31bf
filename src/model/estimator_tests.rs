#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

use super::*;
use crate::golden::Figures;
use crate::noise::{Purpose, Randomness};

fn stream(seed: u64) -> ChaCha8Rng {
    Randomness::Seeded(seed).stream(Purpose::Parameters, None, 0)
}

/// Estimators of so many modalities, freshly drawn.
fn drawn(count: u64, dim: i64, precision: Precision) -> (Estimators, Parameters) {
    let mut parameters = Parameters::default();
    let estimators = Estimators::new(dim, precision, &mut parameters, (0..count).map(stream), Device::Cpu);
    (estimators, parameters)
}

fn close(one: &Tensor, other: &Tensor) {
    assert_eq!(one.size(), other.size());
    let [apart, most] = [&(one - other), other].map(|of| of.abs().max().double_value(&[]));
    assert!(apart <= 1e-5 * most, "{apart} of {most}");
}

#[test]
fn golden_bound_and_learning_loss() {
    let figures = Figures::read("club");
    let dim = figures.get("z1").size()[1];
    let (estimators, mut parameters) = drawn(1, dim, Precision::Float32);
    let mut values = std::collections::BTreeMap::new();
    for (ours, recorded) in [("hidden", 0), ("output", 2)] {
        for kind in ["weight", "bias"] {
            let networks = ["p_mu", "p_logvar"].map(|name| figures.get(&format!("param.{name}.{recorded}.{kind}")));
            values.insert(format!("estimator.{ours}.{kind}"), Tensor::stack(&networks, 0).unsqueeze(0));
        }
    }
    parameters.assign(&values, std::path::Path::new("club")).unwrap();
    let outputs = Tensor::cat(&[figures.get("z1"), figures.get("z2")], 1).unsqueeze(0);
    let (bound, gradient) = estimators.upper_bound(0, &outputs, &figures.get("permutation"));
    figures.assert_value("upper_bound", &bound);
    let gradient = gradient / outputs.size()[1] as f64;
    for (name, half) in ["z1", "z2"].into_iter().zip(halves(&gradient.squeeze_dim(0))) {
        figures.assert_gradient_is(name, &half);
    }
    figures.assert_value("learning_loss", &estimators.learn(0, &outputs, 1.0));
}

/// Mean and log-variance of one modality's estimator, as the equations have them.
fn plain(estimators: &Estimators, place: i64, x: &Tensor) -> [Tensor; 2] {
    let layer = |of: &Layer, network: i64, x: &Tensor| {
        let [weight, bias] = [&of.weight, &of.bias].map(|of| of.get(place).get(network));
        x.linear(&weight, Some(&bias))
    };
    let output = |network| layer(&estimators.output, network, &layer(&estimators.hidden, network, x).relu());
    [output(0), output(1).tanh()]
}

#[test]
fn blocks_add_up_to_the_whole_and_both_ways_back_are_autograd_s() {
    let (estimators, parameters) = drawn(3, 4, Precision::Float32);
    let rows = 2 * ROWS + 17;
    let outputs = noise::normal(&mut stream(3), &[1, rows, 8], 1.0);
    let permutation = Tensor::randperm(rows, (Kind::Int64, Device::Cpu));
    let whole = outputs.squeeze_dim(0).set_requires_grad(true);
    let [x, y] = halves(&whole);
    let [mean, log_variance] = plain(&estimators, 1, &x);
    let precision = (-log_variance).exp();
    let apart = (&mean - &y).square();
    let expected = (((&mean - y.index_select(0, &permutation)).square() - &apart) * &precision).sum(Kind::Float);
    let of_whole = Tensor::run_backward(&[&expected / 2.0], &[&whole], true, false).remove(0);
    let (bound, gradient) = estimators.upper_bound(1, &outputs, &permutation);
    // A difference of two sums.
    assert!((bound - expected / (2.0 * rows as f64)).abs().double_value(&[]) < 1e-6);
    close(&gradient.squeeze_dim(0), &of_whole);
    let loss = (apart * precision).sum(Kind::Float) / (2.0 * rows as f64);
    let leaves: Vec<Tensor> = parameters.iter().map(|(_, parameter)| parameter.shallow_clone()).collect();
    let expected = Tensor::run_backward(&[&loss], &leaves, false, false);
    close(&estimators.learn(1, &outputs, 0.5), &loss);
    for (leaf, expected) in leaves.iter().zip(expected) {
        close(&(leaf.grad() * 2.0), &expected);
    }
}

#[test]
fn bfloat16_gives_nearly_the_same_bound() {
    let bound = |precision: Precision| {
        let (estimators, parameters) = drawn(1, 16, precision);
        let outputs = noise::normal(&mut stream(4), &[1, 100, 32], 1.0);
        let permutation = Tensor::arange(100, (Kind::Int64, Device::Cpu)).flip([0]);
        let (bound, gradient) = estimators.upper_bound(0, &outputs, &permutation);
        let learnt = estimators.learn(0, &outputs, 1.0);
        let learning = parameters.iter().map(|(_, parameter)| parameter.grad().norm().double_value(&[]));
        [bound, gradient.norm(), learnt].map(|of| of.double_value(&[])).into_iter().chain(learning).collect::<Vec<_>>()
    };
    for (rounded, exact) in bound(Precision::Bf16).into_iter().zip(bound(Precision::Float32)) {
        let off = (rounded - exact).abs() / exact.abs();
        assert!(off > 0.0 && off < 2e-2, "{rounded} {exact}");
    }
}

#[test]
fn several_estimators_together_are_each_by_itself() {
    let (rows, dim) = (40, 6);
    let outputs = noise::normal(&mut stream(5), &[2, rows, 2 * dim], 1.0);
    let orders = [3, 7].map(|shift| Tensor::arange(rows, (Kind::Int64, Device::Cpu)).roll([shift], [0]));
    let of = |groups: &[(i64, i64)]| {
        let (estimators, parameters) = drawn(3, dim, Precision::Float32);
        let (mut sums, mut gradients) = ([0.0; 2], Vec::new());
        for (first, count) in groups {
            let own = outputs.narrow(0, *first, *count);
            let places = (0..*count).map(|place| &orders[(first + place) as usize] + place * rows);
            let (bound, gradient) =
                estimators.upper_bound(1 + first, &own, &Tensor::cat(&places.collect::<Vec<_>>(), 0));
            sums[0] += bound.double_value(&[]);
            sums[1] += estimators.learn(1 + first, &own, 0.5).double_value(&[]);
            gradients.push(gradient);
        }
        let learnt = parameters.iter().map(|(_, parameter)| parameter.grad());
        [Tensor::from_slice(&sums), Tensor::cat(&gradients, 0)].into_iter().chain(learnt).collect::<Vec<_>>()
    };
    for (one, other) in of(&[(0, 2)]).iter().zip(of(&[(0, 1), (1, 1)])) {
        close(one, &other);
    }
}
