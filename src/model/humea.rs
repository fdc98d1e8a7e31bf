//! The whole model: encoder, experts, fusion and learnt loss weights over the constant inputs.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize};
use tch::{Device, Kind, Tensor, no_grad};

use super::estimator::Estimators;
use super::experts::{Experts, ExpertsConfig, Rows};
use super::features::{Features, ModelInputs};
use super::fusion::{self, Fusion, FusionConfig};
use super::graph_encoder::{GraphEncoder, GraphEncoderConfig, GraphState, Pattern};
use super::mixture::{Mixture, Products};
use super::parameters::Parameters;
use super::precision::Precision;
use super::propagation::{Propagation, PropagationConfig};
use crate::bounds;
use crate::loss::similarity::lengths;
use crate::modality::{Modality, PerModality};
use crate::noise::{Purpose, Randomness};
use crate::transfer;

/// Shape of the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Width of every embedding, D.
    #[serde(deserialize_with = "width")]
    pub dim: i64,
    /// Number format of the large products.
    pub precision: Precision,
    /// The graph encoder.
    pub graph: GraphEncoderConfig,
    /// The intra-modality experts.
    pub experts: ExpertsConfig,
    /// The inter-modality fusion.
    #[serde(deserialize_with = "fusion::consistent")]
    pub fusion: FusionConfig,
    /// What is done to the finished vectors.
    pub propagation: PropagationConfig,
    /// Modalities whose embedding is replaced by zeros (their losses stay).
    pub ablated: BTreeSet<Modality>,
}

/// The estimators are half as wide; no machine has the memory for the widest.
fn width<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    bounds::checked(from, |width: i64| (2..=1 << 16).contains(&width), "from 2 to 65536")
}

/// The model, its parameters and its inputs.
#[derive(Debug)]
pub struct Humea {
    config: ModelConfig,
    inputs: ModelInputs,
    pattern: Pattern,
    propagation: Option<Propagation>,
    /// Everything the main optimiser trains.
    pub parameters: Parameters,
    /// What the estimators' own optimiser trains.
    pub estimator_parameters: Parameters,
    graph: GraphEncoder,
    experts: PerModality<Option<Experts>>,
    /// Of the modalities with experts, in their order; none if there are none.
    estimators: Option<Estimators>,
    fusion: Fusion,
    /// `[M]` learnt log-variances of the contrastive and of the distillation losses.
    pub uncertainties: [Tensor; 2],
    modalities: Vec<Modality>,
    /// `[M]`, their places among all six.
    taken: Tensor,
}

impl Humea {
    /// A freshly initialised model over `inputs`. Parameters and inputs are on `device`.
    pub fn new(config: ModelConfig, inputs: ModelInputs, randomness: Randomness, device: Device) -> Self {
        let present = PerModality::from_fn(|m| m == Modality::Graph || inputs.features[m].is_some());
        let modalities: Vec<Modality> = Modality::ALL.into_iter().filter(|m| present[*m]).collect();
        let mut parameters = Parameters::default();
        let mut estimator_parameters = Parameters::default();
        let stream = |modality, part| randomness.stream(Purpose::Parameters, modality, part);
        let graph = GraphEncoder::new(
            config.graph,
            inputs.entities,
            config.dim,
            &mut parameters,
            &mut stream(Some(Modality::Graph), 0),
            device,
        );
        let experts = PerModality::from_fn(|m| {
            let width = inputs.features[m].as_ref()?.width();
            let stream = &mut stream(Some(m), 0);
            Some(Experts::new(config.experts, m, width, config.dim, &mut parameters, stream, device))
        });
        let estimated = modalities.iter().filter(|m| inputs.features[**m].is_some()).map(|m| stream(Some(*m), 1));
        let estimators = (estimated.clone().next().is_some())
            .then(|| Estimators::new(config.dim, config.precision, &mut estimator_parameters, estimated, device));
        let fusion = Fusion::new(config.fusion, config.dim, &present, &mut parameters, &mut stream(None, 0), device);
        let zeros = Tensor::zeros([modalities.len() as i64], (Kind::Float, device));
        let uncertainties = ["uncertainty.contrastive", "uncertainty.distillation"]
            .map(|name| parameters.add(name.to_owned(), &zeros, device));
        let pattern = Pattern::new(&inputs.adjacency, inputs.entities, config.graph.heads);
        let propagation = Propagation::new(config.propagation, &inputs.adjacency);
        let taken = transfer::slice(&modalities.iter().map(|m| *m as i64).collect::<Vec<_>>(), device);
        Self {
            config,
            inputs,
            pattern,
            propagation,
            parameters,
            estimator_parameters,
            graph,
            experts,
            estimators,
            fusion,
            uncertainties,
            modalities,
            taken,
        }
    }

