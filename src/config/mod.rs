//! The configuration, typed. Each section sits beside what uses it; this file only composes them.
//!
//! ```text
//!  defaults.toml ◄─ FILE (extends …) ◄─ --set ◄─ flags      layers: who says what, unknown keys refused
//!         └──────────────► Config                           the same, typed
//! ```

mod layers;
pub mod original;

pub use layers::{ConfigError, Flag, Layers};

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};

use data_process::digest;
use data_process::split::{Rate, Share};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};

use crate::align::AlignConfig;
use crate::device::Wanted;
use crate::eval::EvalConfig;
use crate::evidence::EvidenceConfig;
use crate::inputs::InputsConfig;
use crate::modality::Modality;
use crate::model::ModelConfig;
use crate::train::TrainConfig;
use crate::train::pseudo_labels::PseudoLabelsConfig;
use crate::train::step::LossConfig;

/// A whole configuration; every key is in `pipelines/defaults.toml`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Name, seed and device of the run.
    pub run: Run,
    /// Where the data comes from.
    pub data: Data,
    /// Which links are seeds.
    pub split: Split,
    /// How the store becomes tensors.
    pub inputs: InputsConfig,
    /// The layers.
    pub model: ModelConfig,
    /// The losses.
    pub loss: LossConfig,
    /// The loop.
    pub train: TrainConfig,
    /// Self-training on mutual nearest neighbours.
    pub pseudo_labels: PseudoLabelsConfig,
    /// What besides the vectors tells counterparts.
    pub evidence: EvidenceConfig,
    /// Ranking.
    pub evaluate: EvalConfig,
    /// Decoding.
    pub align: AlignConfig,
    /// Figures to compare the run with.
    pub expected: Expected,
    /// Variants of the run.
    pub sweep: Sweep,
}

/// Name, seed and device of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The pipeline's name; a file's stem unless it gives one. The run folder's name begins with it.
    #[serde(deserialize_with = "file_name")]
    pub name: String,
    /// Seed of every random draw but the split.
    pub seed: u64,
    /// `auto`, `cpu` or `cuda`.
    pub device: Wanted,
}

/// A name that leads to no other folder.
fn file_name<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let name = String::deserialize(from)?;
    let mut parts = Path::new(&name).components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(only)), None) if only == name.as_str() => Ok(name),
        _ => Err(D::Error::custom(format!("must be the name of a file, without a path; {name:?} is not"))),
    }
}

/// Where the data comes from: what `humea run` prepares when it is not there yet.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// The store.
    pub store: PathBuf,
    /// The arguments of `humea prep` that make the store; empty if it must be there.
    pub prep: Vec<String>,
    /// The language model of the text columns; empty to add none.
    pub plm: String,
}

/// Which links are seeds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// Part of the links that are seeds.
    pub rate: Rate,
    /// Seed of the NumPy-compatible shuffle; 42 in every published run.
    pub seed: u32,
    /// Part of the seeds held out to choose the epoch (protocol `validation` only).
    pub validation: Share,
    /// A published split instead of the seeded one: a folder of `train_links`, `valid_links` and `test_links` (or
    /// `sup_ent_ids` and `ref_ent_ids`), or one file of train links; empty for none.
    pub file: PathBuf,
    /// A file of further training links (npy, tsv, csv or Parquet), such as published pseudo-labels; empty for none.
    pub train_links: PathBuf,
}

/// The figures to compare a run with; `nan` where there are none. Nothing enforces them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// Hits@1, the mean of both directions, as the authors' program reports it; so are the others.
    pub hits_at_1: f64,
    /// Hits@10.
    pub hits_at_10: f64,
    /// Mean reciprocal rank.
    pub mrr: f64,
    /// Where the figures are published, or `none published`.
    pub source: String,
}

impl Expected {
    /// The figures as a sentence.
    pub fn describe(&self) -> String {
        let figures = [("H@1", self.hits_at_1), ("H@10", self.hits_at_10), ("MRR", self.mrr)];
        let known = figures.iter().filter(|(_, figure)| !figure.is_nan());
        let known: Vec<String> = known.map(|(name, figure)| format!("{name} {figure:.3}")).collect();
        if known.is_empty() { self.source.clone() } else { format!("{} ({})", known.join(", "), self.source) }
    }
}

/// Variants of a run: one for each value of one key.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// The key that varies; empty for no sweep.
    pub key: String,
    /// Its values.
    pub values: Vec<toml::Value>,
    /// Published Hits@1 for each value; empty if none.
    pub published: Vec<f64>,
}

impl Config {
    /// The store, which nothing can be trained without.
    ///
    /// # Errors
    /// If none is named.
    pub fn store(&self) -> Result<&Path, ConfigError> {
        if !self.data.store.as_os_str().is_empty() {
            return Ok(&self.data.store);
        }
        let message = "no store is named; give --store PATH, or set the key (`humea prep` makes a store)";
        Err(ConfigError::Value {
            place: format!("run `{}`", self.run.name),
            key: "data.store".to_owned(),
            message: message.to_owned(),
        })
    }

    /// A modality that is to be ablated and does not take part.
    fn ablates_nothing(&self) -> Option<Modality> {
        self.model.ablated.iter().copied().find(|modality| !self.inputs.modalities.contains(modality))
    }

