//! `humea embed-text`.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use data_process::fault::{Fault, Kind};
use data_process::store::Store;
use data_process::texts::Template;

use super::exit::Failure;
use super::stdout;
use crate::device::{self, Wanted};
use crate::plm::embedder::{Embedder, Options, Precision};
use crate::plm::hub::Hub;
use crate::plm::pooling::Pooling;
use crate::plm::run::embed_texts;
use crate::plm::shard::Shard;
use crate::progress::Bars;

/// Read a store's relations and attributes with a language model; adds the columns `relation_text` and `attribute_text`
///
/// Every distinct text is read once. What is finished is kept in `embed-text.cache` beside the store, so an interrupted
/// run goes on where it stopped, and a second store with the same texts costs nothing; the folder may be removed at any
/// time.
///
/// A model is named by a folder or by its repository on the Hub (`HF_HOME`, `HF_TOKEN`, `HF_ENDPOINT` and `HF_HUB_OFFLINE`
/// are observed, the cache is shared with Python): BERT, RoBERTa, XLM-RoBERTa, ALBERT, T5, LLaMA, ChatGLM2 and
/// sentence-transformers' layouts of them. All files are of the commit that the cache holds for the revision, if it
/// holds any. Without a network, `--pooling` and `--normalize` are wanted where the cache does not tell what the model
/// says of them. `hashing` needs no model and no download; it knows words and parts of words, not meaning, and is for
/// demos and tests.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example: humea embed-text --store data/fb_db.parquet --plm bert-base-uncased")]
pub struct Args {
    /// The store
    #[arg(long)]
    store: PathBuf,
    /// The model: a repository of the Hub, a folder, or `hashing`
    #[arg(long, default_value = "bert-base-uncased", value_name = "NAME|DIR|hashing")]
    plm: String,
    /// Where to compute: auto, cpu or cuda
    #[arg(long, default_value = "auto")]
    device: Wanted,
    /// How the vectors of tokens become one: cls, mean, last or max [default: the model's own; else cls for BERT,
    /// RoBERTa and ALBERT, mean for T5, last for LLaMA and ChatGLM2]
    #[arg(long)]
    pooling: Option<Pooling>,
    /// Bring vectors to unit length [default: as the model's modules.json says, else no]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "true|false")]
    normalize: Option<bool>,
    /// Cut texts to so many tokens, special ones included [default: the model's own, at most 512 where it has none]
    #[arg(long, value_name = "TOKENS")]
    max_length: Option<usize>,
    /// How names and values become text: published or sentence
    #[arg(long, default_value_t)]
    template: Template,
    /// Take the hidden states after this layer; 0 is the embeddings [default: the last]
    #[arg(long)]
    layer: Option<usize>,
    /// The kind of number to compute with: auto (bf16 on CUDA, float32 on the CPU), float32, bf16 or f16
    #[arg(long, default_value = "auto")]
    dtype: Precision,
    /// Branch, tag or commit of the repository [default: main]
    #[arg(long)]
    revision: Option<String>,
    /// The most tokens in a batch, padding included [default: 512 on the CPU, 65536 on CUDA]
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(1..))]
    batch_tokens: Option<u32>,
    /// Do the i-th of n shares and write it beside the store; `humea store merge` joins the parts
    #[arg(long, value_name = "i/n")]
    shard: Option<Shard>,
}

/// An option that would do nothing.
#[derive(Debug, thiserror::Error)]
#[error("`--plm hashing` has no use for {0}; leave it out, or name a model")]
struct NotForHashing(&'static str);

impl Fault for NotForHashing {
    fn kind(&self) -> Kind {
        Kind::Configuration
    }
}

impl Args {
    /// The first option given that only a model heeds.
    fn meant_for_a_model(&self) -> Option<&'static str> {
        let given = [
            ("--pooling", self.pooling.is_some()),
            ("--normalize", self.normalize.is_some()),
            ("--max-length", self.max_length.is_some()),
            ("--layer", self.layer.is_some()),
            ("--dtype", self.dtype != Precision::Auto),
            ("--revision", self.revision.is_some()),
            ("--batch-tokens", self.batch_tokens.is_some()),
        ];
        given.into_iter().find_map(|(option, given)| given.then_some(option))
    }

    fn embedder(&self, bars: &Bars) -> Result<Embedder, Failure> {
        // Asked for first, so that a GPU that is not there is never passed over in silence.
        let device = device::choose(self.device)?;
        let threads = crate::device::threads();
        if self.plm == "hashing" {
            self.meant_for_a_model().map_or(Ok(()), |option| Err(NotForHashing(option)))?;
            return Ok(Embedder::hashing(threads));
        }
        let options = Options {
            pooling: self.pooling,
            normalize: self.normalize,
            max_length: self.max_length,
            layer: self.layer,
            precision: self.dtype,
            batch_tokens: self.batch_tokens.map(|tokens| tokens as usize),
        };
        let model = Hub::from_env()?.repository(&self.plm, self.revision.as_deref())?;
        Ok(Embedder::load(&model, options, device, threads, bars)?)
    }
}

/// Runs the subcommand.
pub fn run(args: &Args, bars: &Bars) -> Result<(), Failure> {
    // Before a model is fetched for nothing.
    Store::open(&args.store)?;
    let mut embedder = args.embedder(bars)?;
    let done = embed_texts(&args.store, &mut embedder, args.template, args.shard, bars)?;
    for (name, entities) in &done.columns {
        stdout::line(format_args!("{name}: {entities} entities, {} floats each", done.width))?;
    }
    let (texts, computed, written) = (done.texts, done.computed, done.written.display());
    Ok(stdout::line(format_args!("{texts} distinct texts, {computed} computed now; written to {written}"))?)
}
