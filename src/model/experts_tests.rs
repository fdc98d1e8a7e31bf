#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

use super::*;
use crate::golden::Figures;
use crate::model::features::slots;
use crate::model::mixture::Mixture;
use crate::model::published;

const CONFIG: ExpertsConfig = ExpertsConfig { count: 5, initial_std: 0.02, noise_floor: 0.01 };

/// The recorded experts as ours, and their input.
fn recorded(figures: &Figures) -> (Experts, Parameters, Rows) {
    let count = (0..figures.all().len()).take_while(|expert| figures.has(&format!("experts.{expert}.weight"))).count();
    let stack = |part: &str| -> Vec<Tensor> {
        (0..count).map(|expert| figures.get(&format!("experts.{expert}.{part}"))).collect()
    };
    let gate = figures.get("w_gate");
    let (width, dim) = (gate.size()[0], figures.get("output").size()[1]);
    let config = ExpertsConfig { count: count as i64, ..CONFIG };
    let mut parameters = Parameters::default();
    let mut stream = crate::noise::Randomness::Recorded.stream(crate::noise::Purpose::Parameters, None, 0);
    let experts = Experts::new(config, Modality::Image, width, dim, &mut parameters, &mut stream, Device::Cpu);
    let values = [
        ("experts.image.weight", Tensor::cat(&stack("weight"), 0)),
        ("experts.image.shift", Tensor::stack(&stack("bias"), 0)),
        ("experts.image.gate", gate),
        ("experts.image.gate_noise", Tensor::zeros([width, config.count], (Kind::Float, Device::Cpu))),
    ];
    let values = values.into_iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect();
    parameters.assign(&values, std::path::Path::new("moe_adaptor")).unwrap();
    (
        experts,
        parameters,
        Rows { parts: vec![Part::Dense(Factor::new(&figures.get("x")), None)], order: None, mask: None },
    )
}

#[test]
fn golden_experts_and_gate() {
    let figures = Figures::read("moe_adaptor");
    let (experts, parameters, rows) = recorded(&figures);
    let (output, mixture) = Mixture::of(experts.products(&rows, false), None, 0.0);
    let output = output.squeeze_dim(0);
    figures.assert_value("output", &output);
    for expert in 1..experts.count() {
        let both = experts.pair(&rows, (0, expert));
        let recorded = figures.get("expert_outputs");
        let expected = Tensor::cat(&[recorded.select(1, 0), recorded.select(1, expert)], 1);
        assert!((both - expected).abs().max().double_value(&[]) <= 1e-5);
    }
    experts.backward(&rows, &mixture.pull(&figures.get("cotangent").unsqueeze(0)));
    let weight = parameters.iter().find(|(name, _)| *name == "experts.image.weight").unwrap().1.grad();
    let shift = parameters.iter().find(|(name, _)| *name == "experts.image.shift").unwrap().1.grad();
    let dim = output.size()[1];
    for expert in 0..experts.count() {
        let close = |found: Tensor, name: &str| {
            let expected = figures.get(&format!("experts.{expert}.{name}.grad"));
            let worst = (found - &expected).abs().max().double_value(&[]) / expected.abs().max().double_value(&[]);
            assert!(worst <= 1e-4, "{name} of expert {expert}: {worst:e}");
        };
        close(weight.narrow(0, expert * dim, dim), "weight");
        close(shift.get(expert), "bias");
    }
    let gate = parameters.iter().find(|(name, _)| *name == "experts.image.gate").unwrap().1.shallow_clone();
    figures.assert_gradient("w_gate", &gate);
}

#[test]
fn published_names_are_all_known() {
    let figures = Figures::read("trajectory/initial_parameters");
    let ours = published::rename(figures.all(), std::path::Path::new("initial_parameters")).unwrap();
    assert!(ours.contains_key("experts.attribute_text.weight"));
    let dim = ours["experts.image.weight"].size()[0] / ours["experts.image.shift"].size()[0];
    assert_eq!(ours["estimator.output.weight"].size(), [5, 2, dim, dim / 2]);
    let last = figures.get("club.estimators.att_text.p_logvar.2.bias");
    assert_eq!(ours["estimator.output.bias"].get(4).get(1), last);
}

/// Six entities; entities 1 and 4 lack a vector, 1 has an imputed one.
fn dense() -> DenseFeatures {
    let f = |values: &[f32]| Tensor::from_slice(values);
    DenseFeatures {
        width: 2,
        present: f(&[3.0, 4.0, 0.0, 2.0, 1.0, 0.0, 0.0, 5.0]).view([4, 2]),
        scale: Some(f(&[0.2, 0.5, 1.0, 0.2])),
        imputed: f(&[0.6, 0.8]).view([1, 2]),
        slots: slots(&Tensor::from_slice(&[0_i64, 2, 3, 5]), &Tensor::from_slice(&[1_i64]), 6),
        mask: None,
    }
}

#[test]
fn selected_rows_are_the_normalised_rows_of_the_entities_asked_for() {
    let features = Features::Dense(dense());
    let every = Tensor::from_slice(&[0.6_f32, 0.8, 0.6, 0.8, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0]).view([6, 2]);
    let identity = Tensor::eye(2, (Kind::Float, Device::Cpu));
    // Two entities are gathered; four are computed with all the others.
    for ids in [vec![4_i64, 1], vec![5, 0], vec![5, 4, 1, 0], vec![0, 1, 2, 3, 4, 5]] {
        let ids = Tensor::from_slice(&ids);
        let found = Rows::select(&features, &ids).times(&identity, None);
        let expected = every.index_select(0, &ids);
        assert!((found - expected).abs().max().double_value(&[]) < 1e-6);
    }
}

