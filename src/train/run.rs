//! From a configuration to a finished run folder, and back from a run folder to its model.

use std::path::{Path, PathBuf};

use data_process::event::{Event, Observer};
use data_process::store::{Store, Structure};
use tch::{Device, Tensor};

use super::TrainError;
use super::checkpoint::{Checkpoint, State};
use super::learner::Learner;
use super::protocol::Protocol;
use super::run_folder::{self, Existing, Identity, RunFolder, now};
use super::session::Session;
use super::summary::{Summary, Tested};
use crate::device::{self, DeviceError};
use crate::evidence::Evidence;
use crate::inputs::{self, Links, links};
use crate::model::Precision;
use crate::model::features::ModelInputs;
use crate::pipeline::Config;
use crate::report::{self, Page};

/// Trains a run, or goes on with it, to its end; then ranks the test links and writes the report. The store is where the
/// configuration says, or `elsewhere`.
///
/// # Errors
/// Any [`TrainError`]; what was finished is in the run folder.
pub fn train(
    config: &Config,
    run_dir: Option<&Path>,
    existing: Existing,
    elsewhere: Option<&Path>,
    observer: &dyn Observer,
) -> Result<(RunFolder, Summary), TrainError> {
    let path = run_dir.map_or_else(|| Path::new("runs").join(config.folder_name()), Path::to_owned);
    let begun = RunFolder::begun(&path, existing)?;
    // Told before the store is read; a folder that is not there yet is only made once everything else is found good.
    let early = path.is_dir().then(|| run_folder::lock(&path)).transpose()?;
    let store = Store::open(elsewhere.map_or_else(|| config.store(), Ok)?)?;
    let device = device(config)?;
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
    let _training = early.map_or_else(|| run_folder::lock(&path), Ok)?;
    let folder = match begun {
        Some(run) => run,
        None => RunFolder::create(&path, config, &identity, &links, existing)?,
    };
    device::only_ask(device);
    let session = Session::begin(config, &folder, &structure, &links, &mut learner, device)?;
    let state = session.run(observer)?;
    let summary = Model { folder: &folder, learner, device }.finish(config, &links, &state, &store.fingerprint()?)?;
    observer.on(Event::Note(&format!("report: {}", folder.report().display())));
    Ok((folder, summary))
}

/// The device of a run, which from now on multiplies no more precisely than the run demands.
///
/// # Errors
/// If the device is not to be had, or cannot do that.
pub(super) fn device(config: &Config) -> Result<Device, DeviceError> {
    let device = device::choose(config.run.device)?;
    if device.is_cuda() && config.model.precision == Precision::Tf32 {
        device::allow_tf32(true)?;
    }
    Ok(device)
}

fn identity(store: &Store, config: &Config, device: Device) -> Result<Identity, TrainError> {
    let path = store.path();
    Ok(Identity {
        name: config.run.name.clone(),
        seed: config.run.seed,
        config_hash: config.hash(),
        files: config.files(),
        humea: env!("CARGO_PKG_VERSION").to_owned(),
        device: format!("{device:?}"),
        store: path.canonicalize().unwrap_or_else(|_| path.to_owned()),
        fingerprint: store.fingerprint()?,
        graphs: store.graph_names().map(str::to_owned),
        started: now(),
    })
}

/// What a store gives a run.
#[derive(Debug)]
pub struct Material {
    /// The tensors.
    pub inputs: ModelInputs,
    /// The links.
    pub links: Links,
    /// The decoded structure.
    pub structure: Structure,
    /// What the seeds show about attribute values, if that is wanted.
    pub evidence: Option<Evidence>,
}

