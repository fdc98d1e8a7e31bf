//! The encoder of T5 (version 1.0 and 1.1) and mT5: relative positions, pre-normalised blocks, unscaled attention.

use serde::Deserialize;
use tch::{Device, Kind, Tensor};

use super::config::{Activation, ConfigError, ModelConfig, require};
use super::layers::{Attend, Batch, BuildError, Encoder, Linear, RmsNorm, activate, attention, look_up};
use super::weights::{Scope, Weights, WeightsError};

/// The numbers of `config.json`.
#[derive(Clone, Debug, Deserialize)]
pub struct T5Config {
    vocab_size: i64,
    d_model: i64,
    d_kv: i64,
    d_ff: i64,
    num_layers: usize,
    num_heads: i64,
    #[serde(default = "thirty_two")]
    relative_attention_num_buckets: i64,
    #[serde(default = "far")]
    relative_attention_max_distance: i64,
    #[serde(default = "small")]
    layer_norm_epsilon: f64,
    #[serde(default)]
    feed_forward_proj: Option<String>,
}

fn thirty_two() -> i64 {
    32
}

fn far() -> i64 {
    128
}

fn small() -> f64 {
    1e-6
}

/// How wide the inner layer of a block is entered: once, or once more for a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Feed {
    Plain(Activation),
    Gated(Activation),
}

impl T5Config {
    fn check(&self) -> Result<(), ConfigError> {
        let (buckets, far) = (self.relative_attention_num_buckets, self.relative_attention_max_distance);
        require(buckets >= 4, "relative_attention_num_buckets", &buckets, "it must be at least 4")?;
        let expected = "it must be more than a quarter of relative_attention_num_buckets";
        require(far > buckets / 4, "relative_attention_max_distance", &far, expected)?;
        require(self.d_kv > 0, "d_kv", &self.d_kv, "it must be above 0")?;
        require(self.num_heads > 0, "num_heads", &self.num_heads, "it must be above 0")
    }

    fn feed(&self) -> Result<Feed, ConfigError> {
        match self.feed_forward_proj.as_deref() {
            None | Some("relu") => Ok(Feed::Plain(Activation::Relu)),
            // The name notwithstanding, T5 1.1 uses the tanh approximation.
            Some("gated-gelu") => Ok(Feed::Gated(Activation::GeluTanh)),
            Some("gated-silu") => Ok(Feed::Gated(Activation::Silu)),
            Some(other) => Err(ConfigError::Unsupported {
                key: "feed_forward_proj",
                found: format!("{other:?}"),
                expected: "relu, gated-gelu and gated-silu are known",
            }),
        }
    }
}

/// The encoder of T5 with its weights.
#[derive(Debug)]
pub struct T5 {
    config: T5Config,
    words: Tensor,
    /// `[buckets, heads]`: what the first block adds to the scores by distance, and all the others too.
    distances: Tensor,
    blocks: Vec<Block>,
    norm: RmsNorm,
}

impl T5 {
    /// From `config.json` and the weights of a T5, with or without its decoder.
    pub fn new(config: &ModelConfig, weights: &Weights) -> Result<Self, BuildError> {
        let config: T5Config = config.parse()?;
        config.check()?;
        let feed = config.feed()?;
        let top = weights.below(&["", "transformer."], "encoder.final_layer_norm.weight");
        let at = top.at("encoder");
        let table = [config.vocab_size, config.d_model];
        let bias = at.at("block").at(0).at("layer").at(0).at("SelfAttention");
        let shape = [config.relative_attention_num_buckets, config.num_heads];
        let blocks: Result<_, WeightsError> =
            (0..config.num_layers).map(|i| Block::new(&at.at("block").at(i).at("layer"), &config, feed)).collect();
        Ok(Self {
            words: top.first_of(&["shared.weight", "encoder.embed_tokens.weight"], &table)?,
            distances: bias.tensor("relative_attention_bias.weight", &shape)?,
            blocks: blocks?,
            norm: RmsNorm::new(&at.at("final_layer_norm"), config.d_model, config.layer_norm_epsilon)?,
            config,
        })
    }

    /// What is added to the scores, `[1, heads, T, T]`, or `[B, heads, T, T]` where there is padding.
    fn scores(&self, batch: &Batch) -> Tensor {
        let length = batch.ids.size()[1];
        let by_distance = self.buckets(length, self.distances.device());
        // In order: a GPU's attention kernels take no mask whose last dimension is strided, and libtorch then writes all scores out.
        let bias = look_up(&self.distances, &by_distance).permute([2, 0, 1]).contiguous().unsqueeze(0);
        match batch.attention_mask() {
            None => bias,
            Some(mask) => bias.masked_fill(&mask.logical_not(), f64::NEG_INFINITY),
        }
    }

