//! ALBERT: one block run many times over, narrow embeddings mapped into the width of the block.

use serde::Deserialize;
use tch::Tensor;

use super::bert::{check_heads, check_kinds};
use super::config::{Activation, ConfigError, ModelConfig, require};
use super::layers::{Attend, Batch, BuildError, Embeddings, Encoder, LayerNorm, Linear, PostNormBlock, TableSizes};
use super::weights::{Scope, Weights, WeightsError};

/// The numbers of `config.json`.
#[derive(Clone, Debug, Deserialize)]
pub struct AlbertConfig {
    vocab_size: i64,
    embedding_size: i64,
    hidden_size: i64,
    num_hidden_layers: usize,
    num_attention_heads: i64,
    intermediate_size: i64,
    hidden_act: Activation,
    max_position_embeddings: i64,
    #[serde(default = "super::bert::two_types")]
    type_vocab_size: i64,
    #[serde(default = "super::bert::small")]
    layer_norm_eps: f64,
    #[serde(default = "one")]
    num_hidden_groups: usize,
    #[serde(default = "one")]
    inner_group_num: usize,
}

fn one() -> usize {
    1
}

impl AlbertConfig {
    fn check(&self) -> Result<(), ConfigError> {
        let single = [("num_hidden_groups", self.num_hidden_groups), ("inner_group_num", self.inner_group_num)];
        for (key, groups) in single {
            require(groups == 1, key, &groups, "only one block shared by all layers is known")?;
        }
        check_kinds(self.type_vocab_size)?;
        check_heads(self.hidden_size, self.num_attention_heads)
    }
}

/// ALBERT with its weights.
#[derive(Debug)]
pub struct Albert {
    config: AlbertConfig,
    embeddings: Embeddings,
    mapping: Linear,
    block: PostNormBlock,
}

impl Albert {
    /// From `config.json` and the weights of any ALBERT, with or without a head.
    pub fn new(config: &ModelConfig, weights: &Weights) -> Result<Self, BuildError> {
        let config: AlbertConfig = config.parse()?;
        config.check()?;
        let at = weights.below(&["", "albert."], "embeddings.word_embeddings.weight");
        let narrow = config.embedding_size;
        let rows = TableSizes {
            words: config.vocab_size,
            positions: config.max_position_embeddings,
            kinds: config.type_vocab_size,
        };
        let encoder = at.at("encoder");
        let only = encoder.at("albert_layer_groups").at(0).at("albert_layers").at(0);
        Ok(Self {
            embeddings: Embeddings::new(&at.at("embeddings"), rows, narrow, config.layer_norm_eps, 0)?,
            mapping: Linear::new(&encoder.at("embedding_hidden_mapping_in"), narrow, config.hidden_size)?,
            block: block(&only, &config)?,
            config,
        })
    }

    fn embed(&self, ids: &Tensor) -> Tensor {
        self.mapping.forward(&self.embeddings.forward(ids))
    }
}

impl Encoder for Albert {
    fn blocks(&self) -> usize {
        self.config.num_hidden_layers
    }

    fn width(&self) -> usize {
        self.config.hidden_size as usize
    }

    fn words(&self) -> usize {
        self.config.vocab_size as usize
    }

    fn longest(&self) -> Option<usize> {
        Some(self.config.max_position_embeddings as usize)
    }

    fn forward(&self, batch: &Batch, blocks: usize) -> Tensor {
        let mask = batch.attention_mask();
        let attend = Attend::Both(mask.as_ref());
        (0..blocks.min(self.blocks())).fold(self.embed(&batch.ids), |x, _| self.block.forward(&x, attend))
    }
}

fn block(at: &Scope<'_>, config: &AlbertConfig) -> Result<PostNormBlock, WeightsError> {
    let (width, inner, epsilon) = (config.hidden_size, config.intermediate_size, config.layer_norm_eps);
    let own = at.at("attention");
    Ok(PostNormBlock {
        head_size: width / config.num_attention_heads,
        query: Linear::new(&own.at("query"), width, width)?,
        key: Linear::new(&own.at("key"), width, width)?,
        value: Linear::new(&own.at("value"), width, width)?,
        output: Linear::new(&own.at("dense"), width, width)?,
        attention_norm: LayerNorm::new(&own.at("LayerNorm"), width, epsilon)?,
        widen: Linear::new(&at.at("ffn"), width, inner)?,
        narrow: Linear::new(&at.at("ffn_output"), inner, width)?,
        norm: LayerNorm::new(&at.at("full_layer_layer_norm"), width, epsilon)?,
        activation: config.hidden_act,
    })
}