    /// The configuration as TOML, as the run folder keeps it.
    ///
    /// # Errors
    /// If a value has no TOML form; a test keeps the defaults from it.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string_pretty(self)
    }

    /// Eight hexadecimal digits that change with anything that may change the result: not with the run's name, the
    /// figures it is compared with, how the store was made, nor the least time between two checkpoints.
    pub fn hash(&self) -> String {
        self.hash_with(&BTreeMap::new())
    }

    fn hash_with(&self, files: &BTreeMap<String, String>) -> String {
        let table = self.deciding().and_then(|table| toml::to_string_pretty(&table).ok());
        let mut hash = Sha256::new_with_prefix(table.unwrap_or_default());
        files.iter().flat_map(|(key, digest)| [key, digest]).for_each(|text| hash.update(text));
        let digest = hash.finalize();
        format!("{:08x}", u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]))
    }

    /// What may change the result. Without the least time between two checkpoints: runs of before there was one keep their
    /// hash. By way of the text, which has the shortest form of numbers of single precision.
    fn deciding(&self) -> Option<toml::Table> {
        let mut same = self.clone();
        same.run.name.clear();
        same.expected = Expected { hits_at_1: 0.0, hits_at_10: 0.0, mrr: 0.0, source: String::new() };
        same.sweep = Sweep::default();
        same.data.prep.clear();
        let mut table: toml::Table = same.to_toml().ok()?.parse().ok()?;
        table.get_mut("train")?.as_table_mut()?.remove("checkpoint_seconds");
        Some(table)
    }

    /// What may change the result and is another in `now`: each key with both values.
    pub fn differences(&self, now: &Self) -> Vec<String> {
        let [before, now] = [self, now].map(|config| config.deciding().unwrap_or_default());
        let pairs = layers::keys(&before).into_iter().filter_map(|key| {
            let (was, is) = (layers::value(&before, &key)?, layers::value(&now, &key)?);
            (was != is).then(|| format!("`{key}` was {was} and is {is}"))
        });
        pairs.collect()
    }

    /// SHA-256 of the files besides the store that the run is made from, by the key that names them; one that cannot be
    /// read has none.
    pub fn files(&self) -> BTreeMap<String, String> {
        let named = [
            ("split.file", &self.split.file),
            ("split.train_links", &self.split.train_links),
            ("train.initial", &self.train.initial),
        ];
        let given = named.into_iter().filter(|(_, path)| !path.as_os_str().is_empty());
        given.filter_map(|(key, path)| Some((key.to_owned(), digest_of(path).ok()?))).collect()
    }

    /// The folder of the run within `runs`, `<pipeline>-<seed>-<config hash>`; the hash changes with those files, too.
    pub fn folder_name(&self) -> String {
        format!("{}-{}-{}", self.run.name, self.run.seed, self.hash_with(&self.files()))
    }
}

/// The SHA-256 of a file, or of the names and contents of the files in a folder.
fn digest_of(path: &Path) -> io::Result<String> {
    if !path.is_dir() {
        return digest::sha256(path);
    }
    let entries = path.read_dir()?.map(|entry| entry.map(|entry| entry.path()));
    let mut files = entries.collect::<io::Result<Vec<PathBuf>>>()?;
    files.retain(|file| file.is_file());
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        hash.update(file.file_name().unwrap_or_default().as_encoded_bytes());
        hash.update(digest::sha256(&file)?);
    }
    Ok(digest::hex(&hash.finalize()))
}

#[cfg(test)]
mod tests {
    use crate::config::Layers;

    #[test]
    fn a_configuration_survives_its_run_folder() {
        let config = Layers::defaults().unwrap().config().unwrap();
        let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        std::fs::write(file.path(), config.to_toml().unwrap()).unwrap();
        assert_eq!(Layers::resolved(file.path()).unwrap().to_toml().unwrap(), config.to_toml().unwrap());
    }

    #[test]
    fn the_folder_follows_the_files_a_run_is_made_from() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Layers::defaults().unwrap().config().unwrap();
        assert!(config.folder_name().ends_with(&config.hash()) && config.files().is_empty());
        (config.split.file, config.train.initial) = (folder.path().to_owned(), folder.path().join("no such file"));
        let mut names = Vec::new();
        for links in ["a b", "a c"] {
            std::fs::write(folder.path().join("train_links"), links).unwrap();
            names.push(config.folder_name());
        }
        config.split.file = folder.path().join("train_links");
        assert_eq!(config.files().into_keys().collect::<Vec<_>>(), ["split.file"]);
        names.push(config.folder_name());
        names.dedup();
        assert_eq!(names.len(), 3, "{names:?}");
    }

    #[test]
    fn the_hash_follows_what_changes_the_result_and_nothing_else() {
        let config = Layers::defaults().unwrap().config().unwrap();
        let (mut renamed, mut longer) = (config.clone(), config.clone());
        renamed.run.name = "another".to_owned();
        renamed.train.checkpoint_seconds += 1.0;
        longer.train.epochs += 1;
        assert_eq!(config.hash(), renamed.hash());
        assert_ne!(config.hash(), longer.hash());
    }
}
