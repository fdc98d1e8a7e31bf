//! BERT: learnt positions, post-normalised blocks. RoBERTa and XLM-RoBERTa are the same with shifted positions.

use serde::Deserialize;
use tch::Tensor;

use super::config::{Activation, ConfigError, ModelConfig, require};
use super::layers::{Attend, Batch, BuildError, Embeddings, Encoder, LayerNorm, Linear, PostNormBlock, TableSizes};
use super::weights::{Scope, Weights, WeightsError};

/// The numbers of `config.json`.
#[derive(Clone, Debug, Deserialize)]
pub struct BertConfig {
    vocab_size: i64,
    hidden_size: i64,
    num_hidden_layers: usize,
    num_attention_heads: i64,
    intermediate_size: i64,
    hidden_act: Activation,
    max_position_embeddings: i64,
    #[serde(default = "two_types")]
    type_vocab_size: i64,
    #[serde(default = "small")]
    layer_norm_eps: f64,
    #[serde(default)]
    position_embedding_type: Option<String>,
}

/// Token types where `config.json` does not say.
pub(super) fn two_types() -> i64 {
    2
}

/// What is added to a variance where `config.json` does not say.
pub(super) fn small() -> f64 {
    1e-12
}

impl BertConfig {
    fn check(&self, first_position: i64) -> Result<(), ConfigError> {
        let positions = self.position_embedding_type.as_deref().unwrap_or("absolute");
        let expected = "only \"absolute\" positions are known";
        require(positions == "absolute", "position_embedding_type", &format!("{positions:?}"), expected)?;
        let (found, expected) =
            (self.max_position_embeddings, "the first token has none; RoBERTa's is pad_token_id + 1");
        require(found > first_position, "max_position_embeddings", &found, expected)?;
        check_kinds(self.type_vocab_size)?;
        check_heads(self.hidden_size, self.num_attention_heads)
    }
}

/// Refuses a model without a first kind of text, which every text is.
pub(super) fn check_kinds(kinds: i64) -> Result<(), ConfigError> {
    require(kinds > 0, "type_vocab_size", &kinds, "there must be at least one")
}

/// Refuses a number of heads that does not divide the width.
pub(super) fn check_heads(width: i64, heads: i64) -> Result<(), ConfigError> {
    let fine = heads > 0 && width > 0 && width % heads == 0;
    require(fine, "num_attention_heads", &heads, "it must divide hidden_size")
}

/// BERT with its weights.
#[derive(Debug)]
pub struct Bert {
    config: BertConfig,
    /// The position of a text's first token.
    first_position: i64,
    embeddings: Embeddings,
    blocks: Vec<PostNormBlock>,
}

impl Bert {
    /// From `config.json` and the weights of any BERT, with or without a head.
    pub fn new(config: &ModelConfig, weights: &Weights) -> Result<Self, BuildError> {
        Self::with_positions(config, &weights.below(&["", "bert."], "embeddings.word_embeddings.weight"), 0)
    }

    /// The same with the first token at another position.
    pub(super) fn with_positions(config: &ModelConfig, at: &Scope<'_>, first: i64) -> Result<Self, BuildError> {
        let config: BertConfig = config.parse()?;
        config.check(first)?;
        let rows = TableSizes {
            words: config.vocab_size,
            positions: config.max_position_embeddings,
            kinds: config.type_vocab_size,
        };
        let (width, epsilon) = (config.hidden_size, config.layer_norm_eps);
        let layers = at.at("encoder").at("layer");
        let blocks: Result<_, WeightsError> =
            (0..config.num_hidden_layers).map(|i| block(&layers.at(i), &config)).collect();
        Ok(Self {
            first_position: first,
            embeddings: Embeddings::new(&at.at("embeddings"), rows, width, epsilon, first)?,
            blocks: blocks?,
            config,
        })
    }
}

impl Encoder for Bert {
    fn blocks(&self) -> usize {
        self.blocks.len()
    }

    fn width(&self) -> usize {
        self.config.hidden_size as usize
    }

    fn words(&self) -> usize {
        self.config.vocab_size as usize
    }

    fn longest(&self) -> Option<usize> {
        Some((self.config.max_position_embeddings - self.first_position) as usize)
    }

    fn forward(&self, batch: &Batch, blocks: usize) -> Tensor {
        let mask = batch.attention_mask();
        let attend = Attend::Both(mask.as_ref());
        self.blocks.iter().take(blocks).fold(self.embeddings.forward(&batch.ids), |x, block| block.forward(&x, attend))
    }
}

fn block(at: &Scope<'_>, config: &BertConfig) -> Result<PostNormBlock, WeightsError> {
    let (width, inner, epsilon) = (config.hidden_size, config.intermediate_size, config.layer_norm_eps);
    let (own, after) = (at.at("attention").at("self"), at.at("attention").at("output"));
    Ok(PostNormBlock {
        head_size: width / config.num_attention_heads,
        query: Linear::new(&own.at("query"), width, width)?,
        key: Linear::new(&own.at("key"), width, width)?,
        value: Linear::new(&own.at("value"), width, width)?,
        output: Linear::new(&after.at("dense"), width, width)?,
        attention_norm: LayerNorm::new(&after.at("LayerNorm"), width, epsilon)?,
        widen: Linear::new(&at.at("intermediate").at("dense"), width, inner)?,
        narrow: Linear::new(&at.at("output").at("dense"), inner, width)?,
        norm: LayerNorm::new(&at.at("output").at("LayerNorm"), width, epsilon)?,
        activation: config.hidden_act,
    })
}
