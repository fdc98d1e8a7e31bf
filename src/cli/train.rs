//! `humea train`: a store in, a run folder out.

use std::path::{Path, PathBuf};

use data_process::event::{Event, Observer};
use data_process::fault::{Fault, Kind};
use toml::Value;

use super::exit::Failure;
use super::stdout;
use crate::config::{Flag, Layers};
use crate::progress::Bars;
use crate::run::finished::Reopened;
use crate::run::folder::{Existing, RunFolder};
use crate::run::training;

/// Train HUMEA on a store
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A configuration is laid in layers: pipelines/defaults.toml (which lists every key), --config, \
    --set, the flags. The run folder holds config.toml, run.json and links/ before the first epoch, then metrics.jsonl, \
    TensorBoard events, checkpoints/, result.json and report.html.\n\n\
    Example: humea train --store data/fb_db.parquet --rate 0.2 --set train.epochs=30"
)]
pub struct Args {
    /// The store, as `humea prep` makes it; with --resume, where it has moved
    #[arg(long, value_name = "PATH")]
    store: Option<PathBuf>,
    /// A pipeline file; what it does not say comes from the defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One key of the configuration; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Seed of every random draw but the split
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    seed: Option<u64>,
    /// Part of the links that are seeds, between 0 and 1
    #[arg(long, value_name = "PART", allow_negative_numbers = true)]
    rate: Option<f64>,
    /// Epochs to train for
    #[arg(long, value_name = "N")]
    epochs: Option<u32>,
    /// Learning rate
    #[arg(long, value_name = "RATE", allow_negative_numbers = true)]
    lr: Option<f64>,
    /// Links in one block of the contrastive losses
    #[arg(long, value_name = "N")]
    batch_size: Option<u32>,
    /// auto, cpu or cuda
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// A published split instead of the seeded one: a folder of link files, or a file of train links
    #[arg(long, value_name = "PATH", conflicts_with = "rate")]
    split_file: Option<PathBuf>,
    /// Further training links (.npy, .parquet or text: two columns of store ids), such as pseudo-labels
    #[arg(long, value_name = "FILE")]
    train_links: Option<PathBuf>,
    /// Parameters to start from (safetensors), under our names or those of the authors' program
    #[arg(long, value_name = "FILE")]
    initial: Option<PathBuf>,
    /// The run folder; runs/<pipeline>-<seed>-<config hash> if not given
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
    /// Go on with the run in that folder from its last checkpoint
    #[arg(long, conflicts_with = "overwrite")]
    resume: bool,
    /// Begin anew in that folder, dropping the run it holds
    #[arg(long)]
    overwrite: bool,
}

/// A flag that cannot be meant.
#[derive(Debug, thiserror::Error)]
enum WrongFlag {
    /// A path that no configuration can hold.
    #[error("{flag} {path:?}: the path is not UTF-8, which a configuration is written in; rename it")]
    NotUtf8 { flag: &'static str, path: PathBuf },
    /// No run to go on with.
    #[error("--resume: which run? name its folder with --run-dir, or give the --store and the rest it was begun with")]
    NoRun,
}

impl Fault for WrongFlag {
    fn kind(&self) -> Kind {
        Kind::Configuration
    }
}

fn text(flag: &'static str, path: Option<&Path>) -> Result<Option<Value>, WrongFlag> {
    let Some(path) = path else { return Ok(None) };
    match path.to_str() {
        Some(text) => Ok(Some(Value::String(text.to_owned()))),
        None => Err(WrongFlag::NotUtf8 { flag, path: path.to_owned() }),
    }
}

impl Args {
    fn flags(&self) -> Result<Vec<Flag>, WrongFlag> {
        let whole = |number: u32| Value::Integer(i64::from(number));
        let given = [
            ("data.store", "--store", text("--store", self.store.as_deref())?),
            ("run.seed", "--seed", self.seed.map(|seed| Value::Integer(seed as i64))),
            ("split.rate", "--rate", self.rate.map(Value::Float)),
            ("train.epochs", "--epochs", self.epochs.map(whole)),
            ("train.lr", "--lr", self.lr.map(Value::Float)),
            ("train.batch_size", "--batch-size", self.batch_size.map(whole)),
            ("run.device", "--device", self.device.clone().map(Value::String)),
            ("split.file", "--split-file", text("--split-file", self.split_file.as_deref())?),
            ("train.initial", "--initial", text("--initial", self.initial.as_deref())?),
            ("split.train_links", "--train-links", text("--train-links", self.train_links.as_deref())?),
        ];
        let flags = given.into_iter().filter_map(|(key, name, value)| Some(Flag { key, name, value: value? }));
        Ok(flags.collect())
    }
}

/// Runs the subcommand.
///
/// # Errors
/// Whatever stopped it.
pub fn run(args: &Args, bars: &Bars) -> Result<(), Failure> {
    let mut flags = args.flags()?;
    // A resumed run needs nothing but its folder: what it was begun with is the lowest layer, and its store is where it was
    // then, seen from wherever this is, or where it has moved.
    let resumed =
        args.run_dir.as_ref().filter(|dir| args.resume && args.config.is_none() && dir.join("config.toml").exists());
    let begun = resumed.map(|dir| Reopened::open(dir, args.store.as_deref())).transpose()?;
    if begun.is_some() {
        flags.retain(|flag| flag.key != "data.store");
    }
    let file = args.config.clone().or(resumed.map(|dir| dir.join("config.toml")));
    let config = Layers::of(file.as_deref(), &args.sets, &flags)?.config()?;
    let existing = match (args.resume, args.overwrite) {
        (true, _) => Existing::Resume,
        (_, true) => Existing::Replace,
        _ => Existing::Refuse,
    };
    if args.resume && config.data.store.as_os_str().is_empty() {
        // Without a store in any layer there is nothing but the folder to go on with.
        RunFolder::open(args.run_dir.as_deref().ok_or(WrongFlag::NoRun)?)?;
    }
    if args.config.is_some() && !config.sweep.key.is_empty() {
        bars.on(Event::Note("the sweep of the file is left alone: this is one run of it; `humea run` makes them all"));
    }
    let store = begun.as_ref().map(|begun| begun.store.path());
    let (folder, summary) = training::train(&config, args.run_dir.as_deref(), existing, store, bars)?;
    Ok(stdout::line(format_args!("{summary}run: {}", folder.path().display()))?)
}
