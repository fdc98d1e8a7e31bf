//! `config.json` of a pretrained model: which architecture it is, and the numbers the architecture needs.

use std::path::{Path, PathBuf};

use data_process::fault::{Fault, Kind};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What can be wrong with a model's configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file of the model cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of the model is not JSON, or a key is missing or of the wrong type.
    #[error("{path}: {reason}")]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The model is of an architecture that is not known here.
    #[error("{path} says {found}, which is none of the known model types: {}", Architecture::names())]
    Architecture {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: String,
    },
    /// The architecture is known, this variant of it is not.
    #[error("config.json has {key} = {found}; {expected}")]
    Unsupported {
        /// The key.
        key: &'static str,
        /// Its value.
        found: String,
        /// What would do.
        expected: &'static str,
    },
}

/// Refuses a known architecture whose `key` is not as it must be.
pub(super) fn require(
    fine: bool,
    key: &'static str,
    found: &dyn std::fmt::Display,
    expected: &'static str,
) -> Result<(), ConfigError> {
    if fine { Ok(()) } else { Err(ConfigError::Unsupported { key, found: found.to_string(), expected }) }
}

impl Fault for ConfigError {
    fn kind(&self) -> Kind {
        match self {
            Self::Read { .. } => Kind::Input,
            Self::Json { .. } => Kind::Data,
            Self::Architecture { .. } | Self::Unsupported { .. } => Kind::Configuration,
        }
    }
}

/// The architectures that can be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// BERT.
    Bert,
    /// RoBERTa and XLM-RoBERTa.
    Roberta,
    /// ALBERT.
    Albert,
    /// The encoder of T5, version 1.0 and 1.1, and mT5.
    T5,
    /// LLaMA.
    Llama,
    /// ChatGLM2 and ChatGLM3.
    ChatGlm2,
}

impl Architecture {
    /// The `model_type`s of `config.json` and what each stands for.
    const TYPES: [(&str, Self); 8] = [
        ("bert", Self::Bert),
        ("roberta", Self::Roberta),
        ("xlm-roberta", Self::Roberta),
        ("albert", Self::Albert),
        ("t5", Self::T5),
        ("mt5", Self::T5),
        ("llama", Self::Llama),
        ("chatglm", Self::ChatGlm2),
    ];

    fn names() -> String {
        Self::TYPES.map(|(name, _)| name).join(", ")
    }

    /// Reads `model_type`, or, where an old file lacks it, the first of `architectures` (`BertForMaskedLM`).
    fn of(config: &Value) -> Result<Self, String> {
        if let Some(name) = config.get("model_type").and_then(Value::as_str) {
            let found = Self::TYPES.iter().find(|(known, _)| *known == name);
            return found.map(|(_, architecture)| *architecture).ok_or_else(|| format!("model_type {name:?}"));
        }
        let class = config.pointer("/architectures/0").and_then(Value::as_str).unwrap_or("nothing of model_type");
        let start = class.to_lowercase();
        let by_length = Self::TYPES.iter().rev().find(|(known, _)| start.starts_with(&known.replace('-', "")));
        by_length.map(|(_, architecture)| *architecture).ok_or_else(|| class.to_owned())
    }
}

/// A parsed `config.json`.
#[derive(Debug)]
pub struct ModelConfig {
    path: PathBuf,
    json: Value,
    /// Which architecture it is.
    pub architecture: Architecture,
}

impl ModelConfig {
    /// Reads the file and finds the architecture.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let json = read_json(path)?;
        let architecture =
            Architecture::of(&json).map_err(|found| ConfigError::Architecture { path: path.to_owned(), found })?;
        Ok(Self { path: path.to_owned(), json, architecture })
    }

    /// The numbers one architecture needs.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        T::deserialize(&self.json)
            .map_err(|error| ConfigError::Json { path: self.path.clone(), reason: error.to_string() })
    }
}

/// Reads a small JSON file of a model.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let text = std::fs::read(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    serde_json::from_slice(&text)
        .map_err(|error| ConfigError::Json { path: path.to_owned(), reason: error.to_string() })
}

/// The activations that occur, under the names that `config.json` gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Activation {
    /// Exact, with the error function.
    #[serde(rename = "gelu")]
    Gelu,
    /// The tanh approximation.
    #[serde(rename = "gelu_new", alias = "gelu_pytorch_tanh")]
    GeluTanh,
    /// max(0, x).
    #[serde(rename = "relu")]
    Relu,
    /// x · sigmoid(x).
    #[serde(rename = "silu", alias = "swish")]
    Silu,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ModelConfig, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, text).unwrap();
        ModelConfig::read(&path)
    }

    #[test]
    fn the_model_type_or_the_class_names_the_architecture() {
        let of = |text| read(text).unwrap().architecture;
        assert_eq!(of(r#"{"model_type": "xlm-roberta"}"#), Architecture::Roberta);
        assert_eq!(of(r#"{"architectures": ["BertForMaskedLM"]}"#), Architecture::Bert);
        assert_eq!(of(r#"{"architectures": ["XLMRobertaModel"]}"#), Architecture::Roberta);
        assert_eq!(of(r#"{"architectures": ["ChatGLMModel"]}"#), Architecture::ChatGlm2);
    }

    #[test]
    fn an_unknown_model_is_told_the_known_ones() {
        for text in [r#"{"model_type": "gpt2"}"#, r#"{"architectures": ["GPT2Model"]}"#, "{}"] {
            let error = read(text).unwrap_err();
            assert!(matches!(error, ConfigError::Architecture { .. }), "{text}");
            assert!(error.to_string().contains("bert, roberta, xlm-roberta, albert, t5, mt5, llama, chatglm"));
        }
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_place() {
        assert!(matches!(read("{"), Err(ConfigError::Json { .. })));
        assert!(matches!(read_json::<Value>(Path::new("/nowhere/config.json")), Err(ConfigError::Read { .. })));
    }

    #[test]
    fn a_missing_number_is_named() {
        #[derive(Debug, Deserialize)]
        struct Wanted {
            #[expect(dead_code, reason = "only its absence matters here")]
            hidden_size: i64,
        }
        let error = read(r#"{"model_type": "bert"}"#).unwrap().parse::<Wanted>().unwrap_err();
        assert!(error.to_string().contains("hidden_size"), "{error}");
    }
}
