//! What can stop a model from being loaded.

use std::path::PathBuf;

use data_process::fault::{Fault, Kind as FaultKind};

use crate::plm::config::ConfigError;
use crate::plm::hub::HubError;
use crate::plm::layers::BuildError;
use crate::plm::tokenizer::TokenizerError;
use crate::plm::weights::WeightsError;

/// What can stop a model from being loaded.
#[derive(Debug, thiserror::Error)]
pub enum EmbedderError {
    /// A file is not to be had.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// A file that would say how the vectors of tokens become one may be there or not.
    #[error("{0}; or give both --pooling and --normalize, which that file would decide")]
    Undecided(HubError),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The weights.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// No weight files.
    #[error("{0} has no weights: none of model.safetensors, pytorch_model.bin and their .index.json is there")]
    NoWeights(String),
    /// A layer that the model does not have.
    #[error("--layer {asked}: the model has {blocks} layers; give 0 (the embeddings) to {blocks}")]
    Layer {
        /// What was asked for.
        asked: usize,
        /// How many there are.
        blocks: usize,
    },
    /// More tokens than the model has positions for.
    #[error("--max-length {asked}: the model has positions for {longest} tokens; give at most {longest}")]
    Length {
        /// What was asked for.
        asked: usize,
        /// How many there are.
        longest: usize,
    },
    /// A step after the model that is not known.
    #[error("{path} has a module {module}; only Transformer, Pooling and Normalize are known")]
    Module {
        /// `modules.json`.
        path: PathBuf,
        /// The module.
        module: String,
    },
    /// A file cannot be hashed.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Fault for EmbedderError {
    fn kind(&self) -> FaultKind {
        match self {
            Self::Hub(error) | Self::Undecided(error) => error.kind(),
            Self::Config(error) => error.kind(),
            Self::Weights(error) => error.kind(),
            Self::Tokenizer(error) => error.kind(),
            Self::NoWeights(_) | Self::Read { .. } => FaultKind::Input,
            Self::Layer { .. } | Self::Length { .. } | Self::Module { .. } => FaultKind::Configuration,
        }
    }
}

impl From<BuildError> for EmbedderError {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Config(error) => Self::Config(error),
            BuildError::Weights(error) => Self::Weights(error),
        }
    }
}
