//! What can stop a run.

use std::path::{Path, PathBuf};

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
    #[error("there is no {file} yet; go on with the run: {}", going_on(folder), file = file.display())]
    NoModel {
        /// The checkpoint.
        file: PathBuf,
        /// The folder.
        folder: PathBuf,
    },
    /// The run has a model, but none was the best so far.
    #[error("there is no {file} before a first evaluation; go on with the run: {}", going_on(folder), file = file.display())]
    NotEvaluated {
        /// The checkpoint.
        file: PathBuf,
        /// The folder.
        folder: PathBuf,
    },
    /// A model is gone.
    #[error("{file} is gone; restore it from a copy, or train anew with --overwrite --run-dir {}", quoted(folder), file = file.display())]
    LostModel {
        /// The checkpoint.
        file: PathBuf,
        /// The folder.
        folder: PathBuf,
    },
    /// Another configuration than the one the run began with.
    #[error("{folder} was begun with another configuration ({}); give the same, or another --run-dir", differences.join(", "), folder = folder.display())]
    OtherConfiguration {
        /// The folder.
        folder: PathBuf,
        /// The keys that differ, with both values.
        differences: Vec<String>,
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
    /// The store the run was trained on is not where it was.
    #[error("{store}, the store that {folder} was trained on, is not there; give --store PATH if it has moved", store = store.display(), folder = folder.display())]
    StoreGone {
        /// The run's folder.
        folder: PathBuf,
        /// The store.
        store: PathBuf,
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
    #[error("stopped after epoch {epoch}; go on with: {}", going_on(folder))]
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

/// The command that goes on with a run.
pub(super) fn going_on(folder: &Path) -> String {
    format!("humea train --resume --run-dir {}", quoted(folder))
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
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
            Self::NotARun { .. }
            | Self::NoModel { .. }
            | Self::NotEvaluated { .. }
            | Self::LostModel { .. }
            | Self::StoreGone { .. }
            | Self::Read { .. }
            | Self::Initial { .. } => Kind::Input,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_to_go_on_with_can_be_pasted_into_a_shell() {
        for (folder, word) in [("runs/a-1", "runs/a-1"), ("my runs/a", "'my runs/a'"), ("it's", r"'it'\''s'")] {
            let error = RunError::Interrupted { epoch: 3, folder: folder.into() };
            assert!(error.to_string().ends_with(&format!("humea train --resume --run-dir {word}")), "{error}");
        }
    }
}
