//! BERT: learnt positions, post-normalised blocks. RoBERTa and XLM-RoBERTa are the same with shifted positions.

use serde::Deserialize;
use tch::{Kind, Tensor};

use super::config::{Activation, ConfigError, ModelConfig};
use super::layers::{Attend, Batch, BuildError, Encoder, LayerNorm, Linear, activate, attention, look_up};
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

fn two_types() -> i64 {
    2
}

fn small() -> f64 {
    1e-12
}

impl BertConfig {
    fn check(&self) -> Result<(), ConfigError> {
        match self.position_embedding_type.as_deref() {
            None | Some("absolute") => {}
            Some(other) => {
                let found = format!("{other:?}");
                let expected = "only \"absolute\" positions are known";
                return Err(ConfigError::Unsupported { key: "position_embedding_type", found, expected });
            }
        }
        check_heads(self.hidden_size, self.num_attention_heads)
    }
}

/// Refuses a number of heads that does not divide the width.
pub(super) fn check_heads(width: i64, heads: i64) -> Result<(), ConfigError> {
    if heads > 0 && width > 0 && width % heads == 0 {
        return Ok(());
    }
    let expected = "it must divide hidden_size";
    Err(ConfigError::Unsupported { key: "num_attention_heads", found: heads.to_string(), expected })
}

/// BERT with its weights.
#[derive(Debug)]
pub struct Bert {
    config: BertConfig,
    /// The position of a text's first token.
    first_position: i64,
    words: Tensor,
    positions: Tensor,
    /// The vector of token type 0, the only one a single text has.
    kind_of_text: Tensor,
    norm: LayerNorm,
    blocks: Vec<Block>,
}

impl Bert {
    /// From `config.json` and the weights of any BERT, with or without a head.
    pub fn new(config: &ModelConfig, weights: &Weights) -> Result<Self, BuildError> {
        Self::with_positions(config, &weights.below(&["", "bert."], "embeddings.word_embeddings.weight"), 0)
    }

    /// The same with the first token at another position.
    pub(super) fn with_positions(config: &ModelConfig, at: &Scope<'_>, first: i64) -> Result<Self, BuildError> {
        let config: BertConfig = config.parse()?;
        config.check()?;
        let (width, table) = (config.hidden_size, at.at("embeddings"));
        let kinds = table.tensor("token_type_embeddings.weight", &[config.type_vocab_size, width])?;
        let layers = at.at("encoder").at("layer");
        let blocks: Result<_, WeightsError> =
            (0..config.num_hidden_layers).map(|i| Block::new(&layers.at(i), &config)).collect();
        Ok(Self {
            first_position: first,
            words: table.tensor("word_embeddings.weight", &[config.vocab_size, width])?,
            positions: table.tensor("position_embeddings.weight", &[config.max_position_embeddings, width])?,
            kind_of_text: kinds.get(0),
            norm: LayerNorm::new(&table.at("LayerNorm"), width, config.layer_norm_eps)?,
            blocks: blocks?,
            config,
        })
    }

    fn embed(&self, ids: &Tensor) -> Tensor {
        // Padding stands on the right, so a token's position does not depend on it.
        let positions = Tensor::arange(ids.size()[1], (Kind::Int64, ids.device())) + self.first_position;
        let sum = look_up(&self.words, ids) + &self.kind_of_text + look_up(&self.positions, &positions);
        self.norm.forward(&sum)
    }
}

impl Encoder for Bert {
    fn blocks(&self) -> usize {
        self.blocks.len()
    }

    fn width(&self) -> usize {
        self.config.hidden_size as usize
    }

    fn longest(&self) -> Option<usize> {
        Some((self.config.max_position_embeddings - self.first_position).max(1) as usize)
    }

    fn forward(&self, batch: &Batch, blocks: usize) -> Tensor {
        let mask = batch.attention_mask();
        let attend = Attend::Both(mask.as_ref());
        self.blocks.iter().take(blocks).fold(self.embed(&batch.ids), |x, block| block.forward(&x, attend))
    }
}

#[derive(Debug)]
struct Block {
    head_size: i64,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    attention_norm: LayerNorm,
    widen: Linear,
    narrow: Linear,
    norm: LayerNorm,
    activation: Activation,
}

impl Block {
    fn new(at: &Scope<'_>, config: &BertConfig) -> Result<Self, WeightsError> {
        let (width, inner, epsilon) = (config.hidden_size, config.intermediate_size, config.layer_norm_eps);
        let (own, after) = (at.at("attention").at("self"), at.at("attention").at("output"));
        Ok(Self {
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

    fn forward(&self, x: &Tensor, attend: Attend<'_>) -> Tensor {
        let (q, k, v) = (self.query.forward(x), self.key.forward(x), self.value.forward(x));
        let seen = attention(&q, &k, &v, self.head_size, attend, None);
        let x = self.attention_norm.forward(&(self.output.forward(&seen) + x));
        let inner = activate(&self.widen.forward(&x), self.activation);
        self.norm.forward(&(self.narrow.forward(&inner) + x))
    }
}
