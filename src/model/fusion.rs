//! Inter-modality fusion (method, section 4): a mixture over seven fixed combinations of modalities, of which each
//! modality's weight is the sum. The joint embedding is never concatenated: see [`crate::loss::similarity`].

use std::cell::RefCell;

use serde::{Deserialize, Deserializer, Serialize, de::Error};
use tch::{Device, Kind, Tensor, no_grad};

use super::parameters::Parameters;
use crate::bounds;
use crate::modality::{Modality, PerModality};
use crate::noise;
use crate::transfer::{self, Arriving};

/// The fixed combinations, in order.
pub const COMBINATIONS: [&[Modality]; 7] = [
    &[Modality::Image],
    &[Modality::RelationText],
    &[Modality::AttributeText],
    &[Modality::Relation, Modality::Attribute],
    &[Modality::Graph, Modality::Relation],
    &[Modality::Graph, Modality::Attribute],
    &[Modality::Graph, Modality::Relation, Modality::Attribute],
];

/// How the combinations are weighted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FusionConfig {
    /// Width of the learnt query the weights are projected from; 0 learns the weights directly.
    #[serde(deserialize_with = "bounds::at_least_zero")]
    pub query_dim: i64,
    /// Combinations kept, the rest dropped and the kept ones renormalised; 0 keeps all (a soft mixture).
    #[serde(deserialize_with = "bounds::at_least_zero")]
    pub top_k: i64,
    /// Which of equally weighted combinations are kept; at the start all are equal.
    pub ties: Ties,
    /// Whether each entity has weights of its own, read from its embeddings, instead of the same as all others. Of its equal ones the
    /// first are kept.
    pub per_entity: bool,
}

/// Weights of an entity's own are no part of the published program, so its ties cannot be kept in them.
pub(super) fn consistent<'de, D: Deserializer<'de>>(from: D) -> Result<FusionConfig, D::Error> {
    let config = FusionConfig::deserialize(from)?;
    if config.per_entity && config.ties == Ties::AsPublished {
        let message = "per_entity needs ties = \"lowest\": the published program has no weights of an entity's own";
        return Err(D::Error::custom(message));
    }
    Ok(config)
}

/// Which of equally weighted combinations are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ties {
    /// The first ones, whatever the device.
    Lowest,
    /// Those that libtorch's `topk` happens to keep on the CPU, as published: the host chooses, whatever the device.
    AsPublished,
}

/// The learnt mixture.
#[derive(Debug)]
pub struct Fusion {
    top_k: i64,
    ties: Ties,
    logits: Logits,
    gate: Option<Gate>,
    /// `[6, C]`, 1 where the modality is in the combination, over the combinations that have any present modality.
    members: Tensor,
    combinations: i64,
    /// The shares of all combinations on their way to the host, if it is to choose.
    foreseen: RefCell<Option<Arriving>>,
}

#[derive(Debug)]
enum Logits {
    Direct(Tensor),
    Query { query: Tensor, weight: Tensor, bias: Tensor },
}

impl Logits {
    fn new(
        query_dim: i64,
        combinations: i64,
        parameters: &mut Parameters,
        stream: &mut rand_chacha::ChaCha8Rng,
        device: Device,
    ) -> Self {
        if query_dim == 0 {
            let zeros = Tensor::zeros([combinations], (Kind::Float, device));
            return Self::Direct(parameters.add("fusion.weight".to_owned(), &zeros, device));
        }
        // The projection starts as PyTorch's Linear does: U(±1/√fan_in) for weight and bias.
        let bound = 1.0 / (query_dim as f32).sqrt();
        let query = noise::normal(stream, &[query_dim], 1.0);
        let weight = noise::uniform(stream, &[combinations, query_dim], bound);
        let bias = noise::uniform(stream, &[combinations], bound);
        Self::Query {
            query: parameters.add("fusion.query".to_owned(), &query, device),
            weight: parameters.add("fusion.projection.weight".to_owned(), &weight, device),
            bias: parameters.add("fusion.projection.bias".to_owned(), &bias, device),
        }
    }

    /// Those of all entities, `[C]`.
    fn shared(&self) -> Tensor {
        match self {
            Self::Direct(weight) => weight.shallow_clone(),
            Self::Query { query, weight, bias } => weight.mv(query) + bias,
        }
    }
}

/// What an entity adds to the logits of all, linear in its unit vectors and in the logarithms of the lengths they had: 0 at the start.
#[derive(Debug)]
struct Gate {
    /// `[M, D, C]`.
    vectors: Tensor,
    /// `[M, C]`.
    lengths: Tensor,
}

impl Gate {
    fn new(sizes: [i64; 3], parameters: &mut Parameters, device: Device) -> Self {
        let [modalities, dim, combinations] = sizes;
        let mut add = |part: &str, shape: &[i64]| {
            parameters.add(format!("fusion.gate.{part}"), &Tensor::zeros(shape, (Kind::Float, device)), device)
        };
        Self {
            vectors: add("vectors", &[modalities, dim, combinations]),
            lengths: add("lengths", &[modalities, combinations]),
        }
    }

