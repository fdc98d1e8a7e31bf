//! Whole runs on a small pair of graphs grown from one hidden world.

mod checkpoints;
mod learning;
mod links;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use data_process::event::Silent;
use data_process::pair::{Fact, Graph, GraphPair, Triple};
use data_process::store::{self, NewVectors, Provenance};
use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::RunError;
use super::checkpoint::Checkpoint;
use super::folder::{Existing, RunFolder};
use super::summary::Summary;
use super::training::train;
use crate::config::{Config, Layers};

/// Entities of each graph; the last ones have no link.
const ENTITIES: u32 = 120;
const LINKED: u32 = 100;
const WIDTH: usize = 12;

/// Two graphs that see the same hidden vectors, edges and attributes, each with its own noise.
fn world(shuffled: bool) -> (GraphPair, Vec<f32>) {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let edges: Vec<(u32, u32, u32)> = (0..4 * ENTITIES)
        .map(|_| (random.next_u32() % ENTITIES, random.next_u32() % 6, random.next_u32() % ENTITIES))
        .collect();
    let mut order: Vec<u32> = (0..ENTITIES).collect();
    order.shuffle(&mut random);
    let graph = |name: &str, of: &dyn Fn(u32) -> u32, drop: usize| {
        let triples: BTreeSet<Triple> = edges
            .iter()
            .enumerate()
            .filter(|(at, _)| at % 7 != drop)
            .map(|(_, (head, relation, tail))| Triple { head: of(*head), relation: *relation, tail: of(*tail) })
            .collect();
        let facts = (0..ENTITIES).map(|entity| Fact {
            entity: of(entity),
            attribute: entity % 9,
            value: "x".into(),
            datatype: None,
            lang: None,
        });
        Graph {
            name: name.to_owned(),
            entities: (0..ENTITIES).map(|n| format!("{name}/{n}").into_boxed_str()).collect(),
            relations: (0..6).map(|n| format!("r{n}").into_boxed_str()).collect(),
            triples: triples.into_iter().collect(),
            attributes: (0..9).map(|n| format!("a{n}").into_boxed_str()).collect(),
            facts: facts.collect(),
            ..Graph::default()
        }
    };
    let mut rights: Vec<u32> = (0..LINKED).map(|entity| order[entity as usize]).collect();
    if shuffled {
        rights.shuffle(&mut random);
    }
    let links = (0..LINKED).zip(rights).collect();
    let pair = GraphPair { left: graph("left", &|n| n, 0), right: graph("right", &|n| order[n as usize], 1), links };
    (pair, vectors(&order, &mut random))
}

fn vectors(order: &[u32], random: &mut ChaCha8Rng) -> Vec<f32> {
    let draw = |random: &mut ChaCha8Rng| -> f32 { StandardNormal.sample(random) };
    let hidden: Vec<f32> = (0..ENTITIES as usize * WIDTH).map(|_| draw(random)).collect();
    let mut all = hidden.clone();
    all.resize(2 * hidden.len(), 0.0);
    for (entity, right) in order.iter().enumerate() {
        let at = (ENTITIES + right) as usize * WIDTH;
        all[at..at + WIDTH].copy_from_slice(&hidden[entity * WIDTH..(entity + 1) * WIDTH]);
    }
    for value in &mut all {
        *value += 0.3 * draw(random);
    }
    all
}

/// A store in a folder of its own. Every tenth entity lacks a vector.
fn store(folder: &Path, shuffled: bool) -> PathBuf {
    let (pair, values) = world(shuffled);
    let rows: Vec<u32> = (0..2 * ENTITIES).filter(|row| row % 10 != 3).collect();
    let values: Vec<f32> = rows
        .iter()
        .flat_map(|row| values[*row as usize * WIDTH..(*row as usize + 1) * WIDTH].iter().copied())
        .collect();
    let provenance = Provenance { source: "a hidden world".to_owned(), ..Provenance::default() };
    let image = NewVectors { name: "image", width: WIDTH, rows: &rows, values: &values, provenance: &provenance };
    let path = folder.join("world.parquet");
    store::write(&path, &pair, &[image]).unwrap();
    path
}

fn config(store: &Path, epochs: usize, sets: &[&str]) -> Config {
    let mut all: Vec<String> = [
        "run.device=cpu",
        "model.dim=32",
        "split.rate=0.4",
        "train.batch_size=64",
        "train.lr=0.01",
        "train.evaluate_every=5",
        "train.checkpoint_every=5",
        "train.checkpoint_seconds=0",
        "train.protocol=last",
    ]
    .map(str::to_owned)
    .into();
    all.push(format!("data.store={}", store.display()));
    all.push(format!("train.epochs={epochs}"));
    all.extend(sets.iter().map(|set| (*set).to_owned()));
    Layers::of(None, &all, &[]).unwrap().config().unwrap()
}

fn run(config: &Config, folder: &Path, existing: Existing) -> Result<(RunFolder, Summary), RunError> {
    train(config, Some(folder), existing, None, &Silent)
}

/// A checkpoint of a run.
fn checkpoint(folder: &Path, name: &str) -> Checkpoint {
    let path = folder.join("checkpoints").join(name).with_extension("safetensors");
    Checkpoint::load(&path, tch::Device::Cpu).unwrap()
}

/// The tensors of the last checkpoint, as bits.
fn bits(folder: &Path) -> Vec<(String, Vec<u32>)> {
    bits_of(checkpoint(folder, "last"))
}

fn bits_of(checkpoint: Checkpoint) -> Vec<(String, Vec<u32>)> {
    let bits = |tensor: tch::Tensor| {
        let flat = tensor.to_kind(tch::Kind::Float).flatten(0, -1);
        Vec::<f32>::try_from(flat).unwrap().into_iter().map(f32::to_bits).collect()
    };
    checkpoint.tensors.into_iter().map(|(name, tensor)| (name, bits(tensor))).collect()
}
