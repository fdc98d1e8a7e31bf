//! Texts to vectors: a pretrained model with its tokenizer and pooling, or the hashing stand-in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use data_process::digest;
use data_process::event::Observer;
use data_process::store::Provenance;
use serde_json::Value;
use tch::{Device, Kind, Tensor};

use super::cache::text_hash;
use super::config::{Architecture, ModelConfig};
use super::hub::{Lookup, Repository};
use super::layers::{BuildError, Encoder};
use super::pooling::Pooling;
use super::tokenizer::{Tokeniser, TokenizerError};
use super::weights::{Weights, shards};
use super::{albert, batching, bert, chatglm2, hashing, llama, roberta, t5};

mod error;
mod layout;
#[cfg(test)]
mod tests;

pub use self::error::EmbedderError;
use self::layout::Layout;

/// The kind of number a model computes with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// bfloat16 on CUDA, float32 on the CPU.
    #[default]
    Auto,
    /// 32 bits.
    Float32,
    /// 16 bits with the range of float32.
    Bf16,
    /// 16 bits with more digits and less range; T5 is known to overflow in it.
    F16,
}

impl Precision {
    fn kind(self, device: Device) -> Kind {
        match self {
            Self::Auto if device.is_cuda() => Kind::BFloat16,
            Self::Auto | Self::Float32 => Kind::Float,
            Self::Bf16 => Kind::BFloat16,
            Self::F16 => Kind::Half,
        }
    }
}

/// A name that is not a precision.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a kind of number; write auto, float32, bf16 or f16")]
pub struct UnknownPrecision(String);

impl FromStr for Precision {
    type Err = UnknownPrecision;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "auto" => Ok(Self::Auto),
            "float32" => Ok(Self::Float32),
            "bf16" => Ok(Self::Bf16),
            "f16" => Ok(Self::F16),
            other => Err(UnknownPrecision(other.to_owned())),
        }
    }
}

/// What may be chosen; `None` leaves it to the model.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// How the vectors of tokens become one.
    pub pooling: Option<Pooling>,
    /// Whether vectors are brought to unit length.
    pub normalize: Option<bool>,
    /// The most tokens of a text, special ones included.
    pub max_length: Option<usize>,
    /// After which layer the hidden states are taken; 0 is the embeddings.
    pub layer: Option<usize>,
    /// The kind of number to compute with.
    pub precision: Precision,
    /// The most tokens in a batch, padding included.
    pub batch_tokens: Option<usize>,
}

/// Runs batches of token ids; one to a thread.
pub trait Worker: Send {
    /// The vectors of the texts, row-major `[texts.len(), width]`.
    fn vectors(&mut self, texts: &[&[u32]]) -> Vec<f32>;
}

#[derive(Debug)]
enum Tokens {
    Hashing,
    Model {
        tokeniser: Box<Tokeniser>,
        /// Rows of the model's table of token embeddings.
        words: usize,
    },
}

/// Turns texts into vectors.
pub struct Embedder {
    tokens: Tokens,
    workers: Vec<Box<dyn Worker>>,
    width: usize,
    batch_tokens: usize,
    provenance: Provenance,
}

impl std::fmt::Debug for Embedder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Embedder")
            .field("width", &self.width)
            .field("provenance", &self.provenance)
            .finish_non_exhaustive()
    }
}

impl Embedder {
    /// The hashing stand-in, on `threads` threads.
    pub fn hashing(threads: usize) -> Self {
        let details = [("dimension", hashing::WIDTH.into()), ("dtype", "float32".into()), ("normalize", true.into())];
        Self {
            tokens: Tokens::Hashing,
            workers: (0..threads.max(1)).map(|_| Box::new(Hasher) as Box<dyn Worker>).collect(),
            width: hashing::WIDTH,
            batch_tokens: 65_536,
            provenance: Provenance {
                source: "character n-gram hashing".to_owned(),
                model: Some("hashing".to_owned()),
                revision: Some("1".to_owned()),
                details: details.into_iter().map(|(key, value): (_, Value)| (key.to_owned(), value)).collect(),
                ..Provenance::default()
            },
        }
    }

