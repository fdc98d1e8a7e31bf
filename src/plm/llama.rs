//! LLaMA: rotary positions in two halves, grouped queries, pre-normalised blocks; a token sees itself and those before.

use serde::Deserialize;
use tch::{Device, Kind, Tensor};

use super::bert::check_heads;
use super::config::{Activation, ConfigError, ModelConfig, require};
use super::layers::{
    Attend, Batch, BuildError, Encoder, Linear, RmsNorm, activate, attention_by_head, join_heads, look_up, split_heads,
};
use super::weights::{Scope, Weights, WeightsError};

/// The numbers of `config.json`.
#[derive(Clone, Debug, Deserialize)]
pub struct LlamaConfig {
    vocab_size: i64,
    hidden_size: i64,
    num_hidden_layers: usize,
    num_attention_heads: i64,
    #[serde(default)]
    num_key_value_heads: Option<i64>,
    #[serde(default)]
    head_dim: Option<i64>,
    intermediate_size: i64,
    hidden_act: Activation,
    rms_norm_eps: f64,
    max_position_embeddings: i64,
    #[serde(default)]
    rope_theta: Option<f64>,
    #[serde(default)]
    rope_parameters: Option<Rope>,
    #[serde(default)]
    rope_scaling: Option<Rope>,
}

/// How newer files write the rotary positions.
#[derive(Clone, Debug, Default, Deserialize)]
struct Rope {
    #[serde(default)]
    rope_theta: Option<f64>,
    #[serde(default, alias = "type")]
    rope_type: Option<String>,
}

impl LlamaConfig {
    fn check(&self) -> Result<(), ConfigError> {
        for (key, rope) in [("rope_parameters", &self.rope_parameters), ("rope_scaling", &self.rope_scaling)] {
            let kind = rope.as_ref().and_then(|rope| rope.rope_type.as_deref()).unwrap_or("default");
            let expected = "only the default, unscaled rotary positions are known";
            require(kind == "default", key, &format!("{kind:?}"), expected)?;
        }
        if self.head_dim.is_none() {
            check_heads(self.hidden_size, self.num_attention_heads)?;
        }
        check_groups("num_key_value_heads", self.groups(), self.num_attention_heads)?;
        let size = self.head_size();
        require(size > 0 && size % 2 == 0, "head_dim", &size, "positions turn pairs of floats, so it must be even")
    }

    fn groups(&self) -> i64 {
        self.num_key_value_heads.unwrap_or(self.num_attention_heads)
    }

    fn head_size(&self) -> i64 {
        self.head_dim.unwrap_or_else(|| self.hidden_size / self.num_attention_heads)
    }

    fn theta(&self) -> f64 {
        let newer = self.rope_parameters.as_ref().and_then(|rope| rope.rope_theta);
        newer.or(self.rope_theta).unwrap_or(10_000.0)
    }
}

/// Refuses a number of heads of keys and values that does not divide that of the queries.
pub(super) fn check_groups(key: &'static str, groups: i64, heads: i64) -> Result<(), ConfigError> {
    let fine = groups > 0 && heads > 0 && heads % groups == 0;
    require(fine, key, &groups, "it must divide num_attention_heads")
}

/// LLaMA with its weights.
#[derive(Debug)]
pub struct Llama {
    config: LlamaConfig,
    words: Tensor,
    blocks: Vec<Block>,
    norm: RmsNorm,
}

impl Llama {
    /// From `config.json` and the weights of a LLaMA, with or without its language-model head.
    pub fn new(config: &ModelConfig, weights: &Weights) -> Result<Self, BuildError> {
        let config: LlamaConfig = config.parse()?;
        config.check()?;
        let at = weights.below(&["model.", ""], "embed_tokens.weight");
        let blocks: Result<_, WeightsError> =
            (0..config.num_hidden_layers).map(|i| Block::new(&at.at("layers").at(i), &config)).collect();
        Ok(Self {
            words: at.tensor("embed_tokens.weight", &[config.vocab_size, config.hidden_size])?,
            blocks: blocks?,
            norm: RmsNorm::new(&at.at("norm"), config.hidden_size, config.rms_norm_eps)?,
            config,
        })
    }
}

