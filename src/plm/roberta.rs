//! RoBERTa and XLM-RoBERTa: BERT whose positions begin after the padding token's id.

use serde::Deserialize;
use tch::Tensor;

use super::bert::Bert;
use super::config::{ModelConfig, require};
use super::layers::{Batch, BuildError, Encoder};
use super::weights::Weights;

#[derive(Deserialize)]
struct Padding {
    #[serde(default)]
    pad_token_id: Option<i64>,
}

/// RoBERTa with its weights.
#[derive(Debug)]
pub struct Roberta(Bert);

impl Roberta {
    /// From `config.json` and the weights of any RoBERTa, with or without a head.
    ///
    /// A token's position is `pad_token_id` + the number of tokens up to and including it, so the first one stands at
    /// `pad_token_id + 1` and a table of 514 positions holds texts of 512 tokens.
    pub fn new(config: &ModelConfig, weights: &Weights) -> Result<Self, BuildError> {
        let padding = config.parse::<Padding>()?.pad_token_id.unwrap_or(1);
        let first = padding.saturating_add(1);
        require(first >= 0, "pad_token_id", &padding, "it must not be below -1, since positions begin after it")?;
        let at = weights.below(&["", "roberta."], "embeddings.word_embeddings.weight");
        Ok(Self(Bert::with_positions(config, &at, first)?))
    }
}

impl Encoder for Roberta {
    fn blocks(&self) -> usize {
        self.0.blocks()
    }

    fn width(&self) -> usize {
        self.0.width()
    }

    fn words(&self) -> usize {
        self.0.words()
    }

    fn longest(&self) -> Option<usize> {
        self.0.longest()
    }

    fn forward(&self, batch: &Batch, blocks: usize) -> Tensor {
        self.0.forward(batch, blocks)
    }
}
