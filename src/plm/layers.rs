//! The few layers all the architectures are made of.

use tch::{Kind, Tensor};

use super::config::{Activation, ConfigError};
use super::weights::{Scope, WeightsError};
use crate::product::Factor;

/// A batch of token ids, padded on the right.
#[derive(Debug)]
pub struct Batch {
    /// `[B, T]`, int64.
    pub ids: Tensor,
    /// `[B, T]`, bool, true at tokens and false at padding; `None` where nothing is padded.
    pub mask: Option<Tensor>,
}

impl Batch {
    /// The mask as attention takes it, `[B, 1, 1, T]`.
    pub fn attention_mask(&self) -> Option<Tensor> {
        self.mask.as_ref().map(|mask| mask.unsqueeze(1).unsqueeze(1))
    }
}

/// An architecture with its weights: token ids in, hidden states out.
pub trait Encoder: std::fmt::Debug + Send {
    /// How many blocks there are.
    fn blocks(&self) -> usize;
    /// Floats per token.
    fn width(&self) -> usize;
    /// Rows of the table of token embeddings: the ids below it are known.
    fn words(&self) -> usize;
    /// The most tokens a text may have, if positions are limited.
    fn longest(&self) -> Option<usize>;
    /// The hidden states `[B, T, width]` after the first `blocks` blocks (0: the embeddings); after all of them
    /// with the final normalisation, if the architecture has one. What stands at padding is of no meaning.
    fn forward(&self, batch: &Batch, blocks: usize) -> Tensor;
}

/// What can stop an architecture from being built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The weights.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

/// `x · Wᵀ + b`.
#[derive(Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// `weight` `[out, input]` and, if it is there, `bias` `[out]`.
    pub fn new(scope: &Scope<'_>, input: i64, out: i64) -> Result<Self, WeightsError> {
        Ok(Self { weight: scope.tensor("weight", &[out, input])?, bias: scope.optional("bias", &[out])? })
    }

    /// `[…, input]` → `[…, out]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        self.of(&Factor::new(x)).dense()
    }

    /// What each of several layers makes of the same `x`, which is laid out once for all of them.
    pub fn each<const N: usize>(layers: [&Self; N], x: &Tensor) -> [Tensor; N] {
        let x = Factor::new(x);
        layers.map(|layer| layer.of(&x).dense())
    }

    fn of(&self, x: &Factor) -> Factor {
        x.linear(&self.weight, self.bias.as_ref())
    }
}

/// Layer normalisation with weight and bias.
#[derive(Debug)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    epsilon: f64,
}

impl LayerNorm {
    /// Old checkpoints call the two `gamma` and `beta`.
    pub fn new(scope: &Scope<'_>, width: i64, epsilon: f64) -> Result<Self, WeightsError> {
        let get = |names: [&str; 2]| scope.first_of(&names, &[width]);
        Ok(Self { weight: get(["weight", "gamma"])?, bias: get(["bias", "beta"])?, epsilon })
    }

    /// Over the last dimension.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        x.layer_norm(self.weight.size(), Some(&self.weight), Some(&self.bias), self.epsilon, true)
    }
}

/// Root-mean-square normalisation: no mean, no bias; the statistics are in float32 whatever the model's kind.
#[derive(Debug)]
pub struct RmsNorm {
    weight: Tensor,
    epsilon: f64,
}

impl RmsNorm {
    /// `weight` `[width]`.
    pub fn new(scope: &Scope<'_>, width: i64, epsilon: f64) -> Result<Self, WeightsError> {
        Ok(Self { weight: scope.tensor("weight", &[width])?, epsilon })
    }

    /// Over the last dimension.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let x32 = x.to_kind(Kind::Float);
        let mean_square = x32.square().mean_dim([-1_i64].as_slice(), true, Kind::Float);
        let normed = x32 * (mean_square + self.epsilon).rsqrt();
        normed.to_kind(x.kind()) * &self.weight
    }
}

/// Applies an activation.
pub fn activate(x: &Tensor, activation: Activation) -> Tensor {
    match activation {
        Activation::Gelu => x.gelu("none"),
        Activation::GeluTanh => x.gelu("tanh"),
        Activation::Relu => x.relu(),
        Activation::Silu => x.silu(),
    }
}

/// Which tokens a token may look at.
#[derive(Clone, Copy, Debug)]
pub enum Attend<'a> {
    /// All of them, less what the mask (bool: true is seen; float: added to the scores) takes away.
    Both(Option<&'a Tensor>),
    /// Itself and those before it. Padding stands on the right, so no token sees any.
    Before,
}

