//! ChatGLM2 and ChatGLM3: rotary positions on half of each head in neighbouring pairs, keys and values shared by groups.

use serde::Deserialize;
use tch::{Device, Kind, Tensor};

use super::config::{ConfigError, ModelConfig, require};
use super::layers::{
    Attend, Batch, BuildError, Encoder, Linear, RmsNorm, attention_by_head, join_heads, look_up, split_heads,
};
use super::llama::{angles, check_groups};
use super::weights::{Scope, Weights, WeightsError};

/// The numbers of `config.json`, which has names of its own.
#[derive(Clone, Debug, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "config.json has these flags")]
pub struct ChatGlm2Config {
    padded_vocab_size: i64,
    hidden_size: i64,
    num_layers: usize,
    num_attention_heads: i64,
    kv_channels: i64,
    ffn_hidden_size: i64,
    layernorm_epsilon: f64,
    seq_length: i64,
    #[serde(default)]
    multi_query_attention: bool,
    #[serde(default)]
    multi_query_group_num: Option<i64>,
    #[serde(default = "yes")]
    rmsnorm: bool,
    #[serde(default)]
    apply_residual_connection_post_layernorm: bool,
    #[serde(default = "yes")]
    post_layer_norm: bool,
    #[serde(default)]
    rope_ratio: Option<f64>,
}

fn yes() -> bool {
    true
}

/// The base of the angles by which positions turn.
const THETA: f64 = 10_000.0;

impl ChatGlm2Config {
    fn check(&self) -> Result<(), ConfigError> {
        let post = self.apply_residual_connection_post_layernorm;
        require(self.rmsnorm, "rmsnorm", &false, "only true is known")?;
        require(self.post_layer_norm, "post_layer_norm", &false, "only true is known")?;
        require(!post, "apply_residual_connection_post_layernorm", &true, "only false is known")?;
        self.check_ratio()?;
        check_groups("multi_query_group_num", self.groups(), self.num_attention_heads)?;
        let size = self.kv_channels;
        let expected = "positions turn pairs of floats in half of a head, so 4 must divide it";
        require(size > 0 && size % 4 == 0, "kv_channels", &size, expected)
    }

    /// Models for long texts have another, and their `config.json` does not say which of two ways it is meant.
    fn check_ratio(&self) -> Result<(), ConfigError> {
        let ratio = self.rope_ratio.unwrap_or(1.0);
        let expected = "only 1 is known: ChatGLM2 divides positions by it, ChatGLM3 multiplies the base of the angles \
                        with it, and both are of model_type chatglm";
        require((ratio - 1.0).abs() < f64::EPSILON, "rope_ratio", &ratio, expected)
    }

    fn groups(&self) -> i64 {
        if self.multi_query_attention { self.multi_query_group_num.unwrap_or(1) } else { self.num_attention_heads }
    }
}

/// ChatGLM2 with its weights.
#[derive(Debug)]
pub struct ChatGlm2 {
    config: ChatGlm2Config,
    words: Tensor,
    blocks: Vec<Block>,
    norm: RmsNorm,
}

impl ChatGlm2 {
    /// From `config.json` and the weights of a ChatGLM2.
    pub fn new(config: &ModelConfig, weights: &Weights) -> Result<Self, BuildError> {
        let config: ChatGlm2Config = config.parse()?;
        config.check()?;
        let at = weights.below(&["transformer.", ""], "embedding.word_embeddings.weight");
        let encoder = at.at("encoder");
        let blocks: Result<_, WeightsError> =
            (0..config.num_layers).map(|i| Block::new(&encoder.at("layers").at(i), &config)).collect();
        let table = [config.padded_vocab_size, config.hidden_size];
        Ok(Self {
            words: at.tensor("embedding.word_embeddings.weight", &table)?,
            blocks: blocks?,
            norm: RmsNorm::new(&encoder.at("final_layernorm"), config.hidden_size, config.layernorm_epsilon)?,
            config,
        })
    }
}

impl Encoder for ChatGlm2 {
    fn blocks(&self) -> usize {
        self.blocks.len()
    }

    fn width(&self) -> usize {
        self.config.hidden_size as usize
    }

    fn words(&self) -> usize {
        self.config.padded_vocab_size as usize
    }