    /// A pretrained model on a device; on the CPU, on `threads` threads, and the process keeps freed memory from then on
    /// ([`crate::device::keep_freed_memory`]).
    pub fn load(
        model: &Repository,
        options: Options,
        device: Device,
        threads: usize,
        observer: &dyn Observer,
    ) -> Result<Self, EmbedderError> {
        if device == Device::Cpu {
            crate::device::keep_freed_memory();
        }
        let config = ModelConfig::read(&model.get("config.json", observer)?)?;
        let layout = Layout::read(model, &options, observer)?;
        let mut tokens = Tokeniser::open(model, config.architecture, observer)?;
        let described = hashes(&model.given())?;
        let files = weight_files(model, observer)?;
        let kind = options.precision.kind(device);
        let weights = Weights::open(&files, device, kind)?;
        let first = encoder(&config, &weights)?;
        let max_length = layout.max_length(options.max_length, first.longest())?;
        tokens.cut_at(max_length)?;
        let (words, width, blocks) = (first.words(), first.width(), layer(options.layer, first.blocks())?);
        let pooling = options.pooling.or(layout.pooling).unwrap_or_else(|| usual_pooling(config.architecture));
        let normalize = options.normalize.unwrap_or(layout.normalize);
        let task = Task { blocks, pooling, normalize, device };
        let mut encoders = vec![first];
        // Several encoders share the weights. A GPU is kept busy by one.
        for _ in 1..if device.is_cuda() { 1 } else { threads.max(1) } {
            encoders.push(encoder(&config, &weights)?);
        }
        let worker = |encoder| Box::new(ModelWorker { encoder, task }) as Box<dyn Worker>;
        let budget = if device.is_cuda() { 65_536 } else { 512 };
        let settings = [
            ("dimension", Value::from(width)),
            ("dtype", format!("{kind:?}").to_lowercase().into()),
            ("max_length", max_length.into()),
            ("normalize", normalize.into()),
            ("layer", blocks.into()),
            // The weights are told by their own hash or the commit; what else was read decides the vectors as much.
            ("files", described),
        ];
        Ok(Self {
            tokens: Tokens::Model { tokeniser: Box::new(tokens), words },
            workers: encoders.into_iter().map(worker).collect(),
            width,
            batch_tokens: options.batch_tokens.unwrap_or(budget),
            provenance: Provenance {
                source: model.name(),
                sha256: if model.commit().is_some() { None } else { Some(digest_of(&files)?) },
                model: Some(model.name()),
                revision: model.commit(),
                pooling: Some(pooling.to_string()),
                template: None,
                details: settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
            },
        })
    }

    /// Floats per vector.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The most tokens in a batch, padding included.
    pub fn batch_tokens(&self) -> usize {
        self.batch_tokens
    }

    /// What the vectors come from: model, revision, pooling and options.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// The token ids of each text, all of which the model knows.
    pub fn tokenise(&self, texts: &[&str]) -> Result<Vec<Vec<u32>>, TokenizerError> {
        match &self.tokens {
            Tokens::Hashing => Ok(texts.iter().map(|text| hashing::features(text)).collect()),
            Tokens::Model { tokeniser, words } => tokeniser.encode_below(*words, texts),
        }
    }

    /// Those that run batches, one for each thread.
    pub fn workers(&mut self) -> &mut [Box<dyn Worker>] {
        &mut self.workers
    }
}

struct Hasher;

impl Worker for Hasher {
    fn vectors(&mut self, texts: &[&[u32]]) -> Vec<f32> {
        texts.iter().flat_map(|features| hashing::vector(features)).collect()
    }
}

/// What is done with each batch.
#[derive(Clone, Copy, Debug)]
struct Task {
    blocks: usize,
    pooling: Pooling,
    normalize: bool,
    device: Device,
}

struct ModelWorker {
    encoder: Box<dyn Encoder>,
    task: Task,
}

