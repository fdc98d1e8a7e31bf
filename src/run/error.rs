//! What can stop a run.

use std::path::PathBuf;

use data_process::fault::{Fault, Kind};
use data_process::store::StoreError;

use super::folder::Checkpointed;
use crate::config::ConfigError;
use crate::device::DeviceError;
use crate::inputs::InputsError;
use crate::model::parameters::ParametersError;
use crate::report::MetricsError;

/// What can stop a run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Between the store and the tensors.
    #[error(transparent)]
    Inputs(#[from] InputsError),
    /// The configuration kept in a run folder.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The metrics log.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The parameters of a checkpoint, or those to start from.
    #[error(transparent)]
    Parameters(#[from] ParametersError),
    /// The file to start from cannot be read.
    #[error("cannot read parameters from {path}: {source}; it must be a safetensors file", path = path.display())]
    Initial {
        /// The file.
        path: PathBuf,
        /// Why.
        source: tch::TchError,
    },
    /// The device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The folder holds a run already.
    #[error(
        "{folder} holds a run already; --resume goes on with it, --overwrite begins anew, --run-dir puts the new one elsewhere",
        folder = folder.display()
    )]
    Exists {
        /// The folder.
        folder: PathBuf,
    },
    /// Another process is training in the folder.
    #[error("another humea is training in {folder}; wait for it or stop it, or give another --run-dir", folder = folder.display())]
    Busy {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder holds no run.
    #[error("{folder} is not a run folder: it has no config.toml; `humea train` makes one", folder = folder.display())]
    NotARun {
        /// The folder.
        folder: PathBuf,
    },
    /// The run has no model yet.
    #[error("{folder} has no checkpoint yet; go on with it: humea train --resume --run-dir {folder}", folder = folder.display())]
    NoModel {
        /// The folder.
        folder: PathBuf,
    },
    /// Another configuration than the one the run began with.
    #[error("{folder} was begun with another configuration or seed; give the same, or another --run-dir", folder = folder.display())]
    OtherConfiguration {
        /// The folder.
        folder: PathBuf,
    },
    /// Another file than the one the run began with.
    #[error(
        "the file of `{key}` is not what it was when {folder} was begun; restore it, or train anew with --overwrite or another --run-dir",
        folder = folder.display()
    )]
    OtherFile {
        /// The run's folder.
        folder: PathBuf,
        /// The configuration key that names the file.
        key: String,
    },
    /// Another store than the one the run was trained on.
    #[error(
        "{store} is not the store that {folder} was trained on: its fingerprint differs; restore it, or train anew",
        store = store.display(),
        folder = folder.display()
    )]
    OtherStore {
        /// The run's folder.
        folder: PathBuf,
        /// The store.
        store: PathBuf,
    },
    /// A file cannot be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of a run folder is not what it must be.
    #[error("{path} is damaged: {message}; restore it from a copy, or train anew with --overwrite", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// Something cannot be written, for instance because the disk is full.
    #[error("cannot write {path}: {message}; {checkpoint}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        message: String,
        /// The last good checkpoint.
        checkpoint: Checkpointed,
    },
    /// A loss is no longer a number, or has run off.
    #[error(
        "epoch {epoch}: {culprit} is {value}: training diverged; lower train.lr or look at that column; {checkpoint}"
    )]
    Diverged {
        /// The epoch, from 1.
        epoch: usize,
        /// The loss, with its modality.
        culprit: String,
        /// What it is.
        value: f64,
        /// The last good checkpoint.
        checkpoint: Checkpointed,
    },
    /// Ctrl-C.
    #[error("stopped after epoch {epoch}; go on with: humea train --resume --run-dir {folder}", folder = folder.display())]
    Interrupted {
        /// Epochs done.
        epoch: usize,
        /// The run's folder.
        folder: PathBuf,
    },
    /// libtorch refused.
    #[error("libtorch: {0}")]
    Tensor(#[from] tch::TchError),
}

impl Fault for RunError {
    fn kind(&self) -> Kind {
        match self {
            Self::Store(error) => error.kind(),
            Self::Inputs(error) => error.kind(),
            Self::Config(error) => error.kind(),
            Self::Metrics(error) => error.kind(),
            Self::Device(error) => error.kind(),
            Self::Exists { .. } | Self::Busy { .. } | Self::OtherConfiguration { .. } => Kind::Configuration,
            Self::NotARun { .. } | Self::NoModel { .. } | Self::Read { .. } | Self::Initial { .. } => Kind::Input,
            Self::Parameters(_)
            | Self::OtherStore { .. }
            | Self::OtherFile { .. }
            | Self::Damaged { .. }
            | Self::Diverged { .. } => Kind::Data,
            Self::Write { .. } => Kind::Output,
            Self::Interrupted { .. } => Kind::Interrupted,
            Self::Tensor(_) => Kind::Device,
        }
    }
}
