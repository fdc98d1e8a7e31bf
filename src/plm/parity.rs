//! Every architecture and tokenizer against `transformers` and `sentencepiece`, on the tiny models that
//! `tests/fixtures/plm/make_fixtures.py` makes.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use data_process::event::Silent;
use serde::Deserialize;
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};

use super::batching::batch;
use super::config::{ConfigError, ModelConfig};
use super::embedder::encoder;
use super::hub::{Hub, Repository};
use super::layers::{Batch, BuildError, Encoder};
use super::tokenizer::Tokeniser;
use super::weights::{Weights, WeightsError};

const MODELS: [&str; 8] = ["bert", "roberta", "xlm-roberta", "albert", "t5", "t5-v1_1", "llama", "chatglm2"];
const WITH_TOKENIZER: [&str; 7] = ["bert", "roberta", "xlm-roberta", "albert", "t5", "llama", "chatglm2"];

pub(super) fn fixture(model: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/plm").join(model)
}

pub(super) fn repository(folder: &Path) -> Repository {
    let hub = Hub {
        cache: PathBuf::from("/nowhere"),
        endpoint: "http://127.0.0.1:9".to_owned(),
        token: None,
        offline: true,
        retries: 0,
    };
    hub.repository(folder.to_str().unwrap(), None).unwrap()
}

struct Expected(HashMap<String, Tensor>);

impl Expected {
    fn of(model: &str) -> Self {
        Self(Tensor::read_safetensors(fixture(model).join("expected.safetensors")).unwrap().into_iter().collect())
    }

    /// The batch that the expected states belong to, padded as ours are whatever the reference pads with.
    fn batch(&self) -> Batch {
        let lengths: Vec<i64> =
            Vec::try_from(&self.0["mask"].sum_dim_intlist([1_i64].as_slice(), false, Kind::Int64)).unwrap();
        let row = |(i, &n): (usize, &i64)| Vec::<i64>::try_from(self.0["ids"].get(i as i64).narrow(0, 0, n)).unwrap();
        let rows: Vec<Vec<u32>> =
            lengths.iter().enumerate().map(row).map(|ids| ids.iter().map(|&id| id as u32).collect()).collect();
        batch(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>(), 0, Device::Cpu)
    }
}

fn load(model: &str, kind: Kind) -> Box<dyn Encoder> {
    let folder = fixture(model);
    let config = ModelConfig::read(&folder.join("config.json")).unwrap();
    encoder(&config, &Weights::open(&[folder.join("model.safetensors")], Device::Cpu, kind).unwrap()).unwrap()
}

/// The largest difference at tokens; what stands at padding is of no meaning.
fn difference(found: &Tensor, expected: &Tensor, batch: &Batch) -> f64 {
    let found = batch.mask.as_ref().map_or_else(|| found.shallow_clone(), |mask| found * mask.unsqueeze(-1));
    (found - expected).abs().max().double_value(&[])
}

#[test]
fn hidden_states_are_those_of_transformers() {
    for model in MODELS {
        let (encoder, expected) = (load(model, Kind::Float), Expected::of(model));
        let batch = expected.batch();
        assert!(batch.mask.is_some(), "the batch has padding");
        for (blocks, name) in [(1, "hidden.1"), (2, "last")] {
            let off = difference(&encoder.forward(&batch, blocks), &expected.0[name], &batch);
            assert!(off <= 1e-5, "{model} after {blocks} blocks: {off:e}");
        }
    }
}

#[test]
fn long_texts_too() {
    for model in MODELS {
        let (encoder, expected) = (load(model, Kind::Float), Expected::of(model));
        let batch = Batch { ids: expected.0["long.ids"].shallow_clone(), mask: None };
        let found = encoder.forward(&batch, encoder.blocks()).slice(1, 0, None::<i64>, 8);
        let off = difference(&found, &expected.0["long.last"], &batch);
        assert!(off <= 1e-5, "{model}: {off:e}");
    }
}

#[test]
fn bfloat16_points_the_same_way() {
    for model in MODELS {
        let (encoder, expected) = (load(model, Kind::BFloat16), Expected::of(model));
        let found = encoder.forward(&expected.batch(), 2).select(1, 0).to_kind(Kind::Float);
        let cosine = Tensor::cosine_similarity(&found, &expected.0["last"].select(1, 0), 1, 1e-8).min();
        assert!(cosine.double_value(&[]) > 0.99, "{model}: {cosine:?}");
    }
}

#[test]
fn old_names_of_norms_and_prefixes_are_known() {
    let tensors = Tensor::read_safetensors(fixture("bert").join("model.safetensors")).unwrap();
    let renamed = tensors.into_iter().map(|(name, tensor)| {
        let name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta");
        (format!("bert.{name}"), tensor)
    });
    let weights = Weights::from_tensors("old".to_owned(), renamed.collect(), Device::Cpu, Kind::Float);
    let config = ModelConfig::read(&fixture("bert").join("config.json")).unwrap();
    let expected = Expected::of("bert");
    let (encoder, batch) = (encoder(&config, &weights).unwrap(), expected.batch());
    assert!(difference(&encoder.forward(&batch, 2), &expected.0["last"], &batch) <= 1e-5);
}