/// Experts over two columns whose shifts are not zero any more.
fn moved_experts() -> (Experts, Parameters) {
    let mut parameters = Parameters::default();
    let mut stream = crate::noise::Randomness::Seeded(1).stream(crate::noise::Purpose::Parameters, None, 0);
    let experts = Experts::new(CONFIG, Modality::Image, 2, 3, &mut parameters, &mut stream, Device::Cpu);
    let _ = experts.shift.detach().fill_(0.5);
    (experts, parameters)
}

#[test]
fn a_sparse_bag_is_multiplied_as_its_dense_form_and_passes_the_same_gradient() {
    let bag = super::super::features::BagFeatures {
        width: 3,
        offsets: Tensor::from_slice(&[0_i64, 2, 2, 3]),
        columns: Tensor::from_slice(&[0_i64, 2, 1]),
        values: Tensor::from_slice(&[1.0_f32, 2.0, 3.0]),
    };
    let dense = Tensor::from_slice(&[1.0_f32, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 3.0, 0.0]).view([3, 3]);
    let ids = Tensor::from_slice(&[2_i64, 0, 2, 1]);
    let start = Tensor::arange(12, (Kind::Float, Device::Cpu)).view([4, 3]);
    let (sparse_weight, dense_weight) = (start.copy().set_requires_grad(true), start.copy().set_requires_grad(true));
    let sparse = Rows::select(&Features::Bag(bag), &ids).times(&sparse_weight, None);
    let expected = dense.index_select(0, &ids).mm(&dense_weight.tr());
    assert_eq!(sparse, expected);
    sparse.square().sum(Kind::Float).backward();
    expected.square().sum(Kind::Float).backward();
    assert_eq!(sparse_weight.grad(), dense_weight.grad());
}

/// An entity with a vector, asked for twice, one without, and one with an imputed vector.
fn shared_rows() -> Rows {
    Rows::select(&Features::Dense(dense()), &Tensor::from_slice(&[5_i64, 4, 1, 5]))
}

/// `shared_rows` multiplied out, as one dense part.
fn same_rows_dense() -> Rows {
    let x = shared_rows().times(&Tensor::eye(2, (Kind::Float, Device::Cpu)), None);
    Rows { parts: vec![Part::Dense(Factor::new(&x), None)], order: None, mask: None }
}

fn bag() -> Rows {
    let bag = super::super::features::BagFeatures {
        width: 2,
        offsets: Tensor::from_slice(&[0_i64, 2, 2, 3, 4]),
        columns: Tensor::from_slice(&[0_i64, 1, 1, 0]),
        values: Tensor::from_slice(&[1.0_f32, 2.0, 3.0, 4.0]),
    };
    Rows::every(&Features::Bag(bag))
}

#[test]
fn the_pair_s_way_back_gives_what_autograd_gives() {
    for rows in [shared_rows(), same_rows_dense(), bag()] {
        let gradients = |explicit: bool| {
            let (experts, _) = moved_experts();
            let cotangent = Tensor::arange(24, (Kind::Float, Device::Cpu)).view([4, 6]);
            if explicit {
                let sum = cotangent.sum_dim_intlist([0_i64].as_slice(), false, Kind::Float) * 2.0;
                experts.backward_pair(&rows, (3, 1), (&(&cotangent * 2.0), &sum), 0.5);
            } else {
                let product = rows.times(&Tensor::cat(&[experts.one(3), experts.one(1)], 0), None);
                let output = product - Tensor::cat(&[experts.offsets(3, 1), experts.offsets(1, 1)], 1);
                (output * cotangent).sum(Kind::Float).backward();
            }
            [experts.weight.grad(), experts.shift.grad()]
        };
        for (explicit, expected) in gradients(true).into_iter().zip(gradients(false)) {
            let scale = expected.abs().max().double_value(&[]);
            assert!(scale > 0.0 && (explicit - expected).abs().max().double_value(&[]) <= 1e-6 * scale);
        }
    }
}

#[test]
fn bfloat16_vectors_give_nearly_the_same_products_and_gradients() {
    let mut stream = crate::noise::Randomness::Seeded(2).stream(crate::noise::Purpose::Parameters, None, 0);
    let [x, weight, gradient] = [[40, 64], [6, 64], [40, 6]].map(|shape| noise::normal(&mut stream, &shape, 1.0));
    let rows =
        |kind: Kind| Rows { parts: vec![Part::Dense(Factor::new(&x.to_kind(kind)), None)], order: None, mask: None };
    let of = |kind: Kind| [rows(kind).times(&weight, None), rows(kind).pull(&gradient)];
    for (rounded, exact) in of(Kind::BFloat16).into_iter().zip(of(Kind::Float)) {
        assert_eq!(rounded.kind(), Kind::Float);
        let worst = (rounded - &exact).abs().max().double_value(&[]) / exact.abs().max().double_value(&[]);
        assert!(worst > 0.0 && worst < 1e-2, "{worst:e}");
    }
}