impl Worker for ModelWorker {
    fn vectors(&mut self, texts: &[&[u32]]) -> Vec<f32> {
        if self.task.device == Device::Cpu {
            // Batches are small, so threads share them out whole; one batch on several threads is slower.
            tch::set_num_threads(1);
        }
        let _no_gradients = tch::no_grad_guard();
        let batch = batching::batch(texts, 0, self.task.device);
        let hidden = self.encoder.forward(&batch, self.task.blocks);
        let mut pooled = self.task.pooling.pool(&hidden, &batch);
        if self.task.normalize {
            let length = pooled.square().sum_dim_intlist([-1_i64].as_slice(), true, Kind::Float).sqrt();
            pooled /= length.clamp_min(1e-12);
        }
        floats(&pooled)
    }
}

fn floats(tensor: &Tensor) -> Vec<f32> {
    let tensor = tensor.to_device(Device::Cpu).contiguous();
    let mut values = vec![0.0; tensor.numel()];
    let count = values.len();
    tensor.copy_data(&mut values, count);
    values
}

pub(super) fn encoder(config: &ModelConfig, weights: &Weights) -> Result<Box<dyn Encoder>, BuildError> {
    Ok(match config.architecture {
        Architecture::Bert => Box::new(bert::Bert::new(config, weights)?),
        Architecture::Roberta => Box::new(roberta::Roberta::new(config, weights)?),
        Architecture::Albert => Box::new(albert::Albert::new(config, weights)?),
        Architecture::T5 => Box::new(t5::T5::new(config, weights)?),
        Architecture::Llama => Box::new(llama::Llama::new(config, weights)?),
        Architecture::ChatGlm2 => Box::new(chatglm2::ChatGlm2::new(config, weights)?),
    })
}

/// `[CLS]`, as the paper has it, where the model was trained with it; the mean in T5, which has none; the last token
/// in models whose tokens see only those before them.
fn usual_pooling(architecture: Architecture) -> Pooling {
    match architecture {
        Architecture::Bert | Architecture::Roberta | Architecture::Albert => Pooling::Cls,
        Architecture::T5 => Pooling::Mean,
        Architecture::Llama | Architecture::ChatGlm2 => Pooling::Last,
    }
}

fn layer(asked: Option<usize>, blocks: usize) -> Result<usize, EmbedderError> {
    match asked {
        Some(asked) if asked > blocks => Err(EmbedderError::Layer { asked, blocks }),
        asked => Ok(asked.unwrap_or(blocks)),
    }
}

/// The weight files of a model: safetensors if there are any.
fn weight_files(model: &Repository, observer: &dyn Observer) -> Result<Vec<PathBuf>, EmbedderError> {
    let known =
        ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"];
    match model.find_first(&known, observer)? {
        Lookup::Found(path) if path.extension().is_some_and(|extension| extension == "json") => {
            shards(&path)?.iter().map(|name| Ok(model.get(name, observer)?)).collect()
        }
        Lookup::Found(path) => Ok(vec![path]),
        Lookup::Unknown(reason) => Err(reason.into()),
        Lookup::Absent => Err(EmbedderError::NoWeights(model.name())),
    }
}

fn sha256(path: &Path) -> Result<String, EmbedderError> {
    digest::sha256(path).map_err(|source| EmbedderError::Read { path: path.to_owned(), source })
}

/// The SHA-256 of each file, by its name in the model.
fn hashes(files: &BTreeMap<String, PathBuf>) -> Result<Value, EmbedderError> {
    let hash = |(name, path): (&String, &PathBuf)| Ok((name.clone(), Value::from(sha256(path)?)));
    files.iter().map(hash).collect::<Result<_, _>>().map(Value::Object)
}

/// One hash for all the files: that of the file, or of their hashes.
fn digest_of(files: &[PathBuf]) -> Result<String, EmbedderError> {
    let hashes = files.iter().map(|path| sha256(path)).collect::<Result<Vec<_>, _>>()?;
    match <[String; 1]>::try_from(hashes) {
        Ok([only]) => Ok(only),
        Err(several) => Ok(digest::hex(&text_hash(&several.concat()))),
    }
}