    /// The modalities that take part, in order; M of them.
    pub fn modalities(&self) -> &[Modality] {
        &self.modalities
    }

    /// The constant inputs.
    pub fn inputs(&self) -> &ModelInputs {
        &self.inputs
    }

    /// Where parameters and inputs are.
    pub fn device(&self) -> Device {
        self.inputs.adjacency.offsets.device()
    }

    /// Whether a modality's embedding is replaced by zeros.
    pub fn is_ablated(&self, modality: Modality) -> bool {
        self.config.ablated.contains(&modality)
    }

    /// The features of the entities `ids` `[n]` in each modality with experts, ready to be multiplied.
    pub fn select(&self, ids: &Tensor) -> PerModality<Option<Rows>> {
        PerModality::from_fn(|m| Some(Rows::select(self.inputs.features[m].as_ref()?, ids)))
    }

    /// The features of all entities in each modality with experts.
    pub fn select_every(&self) -> PerModality<Option<Rows>> {
        PerModality::from_fn(|m| self.inputs.features[m].as_ref().map(Rows::every))
    }

    /// The graph encoder's output `[N, D]`, and what [`Self::graph_backward`] needs.
    pub fn graph_forward(&self) -> (Tensor, GraphState) {
        self.graph.forward(&self.pattern)
    }

    /// Adds the gradient of the graph encoder's parameters, given that of its output.
    pub fn graph_backward(&self, gradient: &Tensor, state: &GraphState) {
        self.graph.backward(gradient, state, &self.pattern);
    }

    /// The modalities that are embedded together, in order: each alone on a CPU, whose caches hold no more; a GPU is asked at once for
    /// those with experts, unless ablated, that follow one another.
    pub fn groups(&self) -> impl Iterator<Item = &[Modality]> {
        let mixed = |modality: &Modality| self.experts[*modality].is_some() && !self.is_ablated(*modality);
        let cuda = self.device().is_cuda();
        self.modalities.chunk_by(move |one, other| cuda && mixed(one) && mixed(other))
    }

    /// Embeddings `[G, n, D]` of the entities `ids` `[n]` in one of the groups, given the graph encoder's output and their `rows`, and
    /// what [`Self::backward`] needs of experts; they are asked for the `noise` `[G, n, E]` of their gates.
    pub fn embed(
        &self,
        group: &[Modality],
        (graph, ids): (&Tensor, &Tensor),
        rows: &PerModality<Option<Rows>>,
        noise: impl FnOnce() -> Option<Tensor>,
    ) -> (Tensor, Option<Mixture>) {
        if group.iter().any(|modality| self.is_ablated(*modality)) {
            return (self.zeros(ids.size()[0]).unsqueeze(0), None);
        }
        if group == [Modality::Graph] {
            return (graph.index_select(0, ids).unsqueeze(0), None);
        }
        let (mixed, mixture) = self.mix(group, rows, noise());
        (mixed, Some(mixture))
    }