impl Material {
    /// Reads a store as a configuration asks; the links are those of the run that was `begun`, if one was, whatever has
    /// become of the files they came from.
    ///
    /// # Errors
    /// If there are no links, or a column cannot be read.
    pub fn of(
        store: &Store,
        config: &Config,
        begun: Option<&RunFolder>,
        device: Device,
        observer: &dyn Observer,
    ) -> Result<Self, TrainError> {
        let structure = store.structure()?;
        let links = match begun {
            Some(run) => Links::read(&run.links(), structure.left, structure.entities)?,
            None => choose_links(store, &structure, config, observer)?,
        };
        let options = (config.model.precision.kind(), device);
        let inputs = inputs::prepare(store, &structure, &config.inputs, config.run.seed, options, observer)?;
        let evidence = if config.evidence.values {
            Evidence::learn(&store.pair()?, &links.train, config.evidence.weight)
        } else {
            None
        };
        if let Some(evidence) = &evidence {
            let pairs = evidence.same_attributes().len();
            observer.on(Event::Note(&format!("{pairs} pairs of attributes say the same: their values are evidence")));
        }
        Ok(Self { inputs, links, structure, evidence })
    }
}

/// Which links train, validate and test, as the configuration says.
fn choose_links(
    store: &Store,
    structure: &Structure,
    config: &Config,
    observer: &dyn Observer,
) -> Result<Links, TrainError> {
    let split = &config.split;
    let held_out = match config.train.protocol {
        Protocol::Validation => Some(split.validation),
        Protocol::Last | Protocol::BestOnTest => None,
    };
    let mut links = if split.file.as_os_str().is_empty() {
        Links::split(structure, split.seed, split.rate, held_out)?
    } else {
        Links::published(&split.file, structure, &store.uris()?, held_out)?
    };
    if !split.train_links.as_os_str().is_empty() {
        let further = links::read(&split.train_links, structure.left, structure.entities)?;
        let (file, held_out) = (split.train_links.display(), links.add_training(&further));
        let tested = links.trained_and_tested();
        for (count, what) in [(held_out, "held out for validation: left out"), (tested, "test links: trained on")] {
            if count > 0 {
                observer.on(Event::Note(&format!("{file}: {count} of its links are {what}")));
            }
        }
    }
    Ok(links)
}

/// The model of a run.
pub struct Model<'a> {
    folder: &'a RunFolder,
    learner: Learner,
    device: Device,
}

impl<'a> Model<'a> {
    /// The model of a run, its parameters still to be loaded.
    pub fn on(
        folder: &'a RunFolder,
        inputs: ModelInputs,
        evidence: Option<Evidence>,
        config: &Config,
        device: Device,
    ) -> Self {
        Self { folder, learner: Learner::new(config, inputs, evidence, device), device }
    }

    /// Loads the parameters of a checkpoint.
    ///
    /// # Errors
    /// If there is none of that name, or it does not fit the model.
    pub fn load(&mut self, name: &str) -> Result<State, TrainError> {
        let path = self.folder.checkpoint(name);
        if !path.exists() {
            return Err(TrainError::NoModel { folder: self.folder.path().to_owned() });
        }
        let checkpoint = Checkpoint::load(&path, self.device)?;
        self.learner.assign(&checkpoint.tensors, &path)?;
        Ok(checkpoint.state)
    }

    /// One joint vector of unit length per entity, `[N, d]`.
    pub fn vectors(&self) -> Tensor {
        self.learner.vectors()
    }

    /// What the seeds show about attribute values.
    pub fn evidence(&self) -> Option<&Evidence> {
        self.learner.evidence()
    }

    fn tested(&mut self, name: &str, links: &Links) -> Result<Tested, TrainError> {
        let epochs = self.load(name)?.epochs;
        let (test, vectors_alone) = self.learner.test(&links.test)?;
        Ok(Tested { epochs, test, vectors_alone })
    }