impl Encoder for Llama {
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
        Some(self.config.max_position_embeddings as usize)
    }

    fn forward(&self, batch: &Batch, blocks: usize) -> Tensor {
        let x = look_up(&self.words, &batch.ids);
        let turn = Turn::new(batch.ids.size()[1], self.config.head_size(), self.config.theta(), x.kind(), x.device());
        let x = self.blocks.iter().take(blocks).fold(x, |x, block| block.forward(&x, &turn));
        if blocks >= self.blocks.len() { self.norm.forward(&x) } else { x }
    }
}

/// The rotation of queries and keys by their position.
#[derive(Debug)]
struct Turn {
    /// `[T, size]`.
    cosine: Tensor,
    /// `[T, size]`.
    sine: Tensor,
}

impl Turn {
    fn new(length: i64, size: i64, theta: f64, kind: Kind, device: Device) -> Self {
        let angles = angles(length, size, theta, device);
        let both = Tensor::cat(&[&angles, &angles], -1);
        Self { cosine: both.cos().to_kind(kind), sine: both.sin().to_kind(kind) }
    }

    /// The first half of a head's floats pairs with the second.
    fn apply(&self, x: &Tensor) -> Tensor {
        let halves = x.chunk(2, -1);
        let turned = Tensor::cat(&[&halves[1].neg(), &halves[0]], -1);
        x * &self.cosine + turned * &self.sine
    }
}

/// The angle of each position and pair of floats, `[length, size / 2]`, in float32.
pub(super) fn angles(length: i64, size: i64, theta: f64, device: Device) -> Tensor {
    let exponent = Tensor::arange_start_step(0, size, 2, (Kind::Float, device)) / size as f64;
    let slowness = Tensor::from(theta as f32).to_device(device).pow(&exponent);
    Tensor::arange(length, (Kind::Float, device)).outer(&slowness.reciprocal())
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
    gate: Linear,
    widen: Linear,
    narrow: Linear,
}

impl Block {
    fn new(at: &Scope<'_>, config: &LlamaConfig) -> Result<Self, WeightsError> {
        let (width, inner, size) = (config.hidden_size, config.intermediate_size, config.head_size());
        // Sizes too large to multiply then fit no tensor.
        let [all, shared] = [config.num_attention_heads, config.groups()].map(|heads| heads.saturating_mul(size));
        let (own, mlp) = (at.at("self_attn"), at.at("mlp"));
        Ok(Self {
            head_size: size,
            attention_norm: RmsNorm::new(&at.at("input_layernorm"), width, config.rms_norm_eps)?,
            query: Linear::new(&own.at("q_proj"), width, all)?,
            key: Linear::new(&own.at("k_proj"), width, shared)?,
            value: Linear::new(&own.at("v_proj"), width, shared)?,
            output: Linear::new(&own.at("o_proj"), all, width)?,
            norm: RmsNorm::new(&at.at("post_attention_layernorm"), width, config.rms_norm_eps)?,
            activation: config.hidden_act,
            gate: Linear::new(&mlp.at("gate_proj"), width, inner)?,
            widen: Linear::new(&mlp.at("up_proj"), width, inner)?,
            narrow: Linear::new(&mlp.at("down_proj"), inner, width)?,
        })
    }

    fn forward(&self, x: &Tensor, turn: &Turn) -> Tensor {
        let normed = self.attention_norm.forward(x);
        let heads = Linear::each([&self.query, &self.key, &self.value], &normed);
        let [q, k, v] = heads.map(|all| split_heads(&all, self.head_size));
        let seen = attention_by_head(&turn.apply(&q), &turn.apply(&k), &v, Attend::Before, None);
        let x = self.output.forward(&join_heads(&seen)) + x;
        let normed = self.norm.forward(&x);
        let [gate, wide] = Linear::each([&self.gate, &self.widen], &normed);
        self.narrow.forward(&(activate(&gate, self.activation) * wide)) + x
    }
}