    /// The same of modalities with experts, whether ablated or not.
    pub fn mix(
        &self,
        modalities: &[Modality],
        rows: &PerModality<Option<Rows>>,
        noise: Option<Tensor>,
    ) -> (Tensor, Mixture) {
        let each = self.experts_of(modalities, rows).map(|(_, experts, rows)| experts.products(rows, noise.is_some()));
        let products = Products::joined(&each.collect::<Vec<_>>());
        let (mixed, mixture) = Mixture::of(products, noise, self.config.experts.noise_floor);
        self.mask(&mixed, modalities, rows);
        (mixed, mixture)
    }

    /// Adds to the gradients of these modalities' experts, given that of their embeddings, `[G, n, D]`, which is overwritten.
    pub fn backward(
        &self,
        modalities: &[Modality],
        rows: &PerModality<Option<Rows>>,
        mixture: &Mixture,
        gradient: &Tensor,
    ) {
        self.mask(gradient, modalities, rows);
        let products = mixture.pull(gradient);
        for (place, experts, rows) in self.experts_of(modalities, rows) {
            experts.backward(rows, &products.of(place));
        }
    }

    /// The experts of some modalities, with their rows and their place among these.
    fn experts_of<'a>(
        &'a self,
        modalities: &'a [Modality],
        rows: &'a PerModality<Option<Rows>>,
    ) -> impl Iterator<Item = (i64, &'a Experts, &'a Rows)> {
        let each = modalities.iter().zip(0..);
        each.filter_map(|(modality, place)| Some((place, self.experts[*modality].as_ref()?, rows[*modality].as_ref()?)))
    }

    /// Makes zero what entities have in a modality they are masked out of, `[G, n, D]`.
    fn mask(&self, of: &Tensor, modalities: &[Modality], rows: &PerModality<Option<Rows>>) {
        for (place, _, rows) in self.experts_of(modalities, rows) {
            if let Some(mask) = rows.mask() {
                let mut of = of.select(0, place);
                of *= mask;
            }
        }
    }

    /// A zero embedding `[n, D]`.
    pub fn zeros(&self, count: i64) -> Tensor {
        Tensor::zeros([count, self.config.dim], (Kind::Float, self.device()))
    }

    /// The experts of a modality, if it has any.
    pub fn experts(&self, modality: Modality) -> Option<&Experts> {
        self.experts[modality].as_ref()
    }

    /// The modalities with experts, in order, whether ablated or not, and their estimators; none if there are none.
    pub fn decoupled(&self) -> Option<(Vec<Modality>, &Estimators)> {
        let modalities = self.modalities.iter().copied().filter(|modality| self.experts[*modality].is_some());
        Some((modalities.collect(), self.estimators.as_ref()?))
    }

    /// Fusion weights of the modalities that take part, `[M]`, in their order; none if each entity has its own.
    pub fn shared_weights(&self) -> Option<Tensor> {
        Some(self.fusion.shared_weights()?.index_select(0, &self.taken))
    }

    /// Each entity's fusion weights, `[M, n]`, for the unit vectors `z` `[M, n, D]` of the modalities that take part and the `lengths`
    /// `[M, n, 1]` they had.
    pub fn weights_of(&self, z: &Tensor, lengths: &Tensor) -> Tensor {
        self.fusion.weights_of(z, lengths).index_select(0, &self.taken)
    }

    /// Prepares for the next [`Self::shared_weights`], once the parameters are what they will then be.
    pub fn look_ahead(&self) {
        self.fusion.look_ahead();
    }

    /// Must be called when the parameters have been overwritten.
    pub fn forget(&self) {
        self.fusion.forget();
    }

    /// Which entities `ids` `[n]` take part in which modality: `[M, n]` of 0 and 1.
    pub fn presence(&self, ids: &Tensor) -> Tensor {
        let rows: Vec<Tensor> = self.modalities.iter().map(|m| self.presence_of(*m, ids)).collect();
        Tensor::stack(&rows, 0)
    }

    fn presence_of(&self, modality: Modality, ids: &Tensor) -> Tensor {
        let full = |value: f64| Tensor::full([ids.size()[0]], value, (Kind::Float, ids.device()));
        if self.is_ablated(modality) {
            return full(0.0);
        }
        match &self.inputs.features[modality] {
            Some(Features::Dense(dense)) => {
                dense.mask.as_ref().map_or_else(|| full(1.0), |mask| mask.index_select(0, ids))
            }
            _ => full(1.0),
        }
    }

    /// Joint embeddings of the entities `ids` `[n]` (int64), without noise or gradient; carried over the graph if that is wanted.
    pub fn joint(&self, ids: &Tensor) -> Joint {
        let Some(propagation) = &self.propagation else { return self.own_joint(ids) };
        let every = Tensor::arange(self.inputs.entities, (Kind::Int64, ids.device()));
        let Joint { vectors, weights } = self.own_joint(&every);
        Joint { vectors: propagation.forward(&vectors).index_select(0, ids), weights }
    }

    /// Block by block, so that nothing but the result grows with n.
    fn own_joint(&self, ids: &Tensor) -> Joint {
        no_grad(|| {
            let count = ids.size()[0];
            let width = self.modalities.len() as i64 * self.config.dim;
            let vectors = Tensor::empty([count, width], (Kind::Float, ids.device()));
            let (graph, shared) = (self.graph_forward().0, self.shared_weights());
            let mut sum = Tensor::zeros([self.modalities.len() as i64], (Kind::Float, ids.device()));
            let together = if ids.device().is_cuda() { GPU_BLOCK } else { BLOCK };
            for (ids, vectors) in ids.split(together, 0).iter().zip(vectors.split(together, 0)) {
                let x = self.noiseless(&graph, ids);
                let lengths = lengths(&x);
                let z = x / &lengths;
                let weights = shared.as_ref().map_or_else(|| self.weights_of(&z, &lengths), |all| all.unsqueeze(1));
                if shared.is_none() {
                    sum += weights.sum_dim_intlist([1_i64].as_slice(), false, Kind::Float);
                }
                let weighted = (z * weights.unsqueeze(2)).transpose(0, 1);
                vectors.view([-1, self.modalities.len() as i64, self.config.dim]).copy_(&weighted);
            }
            Joint { vectors, weights: shared.unwrap_or_else(|| sum / count.max(1) as f64) }
        })
    }

    /// Embeddings `[M, n, D]` of the entities `ids` `[n]`, given the graph encoder's output.
    fn noiseless(&self, graph: &Tensor, ids: &Tensor) -> Tensor {
        let rows = self.select(ids);
        let x = self.groups().map(|group| self.embed(group, (graph, ids), &rows, || None).0);
        Tensor::cat(&x.collect::<Vec<_>>(), 0)
    }

    /// Whether each combination of the fusion is kept, `[C]`.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> Tensor {
        self.fusion.kept()
    }

    /// Weights `[M]` of the modalities that take part by modality; 0 for an absent one.
    pub fn by_modality(&self, weights: &Tensor) -> PerModality<f64> {
        let mut all = PerModality::from_fn(|_| 0.0);
        let weights = Vec::<f64>::try_from(weights).unwrap_or_default();
        for (modality, weight) in self.modalities.iter().zip(weights) {
            all[*modality] = weight;
        }
        all
    }
}

/// Joint embeddings of n entities.
#[derive(Debug)]
pub struct Joint {
    /// `concat_m(w_m` · `x_m` / ‖`x_m`‖), `[n, M·D]`.
    pub vectors: Tensor,
    /// w, `[M]`: the fusion's weights of the modalities that take part, the mean over the entities where each has its own.
    pub weights: Tensor,
}

/// Entities whose joint embeddings are computed together; a GPU would spend the time of fewer waiting.
const BLOCK: i64 = 1024;
const GPU_BLOCK: i64 = 1 << 15;

#[cfg(test)]
#[path = "humea_tests.rs"]
mod tests;