    /// The bucket of each pair (query, key), `[T, T]`: half of the buckets for keys on the right; in each half the
    /// first half counts distances one by one and the rest grow with the logarithm.
    fn buckets(&self, length: i64, device: Device) -> Tensor {
        let half = self.config.relative_attention_num_buckets / 2;
        let exact = half / 2;
        let far = self.config.relative_attention_max_distance as f64;
        let at = Tensor::arange(length, (Kind::Int64, device));
        let distance = at.unsqueeze(0) - at.unsqueeze(1);
        let right = distance.gt(0).to_kind(Kind::Int64) * half;
        let distance = distance.abs();
        // Float32 logarithms, cut off: as the original computes them, or pairs at the bounds change buckets.
        let ratio = (distance.to_kind(Kind::Float) / exact as f64).log() / (far / exact as f64).ln();
        let grown = (ratio * (half - exact) as f64).to_kind(Kind::Int64) + exact;
        right + distance.where_self(&distance.lt(exact), &grown.clamp_max(half - 1))
    }
}

impl Encoder for T5 {
    fn blocks(&self) -> usize {
        self.blocks.len()
    }

    fn width(&self) -> usize {
        self.config.d_model as usize
    }

    fn words(&self) -> usize {
        self.config.vocab_size as usize
    }

    fn longest(&self) -> Option<usize> {
        None
    }

    fn forward(&self, batch: &Batch, blocks: usize) -> Tensor {
        let scores = self.scores(batch);
        let x = self.blocks.iter().take(blocks).fold(look_up(&self.words, &batch.ids), |x, b| b.forward(&x, &scores));
        if blocks >= self.blocks.len() { self.norm.forward(&x) } else { x }
    }
}

#[derive(Debug)]
struct Block {
    head_size: i64,
    attention_norm: RmsNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    norm: RmsNorm,
    activation: Activation,
    widen: Linear,
    gate: Option<Linear>,
    narrow: Linear,
}

impl Block {
    fn new(at: &Scope<'_>, config: &T5Config, feed: Feed) -> Result<Self, WeightsError> {
        let (width, inner, epsilon) = (config.d_model, config.d_ff, config.layer_norm_epsilon);
        // Sizes too large to multiply then fit no tensor.
        let heads = config.num_heads.saturating_mul(config.d_kv);
        let (own, dense) = (at.at(0).at("SelfAttention"), at.at(1).at("DenseReluDense"));
        let (activation, widen, gate) = match feed {
            Feed::Plain(activation) => (activation, "wi", None),
            Feed::Gated(activation) => (activation, "wi_0", Some("wi_1")),
        };
        Ok(Self {
            head_size: config.d_kv,
            attention_norm: RmsNorm::new(&at.at(0).at("layer_norm"), width, epsilon)?,
            query: Linear::new(&own.at("q"), width, heads)?,
            key: Linear::new(&own.at("k"), width, heads)?,
            value: Linear::new(&own.at("v"), width, heads)?,
            output: Linear::new(&own.at("o"), heads, width)?,
            norm: RmsNorm::new(&at.at(1).at("layer_norm"), width, epsilon)?,
            activation,
            widen: Linear::new(&dense.at(widen), width, inner)?,
            gate: gate.map(|name| Linear::new(&dense.at(name), width, inner)).transpose()?,
            narrow: Linear::new(&dense.at("wo"), inner, width)?,
        })
    }

    fn forward(&self, x: &Tensor, scores: &Tensor) -> Tensor {
        let normed = self.attention_norm.forward(x);
        let [q, k, v] = Linear::each([&self.query, &self.key, &self.value], &normed);
        let seen = attention(&q, &k, &v, self.head_size, Attend::Both(Some(scores)), Some(1.0));
        let x = self.output.forward(&seen) + x;
        let normed = self.norm.forward(&x);
        let inner = match &self.gate {
            None => activate(&self.widen.forward(&normed), self.activation),
            Some(gate) => {
                let [wide, gated] = Linear::each([&self.widen, gate], &normed);
                activate(&wide, self.activation) * gated
            }
        };
        self.narrow.forward(&inner) + x
    }
}
