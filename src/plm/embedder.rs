//! Texts to vectors: a pretrained model with its tokenizer and pooling, or the hashing stand-in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use data_process::digest;
use data_process::event::{Event, Observer};
use data_process::fault::{Fault, Kind as FaultKind};
use data_process::store::Provenance;
use serde::Deserialize;
use serde_json::Value;
use tch::{Device, Kind, Tensor};

use super::cache::text_hash;
use super::config::{Architecture, ConfigError, ModelConfig, read_json};
use super::hub::{HubError, Lookup, Repository};
use super::layers::{BuildError, Encoder};
use super::pooling::Pooling;
use super::tokenizer::{Tokeniser, TokenizerError};
use super::weights::{Weights, WeightsError, shards};
use super::{albert, batching, bert, chatglm2, hashing, llama, roberta, t5};

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

/// What the files of sentence-transformers and the tokenizer say about how a model is to be used.
#[derive(Debug, Default)]
struct Layout {
    pooling: Option<Pooling>,
    normalize: bool,
    /// The length a sentence model was trained for.
    sentence_length: Option<usize>,
    /// The length of the tokenizer, where it has one.
    tokenizer_length: Option<usize>,
}

/// The longest text by default, where the model itself sets no limit.
const USUAL_LENGTH: usize = 512;

impl Layout {
    fn read(model: &Repository, options: &Options, observer: &dyn Observer) -> Result<Self, EmbedderError> {
        let mut layout = Self::default();
        if let Some(path) = decided(model.find("modules.json", observer)?, options.normalize.is_some())? {
            layout.read_modules(path)?;
        }
        if let Some(path) = decided(model.find("1_Pooling/config.json", observer)?, options.pooling.is_some())? {
            layout.pooling = pooling_of(&read_json(&path)?);
            if layout.pooling.is_none() {
                let note = format!("{} names no pooling known here; --pooling chooses one", path.display());
                observer.on(Event::Note(&note));
            }
        }
        match model.find("sentence_bert_config.json", observer)? {
            Lookup::Found(path) => layout.sentence_length = length_in(&read_json(&path)?, "max_seq_length"),
            Lookup::Unknown(reason) if options.max_length.is_none() => {
                observer
                    .on(Event::Note(&format!("{reason}; until then --max-length chooses the length it would give")));
            }
            Lookup::Unknown(_) | Lookup::Absent => {}
        }
        if let Some(path) = model.find("tokenizer_config.json", observer)?.found() {
            layout.tokenizer_length = length_in(&read_json(&path)?, "model_max_length");
        }
        Ok(layout)
    }

    fn read_modules(&mut self, path: PathBuf) -> Result<(), EmbedderError> {
        #[derive(Deserialize)]
        struct Module {
            r#type: String,
        }
        for module in read_json::<Vec<Module>>(&path)? {
            match module.r#type.rsplit('.').next() {
                Some("Transformer" | "Pooling") => {}
                Some("Normalize") => self.normalize = true,
                _ => return Err(EmbedderError::Module { path, module: module.r#type }),
            }
        }
        Ok(())
    }

    fn max_length(&self, asked: Option<usize>, longest: Option<usize>) -> Result<usize, EmbedderError> {
        match (asked, longest) {
            (Some(asked), Some(longest)) if asked > longest => Err(EmbedderError::Length { asked, longest }),
            (Some(asked), _) => Ok(asked),
            (None, longest) => {
                let usual = self.sentence_length.or(self.tokenizer_length).unwrap_or(USUAL_LENGTH);
                Ok(longest.map_or(usual, |longest| usual.min(longest)))
            }
        }
    }
}

/// A file that would decide something, unless that is `given`: what would be taken in its stead may be wrong, and nobody
/// would see it.
fn decided(file: Lookup, given: bool) -> Result<Option<PathBuf>, EmbedderError> {
    match file {
        Lookup::Unknown(reason) if !given => Err(EmbedderError::Undecided(reason)),
        file => Ok(file.found()),
    }
}

/// A length in a JSON object; some tokenizers write 10³⁰ for "none".
fn length_in(json: &Value, key: &str) -> Option<usize> {
    let length = json.get(key)?.as_u64()?;
    (1..1_000_000).contains(&length).then_some(length as usize)
}

/// Older files set one flag of several, newer ones name the pooling.
fn pooling_of(json: &Value) -> Option<Pooling> {
    let flags = [
        ("pooling_mode_cls_token", "cls", Pooling::Cls),
        ("pooling_mode_mean_tokens", "mean", Pooling::Mean),
        ("pooling_mode_lasttoken", "lasttoken", Pooling::Last),
        ("pooling_mode_max_tokens", "max", Pooling::Max),
    ];
    let set = |flag: &str, name: &str| json[flag] == true || json["pooling_mode"] == name;
    let chosen: Vec<Pooling> = flags.iter().filter(|(flag, name, _)| set(flag, name)).map(|(_, _, p)| *p).collect();
    <[Pooling; 1]>::try_from(chosen).ok().map(|[only]| only)
}

#[cfg(test)]
mod tests;