    /// Ranks the test links with the best and the last checkpoint; writes `result.json` and the report.
    ///
    /// # Errors
    /// If a checkpoint is missing or damaged, or the folder cannot be written.
    fn finish(
        &mut self,
        config: &Config,
        links: &Links,
        state: &State,
        fingerprint: &str,
    ) -> Result<Summary, TrainError> {
        let best = self.tested("best", links)?;
        // Where the best epoch is the last one, both checkpoints hold the same parameters.
        let last = if best.epochs == state.epochs { best } else { self.tested("last", links)? };
        let summary = Summary {
            name: config.run.name.clone(),
            protocol: config.train.protocol,
            counts: config.train.protocol.counts().to_owned(),
            best,
            last,
            seconds: state.seconds,
            fingerprint: fingerprint.to_owned(),
        };
        self.folder.replace_json("result.json", &summary)?;
        write_report(self.folder, config, &summary, links, self.evidence())?;
        Ok(summary)
    }
}

/// A finished run opened again: nothing but its folder and the store is needed.
#[derive(Debug)]
pub struct Reopened {
    /// The folder.
    pub folder: RunFolder,
    /// Its configuration.
    pub config: Config,
    /// The store it was trained on.
    pub store: Store,
}

impl Reopened {
    /// Opens a run and the store it was trained on, or `elsewhere` if that has moved.
    ///
    /// # Errors
    /// If the folder holds no run, or the store is not the one it was trained on.
    pub fn open(path: &Path, elsewhere: Option<&Path>) -> Result<Self, TrainError> {
        let folder = RunFolder::open(path)?;
        let (config, identity) = (folder.config()?, folder.identity()?);
        let at: PathBuf = elsewhere.map_or(identity.store, Path::to_owned);
        let store = Store::open(&at)?;
        if store.fingerprint()? != identity.fingerprint {
            return Err(TrainError::OtherStore { folder: path.to_owned(), store: at });
        }
        Ok(Self { folder, config, store })
    }

    /// Ranks the test links anew, writes `result.json` and the report.
    ///
    /// # Errors
    /// If there is no checkpoint.
    pub fn evaluate(&self, observer: &dyn Observer) -> Result<Summary, TrainError> {
        let device = device(&self.config)?;
        let material = Material::of(&self.store, &self.config, Some(&self.folder), device, observer)?;
        let mut model = Model::on(&self.folder, material.inputs, material.evidence, &self.config, device);
        // A run that was killed early may have been evaluated before its first `last`.
        let last = self.folder.checkpoint("last").exists();
        let state = model.load(if last { "last" } else { "best" })?;
        model.finish(&self.config, &material.links, &state, &self.store.fingerprint()?)
    }
}

fn write_report(
    folder: &RunFolder,
    config: &Config,
    summary: &Summary,
    links: &Links,
    evidence: Option<&Evidence>,
) -> Result<(), TrainError> {
    let identity = folder.identity()?;
    let facts = [
        ("store", identity.store.display().to_string()),
        ("fingerprint", identity.fingerprint),
        ("graphs", identity.graphs.join(" – ")),
        ("seed", identity.seed.to_string()),
        ("device", identity.device),
        ("humea", identity.humea),
        ("rank among equals", config.evaluate.ties.name().to_owned()),
        ("test links that were trained on", links.trained_and_tested().to_string()),
        ("seconds of training", format!("{:.1}", summary.seconds)),
    ];
    let results = summary.rows().into_iter().flat_map(|(name, _, tested)| {
        let alone = tested.vectors_alone.map(|figures| (format!("{name}, vectors alone"), figures));
        [(format!("{name} (epoch {})", tested.epochs), tested.test)].into_iter().chain(alone)
    });
    let page = Page {
        title: folder.path().file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
        facts: facts.map(|(name, fact)| (name.to_owned(), fact)).into(),
        protocol: summary.protocol.describe().to_owned(),
        results: results.collect(),
        same_attributes: evidence.map(Evidence::same_attributes).unwrap_or_default(),
        expected: config.expected.describe(),
        lines: report::read(&folder.metrics())?,
        config: config.to_toml().unwrap_or_default(),
    };
    folder.replace("report.html", report::render(&page).as_bytes())
}
