//! Finished vectors carried over the graph: what an entity's neighbours are like says what it is like, above all where it
//! lacks a modality itself.
//!
//! `H ← (1 − own)·ÂH + own·H₀` with the symmetrically normalised adjacency Â, as in personalised `PageRank` (Gasteiger et al.,
//! "Predict then Propagate", ICLR 2019). Without parameters, and only where vectors are compared: training does not see it. Not part
//! of the published method.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, no_grad};

use super::features::Adjacency;
use super::sparse;
use crate::bounds;

/// How far vectors are carried.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PropagationConfig {
    /// Steps over the graph; 0 for none.
    pub rounds: usize,
    /// An entity's own part in its vector after each step, between 0 and 1.
    #[serde(deserialize_with = "bounds::part")]
    pub own: f64,
}

/// The normalised adjacency, constant.
#[derive(Debug)]
pub struct Propagation {
    config: PropagationConfig,
    offsets: Tensor,
    targets: Tensor,
    /// `[E]`, 1/√(dᵢ·dⱼ).
    values: Tensor,
}

impl Propagation {
    /// Over a symmetric adjacency; none if no step is wanted.
    pub fn new(config: PropagationConfig, adjacency: &Adjacency) -> Option<Self> {
        if config.rounds == 0 {
            return None;
        }
        let degrees = adjacency.offsets.diff::<Tensor>(1, 0, None, None);
        let scales = degrees.to_kind(Kind::Float).rsqrt();
        let sources = scales.repeat_interleave_self_tensor(&degrees, 0, adjacency.targets.size()[0]);
        let values = sources * scales.index_select(0, &adjacency.targets);
        let [offsets, targets] = [&adjacency.offsets, &adjacency.targets].map(Tensor::shallow_clone);
        Some(Self { config, offsets, targets, values })
    }

    /// The vectors `[N, d]` of all entities after the last step.
    pub fn forward(&self, vectors: &Tensor) -> Tensor {
        no_grad(|| {
            let mut all = vectors.shallow_clone();
            for _ in 0..self.config.rounds {
                let near = sparse::product(&self.offsets, &self.targets, &self.values, &all);
                all = near * (1.0 - self.config.own) + vectors * self.config.own;
            }
            all
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    /// A path of three entities, each its own neighbour too.
    fn path() -> Adjacency {
        Adjacency {
            offsets: Tensor::from_slice(&[0_i64, 2, 5, 7]),
            targets: Tensor::from_slice(&[0_i64, 1, 0, 1, 2, 1, 2]),
        }
    }

    #[test]
    fn steps_are_those_of_the_dense_matrix() {
        let config = PropagationConfig { rounds: 2, own: 0.25 };
        let adjacency = Tensor::from_slice(&[1.0_f32, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0]).view([3, 3]);
        let scale = Tensor::from_slice(&[2.0_f32, 3.0, 2.0]).rsqrt();
        let normalised = adjacency * scale.unsqueeze(1) * &scale;
        let start = Tensor::arange(6, (Kind::Float, Device::Cpu)).view([3, 2]);
        let step = |vectors: &Tensor| normalised.mm(vectors) * 0.75 + &start * 0.25;
        let found = Propagation::new(config, &path()).unwrap().forward(&start);
        assert!((found - step(&step(&start))).abs().max().double_value(&[]) < 1e-6);
    }

    #[test]
    fn without_steps_there_is_nothing_to_do() {
        assert!(Propagation::new(PropagationConfig { rounds: 0, own: 0.5 }, &path()).is_none());
    }
}