    /// `[n, C]` for unit vectors `[M, n, D]` and their lengths `[M, n, 1]`.
    fn logits(&self, z: &Tensor, lengths: &Tensor) -> Tensor {
        let of_vectors = z.bmm(&self.vectors).sum_dim_intlist([0_i64].as_slice(), false, Kind::Float);
        of_vectors + lengths.squeeze_dim(2).log1p().tr().mm(&self.lengths)
    }
}

impl Fusion {
    /// Adds the parameters `fusion.*` for embeddings of width `dim`. An absent modality leaves its combinations; one left empty is
    /// dropped.
    pub fn new(
        config: FusionConfig,
        dim: i64,
        present: &PerModality<bool>,
        parameters: &mut Parameters,
        stream: &mut rand_chacha::ChaCha8Rng,
        device: Device,
    ) -> Self {
        let members = members(*present);
        let combinations = (members.len() / Modality::ALL.len()) as i64;
        let members = transfer::slice(&members, device).view([combinations, -1]).tr().contiguous();
        let logits = Logits::new(config.query_dim, combinations, parameters, stream, device);
        let modalities = present.iter().filter(|(_, present)| **present).count() as i64;
        let gate = config.per_entity.then(|| Gate::new([modalities, dim, combinations], parameters, device));
        let (top_k, ties, foreseen) = (config.top_k, config.ties, RefCell::new(None));
        Self { top_k, ties, logits, gate, members, combinations, foreseen }
    }

    /// Modality weights `[6]`, in the order of [`Modality::ALL`]; an absent modality has 0. None if each entity has its own.
    pub fn shared_weights(&self) -> Option<Tensor> {
        self.gate.is_none().then(|| self.members.mv(&self.shares()))
    }

    /// Each entity's weights `[6, n]`, for unit vectors `z` `[M, n, D]` of the modalities that are there and the `lengths` `[M, n, 1]`
    /// they had. The gate reads embeddings, and gives them no gradient.
    pub fn weights_of(&self, z: &Tensor, lengths: &Tensor) -> Tensor {
        let shared = self.logits.shared().unsqueeze(0);
        let logits = match &self.gate {
            Some(gate) => gate.logits(z, lengths) + shared,
            None => shared.expand([z.size()[1], -1], false),
        };
        let shares = logits.softmax(1, Kind::Float);
        let shares = if self.drops() { only(&shares, &largest(&shares, self.top_k)) } else { shares };
        self.members.mm(&shares.tr())
    }

    /// Whether each combination is kept, `[C]`.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> Tensor {
        self.shares().gt(0.0)
    }

    /// Tells the host what it will choose from, should a GPU be going to ask it. The parameters must not change before
    /// [`Self::shared_weights`] is called, other than by way of [`Self::forget`].
    pub fn look_ahead(&self) {
        let asks = self.drops() && self.ties == Ties::AsPublished && self.members.device().is_cuda();
        self.foreseen.replace(asks.then(|| no_grad(|| Arriving::begin(&self.all_shares()))));
    }

    /// Must be called when the parameters have been overwritten.
    pub fn forget(&self) {
        self.foreseen.replace(None);
    }

    fn drops(&self) -> bool {
        self.top_k > 0 && self.top_k < self.combinations
    }

    /// Shares of the combinations before any is dropped, `[C]`.
    fn all_shares(&self) -> Tensor {
        self.logits.shared().softmax(0, Kind::Float)
    }

    /// Shares of the combinations, 0 for those that are not kept, `[C]`.
    fn shares(&self) -> Tensor {
        let shares = self.all_shares();
        if self.drops() { self.keep_top(&shares) } else { shares }
    }

    fn keep_top(&self, shares: &Tensor) -> Tensor {
        let kept = match self.ties {
            Ties::Lowest => largest(shares, self.top_k),
            Ties::AsPublished => {
                let foreseen = self.foreseen.borrow();
                let host = foreseen
                    .as_ref()
                    .map_or_else(|| shares.detach().to_device(Device::Cpu), |foreseen| foreseen.wait().shallow_clone());
                transfer::send(&host.topk(self.top_k, 0, true, true).1, shares.device())
            }
        };
        only(shares, &kept)
    }
}

/// Places of the `count` largest `[…, C]` → `[…, count]`, of equal ones the first.
fn largest(shares: &Tensor, count: i64) -> Tensor {
    shares.detach().sort_stable(true, -1, true).1.narrow(-1, 0, count)
}

/// The shares `[…, C]` at the places `kept`, made to add up to one; the others 0.
fn only(shares: &Tensor, kept: &Tensor) -> Tensor {
    let largest = shares.gather(-1, kept, false);
    let total = largest.sum_dim_intlist([-1_i64].as_slice(), true, Kind::Float);
    Tensor::zeros_like(&shares.detach()).scatter(-1, kept, &(largest / total))
}

/// Membership of the six modalities in each combination that keeps any, combination by combination.
fn members(present: PerModality<bool>) -> Vec<f32> {
    let mut members = Vec::new();
    for combination in COMBINATIONS {
        let row = Modality::ALL.map(|m| f32::from(present[m] && combination.contains(&m)));
        if row.contains(&1.0) {
            members.extend(row);
        }
    }
    members
}

#[cfg(test)]
#[path = "fusion_tests.rs"]
mod tests;
