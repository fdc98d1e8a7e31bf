//! Store columns become tensors: the graph, the bags, the vectors and the links. The only room that knows both sides.
//!
//! ```text
//!  Store ─┬─ structure ─┬─ triples ──► adjacency (both directions, self-loops, CSR)
//!         │             ├─ triples ──► bag of relations (counts)          ──► ModelInputs
//!         │             └─ mentions ─► bag of attributes (0/1)
//!         └─ vectors ─── mapped ────► dense features (scale = 1/‖row‖, missing rows imputed or masked)
//! ```
//!
//! Everything here is constant over a run: it is built once, and never recomputed in an epoch.

mod adjacency;
mod bags;
mod error;
#[cfg(test)]
mod golden_tests;
pub mod links;
mod mapped;
mod vectors;

use data_process::event::{Event, Observer};
use data_process::store::{Store, Structure};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use tch::{Device, Kind};

pub use error::InputsError;
pub use links::Links;

use crate::bounds;
use crate::modality::{Modality, PerModality};
use crate::model::features::{Features, ModelInputs};

/// How the store becomes tensors.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputsConfig {
    /// The modalities to use; one the store lacks is left out and said so. The graph is in every model.
    #[serde(deserialize_with = "with_the_graph")]
    pub modalities: Vec<Modality>,
    /// Columns of the bag of relations: the so many most frequent.
    #[serde(deserialize_with = "columns")]
    pub relation_columns: usize,
    /// Columns of the bag of attributes.
    #[serde(deserialize_with = "columns")]
    pub attribute_columns: usize,
    /// Whether a bag keeps its full width where the graphs have fewer names, as published.
    pub pad_bags: bool,
    /// What becomes of an entity without a vector.
    pub missing: Missing,
}

fn with_the_graph<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Modality>, D::Error> {
    let modalities = Vec::<Modality>::deserialize(from)?;
    if modalities.contains(&Modality::Graph) {
        return Ok(modalities);
    }
    let names: Vec<&str> = modalities.iter().map(|modality| modality.name()).collect();
    let expected = "must name `graph`, which is in every model; model.ablated = [\"graph\"] puts zeros in its place";
    Err(D::Error::custom(format!("{expected}; {names:?} does not")))
}

fn columns<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    let expected = "at least 1 (inputs.modalities leaves a bag out) and at most 1000000";
    bounds::checked(from, |count: usize| (1..=1_000_000).contains(&count), expected)
}

/// What becomes of an entity without a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// A vector is drawn from N(mean, std) of the present ones, column by column, as published.
    Impute,
    /// The entity takes no part in that modality.
    Mask,
}

/// Builds the tensors of a store on a device, its vectors in the given kind; modalities that the store does not hold are left out.
///
/// # Errors
/// If a column cannot be read, or holds a number that is not finite.
pub fn prepare(
    store: &Store,
    structure: &Structure,
    config: &InputsConfig,
    seed: u64,
    options: (Kind, Device),
    observer: &dyn Observer,
) -> Result<ModelInputs, InputsError> {
    let mut features = PerModality::from_fn(|_| None);
    let mut absent = Vec::new();
    for modality in Modality::WITH_EXPERTS.into_iter().filter(|m| config.modalities.contains(m)) {
        let found = feature(store, structure, modality, config, seed, options)?;
        if found.is_none() {
            absent.push(modality);
        }
        features[modality] = found;
    }
    if !absent.is_empty() {
        let names = absent.iter().map(|m| m.name()).collect::<Vec<_>>().join(", ");
        observer.on(Event::Note(&format!("the store holds no {names}: left out of the fusion")));
    }
    let adjacency = adjacency::of(structure, options.1);
    Ok(ModelInputs { entities: structure.entities as i64, adjacency, features })
}

fn feature(
    store: &Store,
    structure: &Structure,
    modality: Modality,
    config: &InputsConfig,
    seed: u64,
    options: (Kind, Device),
) -> Result<Option<Features>, InputsError> {
    let (_, device) = options;
    let pad = |columns: usize| bags::Width { columns, padded: config.pad_bags };
    Ok(match modality {
        Modality::Graph => None,
        Modality::Relation => bags::relations(structure, pad(config.relation_columns), device).map(Features::Bag),
        Modality::Attribute => bags::attributes(structure, pad(config.attribute_columns), device).map(Features::Bag),
        Modality::Image | Modality::RelationText | Modality::AttributeText => {
            let column = store.vector_columns().iter().find(|column| column.name == modality.name());
            match column {
                Some(column) if column.present.iter().sum::<usize>() > 0 => {
                    let source = store.vectors(modality.name())?;
                    let missing = vectors::Fill { missing: config.missing, seed, modality };
                    Some(Features::Dense(vectors::dense(source, structure.entities, missing, options)?))
                }
                _ => None,
            }
        }
    })
}
