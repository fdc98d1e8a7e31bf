//! What a run is made from: the device, and the tensors, links and evidence that a store gives as a configuration asks.

use data_process::event::{Event, Observer};
use data_process::store::{Store, Structure};
use tch::Device;

use super::RunError;
use super::folder::RunFolder;
use crate::config::Config;
use crate::device::{self, DeviceError};
use crate::evidence::Evidence;
use crate::inputs::{self, Links, links};
use crate::model::Precision;
use crate::model::features::ModelInputs;
use crate::train::protocol::Protocol;

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
    ) -> Result<Self, RunError> {
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
) -> Result<Links, RunError> {
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
