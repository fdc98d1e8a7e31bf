//! Back from a run folder to its model, its figures and its report.

use std::path::{Path, PathBuf};

use data_process::event::{Event, Observer};
use data_process::store::Store;
use tch::{Device, Tensor};

use super::RunError;
use super::checkpoint::{Checkpoint, State};
use super::folder::RunFolder;
use super::learner::{Learner, is_parameter};
use super::material::{Material, device};
use super::summary::{Summary, Tested};
use crate::config::Config;
use crate::evidence::Evidence;
use crate::inputs::Links;
use crate::model::features::ModelInputs;
use crate::report::{self, Page};

/// The model of a run.
pub struct Model<'a> {
    pub(super) folder: &'a RunFolder,
    pub(super) learner: Learner,
    pub(super) device: Device,
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
    pub fn load(&mut self, name: &str) -> Result<State, RunError> {
        let path = self.folder.checkpoint(name);
        if !path.exists() {
            return Err(self.without(path)?);
        }
        let checkpoint = Checkpoint::load_some(&path, self.device, is_parameter)?;
        self.learner.assign(&checkpoint.tensors, &path)?;
        Ok(checkpoint.state)
    }

    /// What the lack of a checkpoint means: it is lost, or yet to come.
    fn without(&self, file: PathBuf) -> Result<RunError, RunError> {
        let folder = self.folder.path().to_owned();
        let config = self.folder.config()?;
        let finished = self.folder.read_json::<Summary>("result.json").is_ok_and(|summary| summary.finishes(&config));
        if !self.folder.goes_on() {
            return Ok(if finished {
                RunError::LostModel { file, folder }
            } else {
                RunError::NoModel { file, folder }
            });
        }
        let last = Checkpoint::load_some(&self.folder.checkpoint("last"), Device::Cpu, |_| false)?.state;
        let lost = finished || last.best.is_some() || last.epochs >= config.train.epochs;
        Ok(if lost { RunError::LostModel { file, folder } } else { RunError::NotEvaluated { file, folder } })
    }

    /// One joint vector of unit length per entity, `[N, d]`.
    pub fn vectors(&self) -> Tensor {
        self.learner.vectors()
    }

    /// What the seeds show about attribute values.
    pub fn evidence(&self) -> Option<&Evidence> {
        self.learner.evidence()
    }

    fn tested(&mut self, name: &str, links: &Links) -> Result<Tested, RunError> {
        let epochs = self.load(name)?.epochs;
        let (test, vectors_alone) = self.learner.test(&links.test)?;
        Ok(Tested { epochs, test, vectors_alone })
    }

    /// Ranks the test links with the best and the last checkpoint.
    ///
    /// # Errors
    /// If a checkpoint is missing or damaged.
    pub(super) fn rank(
        &mut self,
        config: &Config,
        links: &Links,
        state: &State,
        fingerprint: &str,
    ) -> Result<Summary, RunError> {
        let best = self.tested("best", links)?;
        // Where the best epoch is the last one, both checkpoints hold the same parameters.
        let last = if best.epochs == state.epochs { best } else { self.tested("last", links)? };
        Ok(Summary {
            name: config.run.name.clone(),
            protocol: config.train.protocol,
            counts: config.train.protocol.counts().to_owned(),
            best,
            last,
            seconds: state.seconds,
            fingerprint: fingerprint.to_owned(),
        })
    }

    /// Writes `result.json` and the report.
    ///
    /// # Errors
    /// If the folder cannot be written to, or its log is damaged.
    pub(super) fn keep(&self, config: &Config, links: &Links, summary: &Summary) -> Result<(), RunError> {
        self.folder.replace_json("result.json", summary)?;
        write_report(self.folder, config, summary, links, self.evidence())
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
    pub fn open(path: &Path, elsewhere: Option<&Path>) -> Result<Self, RunError> {
        let folder = RunFolder::open(path)?;
        let (config, identity) = (folder.config()?, folder.identity()?);
        let at: PathBuf = elsewhere.map_or(identity.store, Path::to_owned);
        if elsewhere.is_none() && !at.exists() {
            return Err(RunError::StoreGone { folder: path.to_owned(), store: at });
        }
        let store = Store::open(&at)?;
        if store.fingerprint()? != identity.fingerprint {
            return Err(RunError::OtherStore { folder: path.to_owned(), store: at });
        }
        Ok(Self { folder, config, store })
    }

    /// Ranks the test links anew, writes `result.json` and the report; where they cannot be written, the figures are still
    /// worth having.
    ///
    /// # Errors
    /// If there is no checkpoint.
    pub fn evaluate(&self, observer: &dyn Observer) -> Result<Summary, RunError> {
        let device = device(&self.config)?;
        let material = Material::of(&self.store, &self.config, Some(&self.folder), device, observer)?;
        let mut model = Model::on(&self.folder, material.inputs, material.evidence, &self.config, device);
        // A run that was killed early may have been evaluated before its first `last`.
        let last = self.folder.checkpoint("last").exists();
        let state = model.load(if last { "last" } else { "best" })?;
        let summary = model.rank(&self.config, &material.links, &state, &self.store.fingerprint()?)?;
        if let Err(error) = model.keep(&self.config, &material.links, &summary) {
            observer.on(Event::Note(&format!("the figures are not kept in the run folder: {error}")));
        }
        Ok(summary)
    }
}

/// What the folder's run reached, if it is the finished run of this configuration on these very files.
pub fn summary(config: &Config, folder: &Path) -> Option<Summary> {
    let run = RunFolder::open(folder).ok()?;
    let summary: Summary = run.read_json("result.json").ok()?;
    let same = run.config().is_ok_and(|ran| ran.hash() == config.hash()) && summary.finishes(config);
    let same = same && run.identity().is_ok_and(|begun| begun.other_file(&config.files()).is_none());
    let fingerprint = Store::open(&config.data.store).and_then(|store| store.fingerprint()).ok()?;
    (same && fingerprint == summary.fingerprint).then_some(summary)
}

fn write_report(
    folder: &RunFolder,
    config: &Config,
    summary: &Summary,
    links: &Links,
    evidence: Option<&Evidence>,
) -> Result<(), RunError> {
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
