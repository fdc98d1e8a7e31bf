#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

use super::*;
use crate::model::features::{Adjacency, DenseFeatures, slots};

/// Six entities without neighbours. Entities 1 and 4 have no vector: 1 is given one, 4 is masked out of the images.
fn masked() -> Humea {
    let f = |values: &[f32]| Tensor::from_slice(values);
    let images = DenseFeatures {
        width: 2,
        present: f(&[3.0, 4.0, 0.0, 2.0, 1.0, 0.0, 0.0, 5.0]).view([4, 2]),
        scale: Some(f(&[0.2, 0.5, 1.0, 0.2])),
        imputed: f(&[0.6, 0.8]).view([1, 2]),
        slots: slots(&Tensor::from_slice(&[0_i64, 2, 3, 5]), &Tensor::from_slice(&[1_i64]), 6),
        mask: Some(f(&[1.0, 1.0, 1.0, 1.0, 0.0, 1.0])),
    };
    let ids = |end| Tensor::arange(end, (Kind::Int64, Device::Cpu));
    let mut features = PerModality::from_fn(|_| None);
    features[Modality::Image] = Some(Features::Dense(images));
    let inputs = ModelInputs { entities: 6, adjacency: Adjacency { offsets: ids(7), targets: ids(6) }, features };
    let config = crate::config::Layers::of(None, &["model.dim=4".to_owned()], &[]).unwrap().config().unwrap().model;
    Humea::new(config, inputs, Randomness::Seeded(1), Device::Cpu)
}

/// What the experts subtract from the input would give a masked entity an embedding all the same.
#[test]
fn a_masked_entity_has_no_embedding_and_pulls_at_nothing() {
    for ids in [vec![4_i64, 1], vec![5, 4, 1, 0]] {
        let model = masked();
        let shift = model.parameters.iter().find(|(name, _)| *name == "experts.image.shift").unwrap().1.detach();
        let _ = shift.shallow_clone().fill_(0.5);
        let place = ids.iter().position(|id| *id == 4).unwrap() as i64;
        let rows = model.select(&Tensor::from_slice(&ids));
        let (embedded, mixture) = no_grad(|| model.mix(&[Modality::Image], &rows, None));
        let embedded = embedded.squeeze_dim(0);
        assert_eq!(embedded.get(place), Tensor::zeros([4], (Kind::Float, Device::Cpu)), "{ids:?}");
        assert_eq!(embedded.any_dim(1, false).sum(Kind::Int64).int64_value(&[]), ids.len() as i64 - 1);
        let gradient = Tensor::zeros_like(&embedded);
        let _ = gradient.get(place).fill_(1.0);
        model.backward(&[Modality::Image], &rows, &mixture, &gradient.unsqueeze(0));
        let gradients = model.parameters.iter().map(|(_, parameter)| parameter.grad()).filter(Tensor::defined);
        assert!(gradients.map(|gradient| gradient.abs().max().double_value(&[])).eq([0.0; 3]), "{ids:?}");
    }
}

#[test]
fn a_cpu_embeds_each_modality_alone() {
    let model = masked();
    assert_eq!(model.groups().collect::<Vec<_>>(), [[Modality::Graph], [Modality::Image]]);
}
