//! Inputs of any size with the shape of FB15K-DB15K: what the benches measure on, where no data set is at hand.
#![allow(dead_code, unreachable_pub, reason = "each bench compiles this file for itself and uses a part of it")]
#![allow(clippy::expect_used, reason = "a bench stops at the first surprise")]

use humea::config::{Config, Layers};
use humea::modality::{Modality, PerModality};
use humea::model::features::{Adjacency, BagFeatures, DenseFeatures, Features, ModelInputs};
use humea::model::{Humea, ModelConfig};
use humea::noise::Randomness;
use tch::{Device, Kind, Tensor};

/// D.
pub(crate) const WIDTH: i64 = 300;
/// Bag columns, and entries of an entity's bag.
const BAG: (i64, i64) = (1000, 12);
/// Edges an entity starts; both directions are kept, so it has about twice as many neighbours.
const EDGES: i64 = 22;
const FLOAT: (Kind, Device) = (Kind::Float, Device::Cpu);
const INDEX: (Kind, Device) = (Kind::Int64, Device::Cpu);

/// Both directions of random edges and the self-loops, sorted, duplicates merged.
fn adjacency(entities: i64) -> Adjacency {
    let heads = Tensor::arange(entities, INDEX).repeat_interleave_self_int(EDGES, None, None);
    let tails = Tensor::randint(entities, [entities * EDGES], INDEX);
    let own = Tensor::arange(entities, INDEX);
    let keys = Tensor::cat(&[&heads * entities + &tails, tails * entities + heads, &own * entities + own], 0);
    let keys = keys.unique_dim(0, true, false, false).0;
    let rows = keys.divide_scalar_mode(entities, "floor").to_kind(Kind::Int64);
    let offsets = Tensor::arange(entities + 1, INDEX).searchsorted::<Tensor>(&rows, false, false, "left", None);
    Adjacency { offsets, targets: keys.remainder(entities) }
}

fn dense(entities: i64, width: i64) -> Features {
    let present = Tensor::randn([entities, width], FLOAT);
    let scale = present.norm_scalaropt_dim(2, [1_i64].as_slice(), false).reciprocal();
    Features::Dense(DenseFeatures {
        width,
        present,
        scale: Some(scale),
        imputed: Tensor::zeros([0, width], FLOAT),
        slots: Tensor::arange(entities, INDEX),
        mask: None,
    })
}

fn bag(entities: i64) -> Features {
    let (width, entries) = BAG;
    // Distinct and ascending within a row: one column out of each of `entries` equal ranges.
    let range = width / entries;
    let columns = Tensor::randint(range, [entities, entries], INDEX) + Tensor::arange(entries, INDEX) * range;
    Features::Bag(BagFeatures {
        width,
        offsets: Tensor::arange(entities + 1, INDEX) * entries,
        columns: columns.view([-1]),
        values: Tensor::ones([entities * entries], FLOAT),
    })
}

/// Inputs of so many entities; image vectors of 4096 floats and texts of 768.
pub(crate) fn inputs(entities: i64) -> ModelInputs {
    tch::manual_seed(42);
    let features = PerModality::from_fn(|modality| match modality {
        Modality::Graph => None,
        Modality::Image => Some(dense(entities, 4096)),
        Modality::RelationText | Modality::AttributeText => Some(dense(entities, 768)),
        Modality::Relation | Modality::Attribute => Some(bag(entities)),
    });
    ModelInputs { entities, adjacency: adjacency(entities), features }
}

/// The configuration every run starts from.
pub(crate) fn defaults() -> Config {
    Layers::defaults().and_then(|layers| layers.config()).expect("the defaults are a whole configuration")
}

/// The default model over such inputs.
pub(crate) fn model(entities: i64) -> Humea {
    let config = ModelConfig { dim: WIDTH, ..defaults().model };
    Humea::new(config, inputs(entities), Randomness::Seeded(42), Device::Cpu)
}

/// Links of a fifth of the left entities, as at a rate of 20 % where nearly every entity has a counterpart.
pub(crate) fn links(entities: i64) -> Vec<[u32; 2]> {
    let half = entities as u32 / 2;
    (0..half).step_by(5).map(|left| [left, half + left]).collect()
}
