//! One test for every way in which a model's folder can be wrong.

use std::fs;
use std::path::Path;

use data_process::event::Silent;
use data_process::fault::{Fault, Kind as FaultKind};

use super::*;
use crate::plm::config::{ConfigError, read_json};
use crate::plm::hub::{Hub, HubError};
use crate::plm::parity::{fixture, repository};
use crate::plm::run::{RunError, vectors_of};
use crate::plm::sentencepiece::SentencePiece;
use crate::plm::tokenizer::Tokeniser;
use crate::plm::weights::WeightsError;

/// A copy of the small BERT, in which files may be spoilt.
fn model() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        fs::copy(fixture("bert").join(file), folder.path().join(file)).unwrap();
    }
    folder
}

fn load(folder: &Path, options: Options) -> Result<Embedder, EmbedderError> {
    Embedder::load(&repository(folder), options, Device::Cpu, 1, &Silent)
}

/// The error of a model with one file of this content, or without it.
fn spoilt(file: &str, content: Option<&str>) -> EmbedderError {
    let folder = model();
    let path = folder.path().join(file);
    content.map_or_else(|| fs::remove_file(&path), |content| fs::write(&path, content)).unwrap();
    load(folder.path(), Options::default()).unwrap_err()
}

/// The error of a model whose configuration has another number.
fn configured(key: &str, number: u32) -> EmbedderError {
    let text = fs::read_to_string(fixture("bert").join("config.json")).unwrap();
    let mut json: Value = serde_json::from_str(&text).unwrap();
    json[key] = number.into();
    spoilt("config.json", Some(&json.to_string()))
}

#[test]
fn the_copy_itself_is_a_model() {
    assert_eq!(load(model().path(), Options::default()).unwrap().width(), 32);
}