/// Multi-head attention over `[B, T, heads · size]` queries and `[B, T, groups · size]` keys and values;
/// the scores are divided by √size unless `scale` says otherwise.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, size: i64, attend: Attend<'_>, scale: Option<f64>) -> Tensor {
    let (q, k, v) = (split_heads(q, size), split_heads(k, size), split_heads(v, size));
    join_heads(&attention_by_head(&q, &k, &v, attend, scale))
}

/// The same over `[B, heads, T, size]`; keys and values may have fewer heads, each shared by a group of queries.
pub fn attention_by_head(q: &Tensor, k: &Tensor, v: &Tensor, attend: Attend<'_>, scale: Option<f64>) -> Tensor {
    let grouped = q.size()[1] != k.size()[1];
    let (mask, causal) = match attend {
        Attend::Both(mask) => (mask, false),
        Attend::Before => (None, true),
    };
    Tensor::scaled_dot_product_attention(q, k, v, mask, 0.0, causal, scale, grouped)
}

/// `[B, T, heads · size]` → `[B, heads, T, size]`.
pub fn split_heads(x: &Tensor, size: i64) -> Tensor {
    let shape = x.size();
    x.view([shape[0], shape[1], -1, size]).transpose(1, 2)
}

/// `[B, heads, T, size]` → `[B, T, heads · size]`.
pub fn join_heads(x: &Tensor) -> Tensor {
    x.transpose(1, 2).flatten(2, 3)
}

/// The rows of a table that ids name: `[V, d]`, `[…]` → `[…, d]`.
pub fn look_up(table: &Tensor, ids: &Tensor) -> Tensor {
    Tensor::embedding(table, ids, -1, false, false)
}

/// BERT's block: attention, then two linear layers, each added to what went in and normalised after that. The
/// architectures that have it name its weights differently, so each fills it in itself.
#[derive(Debug)]
pub(super) struct PostNormBlock {
    pub(super) head_size: i64,
    pub(super) query: Linear,
    pub(super) key: Linear,
    pub(super) value: Linear,
    pub(super) output: Linear,
    pub(super) attention_norm: LayerNorm,
    pub(super) widen: Linear,
    pub(super) narrow: Linear,
    pub(super) norm: LayerNorm,
    pub(super) activation: Activation,
}

impl PostNormBlock {
    /// `[B, T, width]` → `[B, T, width]`.
    pub(super) fn forward(&self, x: &Tensor, attend: Attend<'_>) -> Tensor {
        let [q, k, v] = Linear::each([&self.query, &self.key, &self.value], x);
        let seen = attention(&q, &k, &v, self.head_size, attend, None);
        let x = self.attention_norm.forward(&(self.output.forward(&seen) + x));
        self.norm.forward(&(self.feed_forward(&x) + x))
    }

    fn feed_forward(&self, x: &Tensor) -> Tensor {
        let wide = self.widen.of(&Factor::new(x));
        let inner = match self.activation {
            Activation::Gelu => wide.gelu(),
            Activation::Relu => wide.relu(),
            other => Factor::new(&activate(&wide.dense(), other)),
        };
        self.narrow.of(&inner).dense()
    }
}

/// BERT's embeddings: those of the words, of their positions and of token type 0, the only one a single text has, added
/// up and normalised.
#[derive(Debug)]
pub(super) struct Embeddings {
    /// The position of a text's first token.
    first_position: i64,
    words: Tensor,
    positions: Tensor,
    kind_of_text: Tensor,
    norm: LayerNorm,
}

/// How many rows the tables of [`Embeddings`] have.
#[derive(Clone, Copy, Debug)]
pub(super) struct TableSizes {
    pub(super) words: i64,
    pub(super) positions: i64,
    pub(super) kinds: i64,
}

impl Embeddings {
    /// The tables below `embeddings`, all of one width.
    pub(super) fn new(
        at: &Scope<'_>,
        rows: TableSizes,
        width: i64,
        epsilon: f64,
        first_position: i64,
    ) -> Result<Self, WeightsError> {
        Ok(Self {
            first_position,
            words: at.tensor("word_embeddings.weight", &[rows.words, width])?,
            positions: at.tensor("position_embeddings.weight", &[rows.positions, width])?,
            kind_of_text: at.tensor("token_type_embeddings.weight", &[rows.kinds, width])?.get(0),
            norm: LayerNorm::new(&at.at("LayerNorm"), width, epsilon)?,
        })
    }

    /// Token ids `[B, T]` → `[B, T, width]`.
    pub(super) fn forward(&self, ids: &Tensor) -> Tensor {
        // Padding stands on the right, so a token's position does not depend on it.
        let positions = Tensor::arange(ids.size()[1], (Kind::Int64, ids.device())) + self.first_position;
        let sum = look_up(&self.words, ids) + &self.kind_of_text + look_up(&self.positions, &positions);
        self.norm.forward(&sum)
    }
}