#[test]
fn a_t5_is_known_by_both_names_of_its_table_and_below_a_prefix() {
    let folder = fixture("t5");
    let config = ModelConfig::read(&folder.join("config.json")).unwrap();
    let expected = Expected::of("t5");
    for (prefix, table) in [("", "encoder.embed_tokens.weight"), ("transformer.", "shared.weight")] {
        let tensors = Tensor::read_safetensors(folder.join("model.safetensors")).unwrap();
        let kept = tensors.into_iter().filter(|(name, _)| name != "encoder.embed_tokens.weight");
        let named = |name: String| if name == "shared.weight" { table.to_owned() } else { name };
        let renamed = kept.map(|(name, tensor)| (format!("{prefix}{}", named(name)), tensor)).collect();
        let weights = Weights::from_tensors("renamed".to_owned(), renamed, Device::Cpu, Kind::Float);
        let (encoder, batch) = (encoder(&config, &weights).unwrap(), expected.batch());
        assert!(difference(&encoder.forward(&batch, 2), &expected.0["last"], &batch) <= 1e-5, "{prefix}{table}");
    }
}

#[test]
fn what_an_architecture_cannot_do_is_refused_with_its_key() {
    let cases = [
        ("bert", "position_embedding_type", json!("relative_key")),
        ("bert", "type_vocab_size", json!(0)),
        ("bert", "num_attention_heads", json!(5)),
        ("albert", "num_hidden_groups", json!(2)),
        ("albert", "inner_group_num", json!(0)),
        ("t5", "feed_forward_proj", json!("gated-tanh")),
        ("t5", "relative_attention_num_buckets", json!(2)),
        ("t5", "relative_attention_max_distance", json!(8)),
        ("t5", "d_kv", json!(0)),
        ("t5", "num_heads", json!(0)),
        ("llama", "rope_scaling", json!({"type": "linear", "factor": 2.0})),
        ("llama", "num_key_value_heads", json!(3)),
        ("llama", "head_dim", json!(5)),
        ("chatglm2", "rmsnorm", json!(false)),
        ("chatglm2", "post_layer_norm", json!(false)),
        ("chatglm2", "apply_residual_connection_post_layernorm", json!(true)),
        ("chatglm2", "rope_ratio", json!(50)),
        ("chatglm2", "rope_ratio", json!(0.5)),
        ("chatglm2", "multi_query_group_num", json!(3)),
        ("chatglm2", "kv_channels", json!(6)),
    ];
    for (model, key, value) in cases {
        let error = changed(model, key, value).unwrap_err();
        let named = matches!(error, BuildError::Config(ConfigError::Unsupported { key: said, .. }) if said == key);
        assert!(named, "{model}, {key}: {error}");
    }
}

#[test]
fn a_ratio_of_positions_that_changes_nothing_is_taken() {
    for ratio in [json!(1), json!(1.0)] {
        changed("chatglm2", "rope_ratio", ratio).unwrap();
    }
}

#[test]
fn sizes_that_cannot_be_multiplied_fit_no_tensor() {
    let cases = [
        ("t5", "d_kv", 1_i64 << 62),
        ("llama", "head_dim", 1 << 62),
        ("chatglm2", "kv_channels", 1 << 62),
        ("chatglm2", "ffn_hidden_size", 1 << 62),
    ];
    for (model, key, size) in cases {
        let error = changed(model, key, json!(size)).unwrap_err();
        assert!(matches!(error, BuildError::Weights(WeightsError::Shape { .. })), "{model}, {key}: {error}");
    }
}

/// A model as its fixture is, but for one key of `config.json`.
fn changed(model: &str, key: &str, value: Value) -> Result<Box<dyn Encoder>, BuildError> {
    let folder = tempfile::tempdir().unwrap();
    let mut json: Value = serde_json::from_slice(&fs::read(fixture(model).join("config.json")).unwrap()).unwrap();
    json[key] = value;
    fs::write(folder.path().join("config.json"), json.to_string()).unwrap();
    let config = ModelConfig::read(&folder.path().join("config.json")).unwrap();
    let weights = Weights::open(&[fixture(model).join("model.safetensors")], Device::Cpu, Kind::Float).unwrap();
    encoder(&config, &weights)
}

#[derive(Deserialize)]
struct Tokens {
    cut: usize,
    chosen: Vec<String>,
    ids: Vec<Vec<u32>>,
}

fn tokens(model: &str) -> Tokens {
    serde_json::from_slice(&fs::read(fixture(model).join("tokens.json")).unwrap()).unwrap()
}

fn tokeniser(folder: &Path) -> Tokeniser {
    let config = ModelConfig::read(&folder.join("config.json")).unwrap();
    Tokeniser::open(&repository(folder), config.architecture, &Silent).unwrap()
}

fn assert_same_ids(tokeniser: &Tokeniser, model: &str) {
    let texts: Vec<String> = serde_json::from_slice(&fs::read(fixture("texts.json")).unwrap()).unwrap();
    let found = tokeniser.encode(&texts.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    for ((text, found), expected) in texts.iter().zip(found).zip(tokens(model).ids) {
        assert_eq!(found, expected, "{model}: {text:?}");
    }
}

#[test]
fn token_ids_are_those_of_the_reference() {
    for model in WITH_TOKENIZER {
        assert_same_ids(&tokeniser(&fixture(model)), model);
    }
}

#[test]
fn a_vocabulary_alone_makes_the_same_tokenizer() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "vocab.txt"] {
        fs::copy(fixture("bert").join(file), folder.path().join(file)).unwrap();
    }
    assert_same_ids(&tokeniser(folder.path()), "bert");
}

#[test]
fn long_texts_are_cut_as_in_the_reference() {
    for model in WITH_TOKENIZER {
        let (expected, known) = (Expected::of(model), tokens(model));
        let mut tokeniser = tokeniser(&fixture(model));
        tokeniser.cut_at(known.cut).unwrap();
        let found = tokeniser.encode(&known.chosen.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        let ours = batch(&found.iter().map(Vec::as_slice).collect::<Vec<_>>(), 0, Device::Cpu);
        assert_eq!(ours.ids, expected.batch().ids, "{model}");
    }
}