#[test]
fn a_wrong_configuration_has_its_error() {
    assert!(matches!(spoilt("config.json", None), EmbedderError::Hub(HubError::NotInFolder { .. })));
    assert!(matches!(spoilt("config.json", Some("{")), EmbedderError::Config(ConfigError::Json { .. })));
    let heads = configured("num_attention_heads", 5);
    assert!(matches!(heads, EmbedderError::Config(ConfigError::Unsupported { .. })), "{heads}");
    let kinds = configured("type_vocab_size", 0);
    assert!(matches!(kinds, EmbedderError::Config(ConfigError::Unsupported { .. })), "{kinds}");
    let width = configured("intermediate_size", 7);
    assert!(matches!(width, EmbedderError::Weights(WeightsError::Shape { .. })), "{width}");
    let module = spoilt("modules.json", Some(r#"[{"type": "sentence_transformers.models.Dense"}]"#));
    assert!(matches!(&module, EmbedderError::Module { module, .. } if module.ends_with("Dense")), "{module}");
}

#[test]
fn wrong_weights_have_their_error() {
    assert!(matches!(spoilt("model.safetensors", None), EmbedderError::NoWeights(_)));
    let garbage = spoilt("model.safetensors", Some("garbage"));
    assert!(matches!(garbage, EmbedderError::Weights(WeightsError::Format { .. })), "{garbage}");
    let gone = digest_of(&[PathBuf::from("/no/such.safetensors")]).unwrap_err();
    assert!(matches!(gone, EmbedderError::Read { .. }), "{gone}");
}

#[test]
fn options_beyond_the_model_have_their_error() {
    let folder = model();
    let error = |options| load(folder.path(), options).unwrap_err();
    let layer = error(Options { layer: Some(9), ..Options::default() });
    assert!(matches!(layer, EmbedderError::Layer { asked: 9, blocks: 2 }), "{layer}");
    let long = error(Options { max_length: Some(9999), ..Options::default() });
    assert!(matches!(long, EmbedderError::Length { asked: 9999, .. }), "{long}");
    let short = error(Options { max_length: Some(2), ..Options::default() });
    assert!(matches!(short, EmbedderError::Tokenizer(TokenizerError::TooShort { length: 2, special: 2 })), "{short}");
    assert!("float64".parse::<Precision>().unwrap_err().to_string().contains("float32, bf16 or f16"));
    assert!("average".parse::<Pooling>().unwrap_err().to_string().contains("cls, mean, last or max"));
}

#[test]
fn a_wrong_tokenizer_has_its_error() {
    let none = spoilt("tokenizer.json", None);
    assert!(matches!(none, EmbedderError::Tokenizer(TokenizerError::None(_))), "{none}");
    let garbage = spoilt("tokenizer.json", Some("{}"));
    assert!(matches!(garbage, EmbedderError::Tokenizer(TokenizerError::Format { .. })), "{garbage}");
    let folder = model();
    fs::remove_file(folder.path().join("tokenizer.json")).unwrap();
    fs::write(folder.path().join("vocab.json"), "[").unwrap();
    fs::write(folder.path().join("merges.txt"), "").unwrap();
    let vocabulary = load(folder.path(), Options::default()).unwrap_err();
    assert!(matches!(vocabulary, EmbedderError::Tokenizer(TokenizerError::Config(_))), "{vocabulary}");
    let gone = SentencePiece::read(Path::new("/no/such.model")).unwrap_err();
    assert!(matches!(gone, TokenizerError::Read { .. }), "{gone}");
}

const SNAPSHOT: &str = "models--someone--model/snapshots/abc";
const ABSENT: &str = "models--someone--model/.no_exist/abc";

/// A cache that holds of a model what Python's `AutoModel` and `AutoTokenizer` fetch.
fn cached() -> tempfile::TempDir {
    let cache = tempfile::tempdir().unwrap();
    let repository = cache.path().join("models--someone--model");
    fs::create_dir_all(repository.join("refs")).unwrap();
    fs::write(repository.join("refs/main"), "abc").unwrap();
    fs::create_dir_all(cache.path().join(SNAPSHOT)).unwrap();
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        fs::copy(fixture("bert").join(file), cache.path().join(SNAPSHOT).join(file)).unwrap();
    }
    cache
}

/// The model in that cache, beside a Hub that is not to be asked or does not answer.
fn from_cache(cache: &tempfile::TempDir, offline: bool) -> Repository {
    let (cache, endpoint) = (cache.path().to_owned(), "http://127.0.0.1:9".to_owned());
    Hub { cache, endpoint, token: None, offline, retries: 0 }.repository("someone/model", None).unwrap()
}

/// The pooling and the normalisation that the vectors of the model would say they have.
fn used(model: &Repository, options: Options) -> Result<(String, Value), EmbedderError> {
    let embedder = Embedder::load(model, options, Device::Cpu, 1, &Silent)?;
    let Provenance { pooling, details, .. } = embedder.provenance().clone();
    Ok((pooling.unwrap(), details["normalize"].clone()))
}

#[test]
fn a_sentence_model_of_which_the_cache_lacks_how_to_pool_is_refused_unless_that_is_given() {
    let cache = cached();
    let [pooling, normalize] = [(Some(Pooling::Mean), None), (None, Some(true))].map(|(pooling, normalize)| Options {
        pooling,
        normalize,
        ..Options::default()
    });
    for offline in [true, false] {
        let model = from_cache(&cache, offline);
        for (options, file) in
            [(Options::default(), "modules.json"), (pooling, "modules.json"), (normalize, "1_Pooling")]
        {
            let error = used(&model, options).unwrap_err();
            assert!(matches!(error, EmbedderError::Undecided(_)), "{error}");
            assert_eq!(error.kind(), FaultKind::Network);
            let said = error.to_string();
            assert!(said.contains(file) && said.contains("--pooling and --normalize"), "{said}");
        }
        let both = Options { normalize: Some(true), ..pooling };
        assert_eq!(used(&model, both).unwrap(), ("mean".to_owned(), true.into()));
    }
}

#[test]
fn a_model_that_is_known_to_say_nothing_of_pooling_has_the_usual_one() {
    let cache = cached();
    fs::create_dir_all(cache.path().join(ABSENT).join("1_Pooling")).unwrap();
    for file in ["modules.json", "1_Pooling/config.json"] {
        fs::write(cache.path().join(ABSENT).join(file), "").unwrap();
    }
    let plain = ("cls".to_owned(), false.into());
    assert_eq!(used(&from_cache(&cache, true), Options::default()).unwrap(), plain);
    let sentence = [
        ("modules.json", r#"[{"type": "sentence_transformers.models.Normalize"}]"#),
        ("1_Pooling/config.json", r#"{"pooling_mode_mean_tokens": true}"#),
    ];
    fs::create_dir_all(cache.path().join(SNAPSHOT).join("1_Pooling")).unwrap();
    for (file, content) in sentence {
        fs::write(cache.path().join(SNAPSHOT).join(file), content).unwrap();
    }
    let said = ("mean".to_owned(), true.into());
    assert_eq!(used(&from_cache(&cache, true), Options::default()).unwrap(), said);
}

#[test]
fn weights_and_a_tokenizer_that_are_not_cached_are_not_said_to_be_absent() {
    for gone in ["model.safetensors", "tokenizer.json"] {
        let cache = cached();
        fs::remove_file(cache.path().join(SNAPSHOT).join(gone)).unwrap();
        let options = Options { pooling: Some(Pooling::Cls), normalize: Some(false), ..Options::default() };
        let error = used(&from_cache(&cache, true), options).unwrap_err();
        let (EmbedderError::Hub(error) | EmbedderError::Tokenizer(TokenizerError::Hub(error))) = error else {
            panic!("{error}")
        };
        assert!(matches!(&error, HubError::Offline { file, .. } if file == gone), "{error}");
    }
}

#[test]
fn a_tokenizer_that_is_damaged_in_the_cache_is_named() {
    let cache = cached();
    fs::write(cache.path().join(SNAPSHOT).join("tokenizer.json"), "").unwrap();
    let model = from_cache(&cache, true);
    let error = Tokeniser::open(&model, Architecture::Bert, &Silent).unwrap_err();
    assert!(matches!(error, TokenizerError::Hub(HubError::Cache { .. })), "{error}");
}

#[test]
fn a_text_that_cannot_be_tokenised_is_named() {
    let folder = model();
    // A vocabulary of one word, and no token for the others.
    let words = r#"{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": {"known": 0}, "unk_token": "[UNK]"}}"#;
    fs::write(folder.path().join("tokenizer.json"), words).unwrap();
    let mut embedder = load(folder.path(), Options::default()).unwrap();
    assert_eq!(embedder.tokenise(&["known"]).unwrap(), [[0]]);
    let error = embedder.tokenise(&["known", "unheard", "known"]).unwrap_err();
    assert!(matches!(&error, TokenizerError::Text { text, .. } if text == "unheard"), "{error}");
    assert!(matches!(vectors_of(&mut embedder, &["unheard"]), Err(RunError::Tokenizer(_))));
}

#[test]
fn a_token_that_the_model_does_not_know_is_named_with_both_sizes() {
    let folder = model();
    let path = folder.path().join("tokenizer.json");
    let mut tokens: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let words =
        read_json::<Value>(&folder.path().join("config.json")).unwrap()["vocab_size"].as_u64().unwrap() as usize;
    let content = "unheardof";
    let added = serde_json::json!({"id": words, "content": content, "single_word": false, "lstrip": false,
        "rstrip": false, "normalized": false, "special": false});
    tokens["added_tokens"].as_array_mut().unwrap().push(added);
    fs::write(&path, tokens.to_string()).unwrap();
    let embedder = load(folder.path(), Options::default()).unwrap();
    let error = embedder.tokenise(&["a", content]).unwrap_err();
    assert!(
        matches!(&error, TokenizerError::Beyond { text, id, tokens, words: known }
        if text == content && *id as usize == words && *tokens == words + 1 && *known == words),
        "{error}"
    );
    assert_eq!(error.kind(), FaultKind::Data);
}

#[test]
fn a_roberta_whose_positions_begin_beyond_its_table_is_refused() {
    for padding in [i64::MAX, 1000, -2] {
        let folder = tempfile::tempdir().unwrap();
        for file in ["model.safetensors", "vocab.json", "merges.txt"] {
            fs::copy(fixture("roberta").join(file), folder.path().join(file)).unwrap();
        }
        let mut config: Value = read_json(&fixture("roberta").join("config.json")).unwrap();
        config["pad_token_id"] = padding.into();
        fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        let error = load(folder.path(), Options::default()).unwrap_err();
        assert!(matches!(error, EmbedderError::Config(ConfigError::Unsupported { .. })), "{padding}: {error}");
    }
}
