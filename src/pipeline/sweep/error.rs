//! What can stop a sweep.

use std::path::PathBuf;
use std::process::ExitStatus;

use data_process::fault::{Fault, Kind};
use data_process::tables::TableError;

use crate::config::ConfigError;
use crate::pipeline::GpuError;

/// What can stop a sweep.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SweepError {
    /// A pipeline file.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The GPUs.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// The table.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A published figure for each value, or none.
    #[error("{file}: sweep.published has {published} figures for {values} values; give one for each (nan for none), or []", file = file.display())]
    Published {
        /// The pipeline file.
        file: PathBuf,
        /// Figures.
        published: usize,
        /// Values.
        values: usize,
    },
    /// A sweep over nothing.
    #[error("{file}: `sweep.values` is empty; give `{key}` a value for each run, or leave out `sweep.key`", file = file.display())]
    NoValues {
        /// The pipeline file.
        file: PathBuf,
        /// The key that was to vary.
        key: String,
    },
    /// There is no store, and nothing says how to make it.
    #[error("{store}, the store of run `{run}`, is not there, and `data.prep` does not say how to make it", store = store.display())]
    NoStore {
        /// The store.
        store: PathBuf,
        /// The run's name.
        run: String,
    },
    /// Something cannot be written.
    #[error("cannot write {path}: {message}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// The runs' store cannot be prepared.
    #[error("{stage} failed ({ended}), so nothing was trained: {reason}; {log} is its log; the same command goes on", log = log.display())]
    Prepare {
        /// The stage.
        stage: &'static str,
        /// How its process ended.
        ended: ExitStatus,
        /// What its log gives as the reason.
        reason: String,
        /// Its log.
        log: PathBuf,
    },
    /// Some runs did not finish.
    #[error("{failed} of {all} runs did not finish ({names}); the same command goes on with them")]
    Failed {
        /// How many.
        failed: usize,
        /// Of how many.
        all: usize,
        /// Which, with their reasons and logs.
        names: String,
        /// How their processes ended, if all ended alike.
        code: Option<u8>,
    },
    /// Ctrl-C.
    #[error("stopped; the same command goes on where it stopped")]
    Interrupted,
}

impl Fault for SweepError {
    fn kind(&self) -> Kind {
        match self {
            Self::Config(error) => error.kind(),
            Self::Gpu(error) => error.kind(),
            Self::Table(error) => error.kind(),
            Self::Published { .. } | Self::NoValues { .. } => Kind::Configuration,
            Self::NoStore { .. } => Kind::Input,
            Self::Write { .. } => Kind::Output,
            Self::Prepare { .. } | Self::Failed { .. } => Kind::Data,
            Self::Interrupted => Kind::Interrupted,
        }
    }
}

impl SweepError {
    /// The exit code of the processes that failed, where there is one: they know better what was wrong.
    pub fn code(&self) -> Option<u8> {
        match self {
            Self::Prepare { ended, .. } => code_of(*ended),
            Self::Failed { code, .. } => *code,
            _ => None,
        }
    }
}

/// The code a process ended with, if it is that of a failure.
pub(super) fn code_of(ended: ExitStatus) -> Option<u8> {
    ended.code().and_then(|code| u8::try_from(code).ok()).filter(|code| *code != 0)
}
