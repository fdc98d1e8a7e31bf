//! The toy pair, from its raw files through a store to tensors, against the recorded inputs.

use std::path::PathBuf;

use data_process::event::Silent;
use data_process::sources::id_files;
use data_process::store::{self, Store, Structure};
use tch::{Device, Kind, Tensor};

use super::adjacency;
use super::bags::{self, Width};
use crate::golden::{Figures, Runs, folder};
use crate::model::features::BagFeatures;

fn raw() -> PathBuf {
    let raw = folder().join("trajectory/raw");
    std::fs::read_dir(raw).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.is_dir()).unwrap()
}

fn structure() -> Structure {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("toy.parquet");
    store::write(&path, &id_files::read(&raw(), &Silent).unwrap().pair, &[]).unwrap();
    Store::open(&path).unwrap().structure().unwrap()
}

fn dense(bag: &BagFeatures) -> Tensor {
    let rows = bag.offsets.size()[0] - 1;
    let counts = bag.offsets.narrow(0, 1, rows) - bag.offsets.narrow(0, 0, rows);
    let row = Tensor::arange(rows, (Kind::Int64, Device::Cpu)).repeat_interleave_self_tensor(&counts, 0, None);
    let dense = Tensor::zeros([rows, bag.width], (Kind::Float, Device::Cpu));
    dense.index_put(&[Some(row), Some(bag.columns.shallow_clone())], &bag.values, false)
}

/// Equal where both have columns, zero beyond.
fn assert_bag(found: &BagFeatures, recorded: &Tensor, name: &str) {
    let found = dense(found);
    let columns = found.size()[1].min(recorded.size()[1]);
    assert_eq!(found.narrow(1, 0, columns), recorded.narrow(1, 0, columns), "{name}");
    for rest in [&found, recorded] {
        let beyond = rest.narrow(1, columns, rest.size()[1] - columns);
        assert!(beyond.abs().sum(Kind::Float).double_value(&[]) < f64::EPSILON, "{name}");
    }
}

#[test]
fn golden_adjacency() {
    let structure = structure();
    let found = adjacency::of(&structure, Device::Cpu);
    let recorded = Figures::read("trajectory/inputs").get("adjacency.indices");
    let entities = structure.entities as i64;
    let (recorded, _) = (recorded.get(0) * entities + recorded.get(1)).sort(0, false);
    let counts = found.offsets.narrow(0, 1, entities) - found.offsets.narrow(0, 0, entities);
    let rows = Tensor::arange(entities, (Kind::Int64, Device::Cpu)).repeat_interleave_self_tensor(&counts, 0, None);
    assert_eq!(rows * entities + found.targets, recorded);
}

#[test]
fn golden_bags() {
    let (structure, inputs) = (structure(), Figures::read("trajectory/inputs"));
    // As wide as the experts that read them; a recorded bag may end earlier.
    let initial = Figures::read("trajectory/initial_parameters");
    let width = |adaptor: &str| {
        let columns = initial.get(&format!("encoder.{adaptor}.w_gate")).size()[0] as usize;
        Width { columns, padded: true }
    };
    let relations = bags::relations(&structure, width("rel_fc"), Device::Cpu).unwrap();
    assert_bag(&relations, &inputs.get("relation_bag"), "relations");
    let attributes = bags::attributes(&structure, width("att_fc"), Device::Cpu).unwrap();
    assert_bag(&attributes, &inputs.get("attribute_bag"), "attributes");
}

/// The recording never shuffles its links: the first ⌊n·rate⌋ of the file train, the others test.
#[test]
fn golden_split() {
    let links = structure().links;
    let runs = Runs::read();
    let rate = runs.number(runs.base(), "--rate");
    let (train, test) = links.split_at((links.len() as f64 * rate) as usize);
    let inputs = Figures::read("trajectory/inputs");
    let recorded = |name: &str| {
        let links = inputs.get(name).to_kind(Kind::Int64);
        (0..links.size()[0]).map(|row| [0, 1].map(|side| links.int64_value(&[row, side]) as u32)).collect::<Vec<_>>()
    };
    assert_eq!((train.to_vec(), test.to_vec()), (recorded("train_links"), recorded("test_links")));
}
