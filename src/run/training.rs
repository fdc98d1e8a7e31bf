//! From a configuration to a finished run folder.

use std::path::Path;

use data_process::event::{Event, Observer};
use data_process::store::Store;
use tch::Device;

use super::RunError;
use super::finished::Model;
use super::folder::{self, Existing, Identity, RunFolder, now};
use super::learner::Learner;
use super::material::{self, Material};
use super::session::Session;
use super::summary::Summary;
use crate::config::Config;
use crate::device;

/// Trains a run, or goes on with it, to its end; then ranks the test links and writes the report. The store is where the
/// configuration says, or `elsewhere`.
///
/// # Errors
/// Any [`RunError`]; what was finished is in the run folder.
pub fn train(
    config: &Config,
    run_dir: Option<&Path>,
    existing: Existing,
    elsewhere: Option<&Path>,
    observer: &dyn Observer,
) -> Result<(RunFolder, Summary), RunError> {
    let path = run_dir.map_or_else(|| Path::new("runs").join(config.folder_name()), Path::to_owned);
    let begun = RunFolder::begun(&path, existing)?;
    // Told before the store is read; a folder that is not there yet is only made once everything else is found good.
    let early = path.is_dir().then(|| folder::lock(&path)).transpose()?;
    let store = Store::open(elsewhere.map_or_else(|| config.store(), Ok)?)?;
    let device = material::device(config)?;
    device::keep_freed_memory();
    let identity = identity(&store, config, device)?;
    if let Some(run) = &begun {
        run.same_run(config, &identity)?;
    }
    let material = Material::of(&store, config, begun.as_ref(), device, observer)?;
    let Material { inputs, links, structure, evidence } = material;
    let mut learner = Learner::new(config, inputs, evidence, device);
    if !config.train.initial.as_os_str().is_empty() && !begun.as_ref().is_some_and(RunFolder::goes_on) {
        learner.start_from(&config.train.initial)?;
    }
    let _training = early.map_or_else(|| folder::lock(&path), Ok)?;
    let folder = match begun {
        Some(run) => run,
        None => RunFolder::create(&path, config, &identity, &links, existing)?,
    };
    device::only_ask(device);
    let session = Session::begin(config, &folder, &structure, &links, &mut learner, device)?;
    let state = session.run(observer)?;
    let mut model = Model { folder: &folder, learner, device };
    let summary = model.rank(config, &links, &state, &store.fingerprint()?)?;
    model.keep(config, &links, &summary)?;
    observer.on(Event::Note(&format!("report: {}", folder.report().display())));
    Ok((folder, summary))
}

fn identity(store: &Store, config: &Config, device: Device) -> Result<Identity, RunError> {
    let path = store.path();
    Ok(Identity {
        name: config.run.name.clone(),
        seed: config.run.seed,
        config_hash: config.hash(),
        files: config.files(),
        humea: env!("CARGO_PKG_VERSION").to_owned(),
        device: device::name(device).to_owned(),
        store: path.canonicalize().unwrap_or_else(|_| path.to_owned()),
        fingerprint: store.fingerprint()?,
        graphs: store.graph_names().map(str::to_owned),
        started: now(),
    })
}