    fn longest(&self) -> Option<usize> {
        Some(self.config.seq_length as usize)
    }

    fn forward(&self, batch: &Batch, blocks: usize) -> Tensor {
        let x = look_up(&self.words, &batch.ids);
        let turn = Turn::new(batch.ids.size()[1], self.config.kv_channels / 2, THETA, x.kind(), x.device());
        let x = self.blocks.iter().take(blocks).fold(x, |x, block| block.forward(&x, &turn));
        if blocks >= self.blocks.len() { self.norm.forward(&x) } else { x }
    }
}

/// The rotation of queries and keys by their position.
///
/// The original computes the angles in the kind of the run; here they are float32 always, so that a half-precision
/// run does not lose its positions.
#[derive(Debug)]
struct Turn {
    /// How many of a head's floats are turned.
    size: i64,
    /// `[T, size / 2]`.
    cosine: Tensor,
    /// `[T, size / 2]`.
    sine: Tensor,
}

impl Turn {
    fn new(length: i64, size: i64, theta: f64, kind: Kind, device: Device) -> Self {
        let angles = angles(length, size, theta, device);
        Self { size, cosine: angles.cos().to_kind(kind), sine: angles.sin().to_kind(kind) }
    }

    /// Each float of the first `size` pairs with its neighbour; the rest pass through.
    fn apply(&self, x: &Tensor) -> Tensor {
        let shape = x.size();
        let turned = x.narrow(-1, 0, self.size).reshape([shape[0], shape[1], shape[2], self.size / 2, 2]);
        let (a, b) = (turned.select(-1, 0), turned.select(-1, 1));
        let first = &a * &self.cosine - &b * &self.sine;
        let second = b * &self.cosine + a * &self.sine;
        let turned = Tensor::stack(&[first, second], -1).flatten(3, 4);
        Tensor::cat(&[turned, x.narrow(-1, self.size, shape[3] - self.size)], -1)
    }
}

#[derive(Debug)]
struct Block {
    head_size: i64,
    /// The rows of the joint projection: queries, keys, values.
    rows: [i64; 3],
    attention_norm: RmsNorm,
    joint: Linear,
    output: Linear,
    norm: RmsNorm,
    widen: Linear,
    narrow: Linear,
}

impl Block {
    fn new(at: &Scope<'_>, config: &ChatGlm2Config) -> Result<Self, WeightsError> {
        let (width, size, inner) = (config.hidden_size, config.kv_channels, config.ffn_hidden_size);
        // Sizes too large to multiply or add then fit no tensor.
        let [all, shared] = [config.num_attention_heads, config.groups()].map(|heads| heads.saturating_mul(size));
        let joint = all.saturating_add(shared.saturating_mul(2));
        let (own, mlp, epsilon) = (at.at("self_attention"), at.at("mlp"), config.layernorm_epsilon);
        Ok(Self {
            head_size: size,
            rows: [all, shared, shared],
            attention_norm: RmsNorm::new(&at.at("input_layernorm"), width, epsilon)?,
            joint: Linear::new(&own.at("query_key_value"), width, joint)?,
            output: Linear::new(&own.at("dense"), all, width)?,
            norm: RmsNorm::new(&at.at("post_attention_layernorm"), width, epsilon)?,
            widen: Linear::new(&mlp.at("dense_h_to_4h"), width, inner.saturating_mul(2))?,
            narrow: Linear::new(&mlp.at("dense_4h_to_h"), inner, width)?,
        })
    }

    fn forward(&self, x: &Tensor, turn: &Turn) -> Tensor {
        let joint = self.joint.forward(&self.attention_norm.forward(x)).split_with_sizes(self.rows, -1);
        let heads = |part: &Tensor| split_heads(&part.contiguous(), self.head_size);
        let (q, k) = (turn.apply(&heads(&joint[0])), turn.apply(&heads(&joint[1])));
        let seen = attention_by_head(&q, &k, &heads(&joint[2]), Attend::Before, None);
        let x = self.output.forward(&join_heads(&seen)) + x;
        let inner = self.widen.forward(&self.norm.forward(&x)).chunk(2, -1);
        self.narrow.forward(&(inner[0].silu() * &inner[1])) + x
    }
}
