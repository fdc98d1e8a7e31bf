//! The hot parts of an epoch, one by one: `make bench-hot` runs them and compares them with `hot_parts.json`.

mod synthetic;

use criterion::{Criterion, criterion_group, criterion_main};
use humea::eval::{self, EvalConfig, Ties};
use humea::loss::contrastive::contrastive;
use humea::loss::distillation::{Reduction, Teacher};
use humea::loss::joint::{Joint, Weights};
use humea::loss::similarity::{Masks, Similarities, normalise};
use humea::modality::Modality;
use synthetic::WIDTH;
use tch::{Device, Kind, Tensor};

/// A fourth of FB15K-DB15K, the size of the subgraph that training is compared on.
const ENTITIES: i64 = 6900;

/// What the stored figures are measured in, so that those of one machine say something on another.
fn reference(criterion: &mut Criterion) {
    let [left, right] = [(); 2].map(|()| Tensor::randn([1024, 1024], (Kind::Float, Device::Cpu)));
    criterion.bench_function("reference", |bencher| bencher.iter(|| left.mm(&right)));
}

fn graph_encoder(criterion: &mut Criterion) {
    let model = synthetic::model(ENTITIES);
    criterion.bench_function("graph encoder, forward and backward", |bencher| {
        bencher.iter(|| {
            let (output, state) = model.graph_forward();
            model.graph_backward(&output, &state);
        });
    });
}

fn experts(criterion: &mut Criterion) {
    let model = synthetic::model(ENTITIES);
    let wanted = Tensor::arange_start_step(0, ENTITIES, 5, (Kind::Int64, Device::Cpu));
    let rows = model.select(&wanted);
    for modality in [Modality::Image, Modality::RelationText, Modality::Relation] {
        criterion.bench_function(&format!("experts of {modality}, forward and backward"), |bencher| {
            bencher.iter(|| {
                let (output, mixture) = model.mix(&[modality], &rows, None);
                model.backward(&[modality], &rows, &mixture, &output);
            });
        });
    }
}

fn losses(criterion: &mut Criterion) {
    let (size, modalities) = (512, 6);
    let float = (Kind::Float, Device::Cpu);
    let [left, right] = [(); 2].map(|()| normalise(&Tensor::randn([modalities, size, WIDTH], float)));
    let [squared, presence] = [Tensor::full([modalities], 0.1, float), Tensor::ones([modalities, 2, size], float)];
    let masks = Masks::Own;
    criterion.bench_function("losses of one block, forward and backward", |bencher| {
        bencher.iter(|| {
            let cosines = Similarities::of_block(&left, &right);
            let [squared, presence] = [&squared, &presence].map(Tensor::shallow_clone);
            let joint = Joint::of(&cosines, Weights::Shared { squared, presence });
            let (_, of_joint) = contrastive(&joint.cosines, &masks, 0.1);
            let _ = joint.pull(&of_joint, &cosines);
            let teacher = Teacher::new(&joint.cosines, &masks, 4.0, Reduction::Mean);
            for modality in 0..modalities {
                let own = cosines.of(modality, 1);
                let (_, first) = contrastive(&own, &masks, 0.1);
                let (_, second) = teacher.distil(&own);
                let side = |of: &Tensor| of.narrow(0, modality, 1);
                let _ = first.zip(&second, |a, b| a + b).pull(&side(&left), &side(&right));
            }
        });
    });
}

fn embeddings(criterion: &mut Criterion) {
    let model = synthetic::model(ENTITIES);
    let wanted = Tensor::arange(2048, (Kind::Int64, Device::Cpu));
    criterion.bench_function("joint embeddings of 2048 entities", |bencher| {
        bencher.iter(|| model.joint(&wanted).vectors);
    });
}

fn evaluation(criterion: &mut Criterion) {
    let [left, right] = [(); 2].map(|()| normalise(&Tensor::randn([2000, 6 * WIDTH], (Kind::Float, Device::Cpu))));
    let config = EvalConfig { csls: true, csls_k: 3, ties: Ties::Pessimistic };
    criterion.bench_function("CSLS and ranks of 2000 links, both directions", |bencher| {
        bencher.iter(|| eval::Ranking::new(&left, &right, config).and_then(|ranking| ranking.ranks(None)));
    });
}

criterion_group! {
    name = hot_parts;
    config = Criterion::default().sample_size(10);
    targets = reference, graph_encoder, experts, losses, embeddings, evaluation
}
criterion_main!(hot_parts);
