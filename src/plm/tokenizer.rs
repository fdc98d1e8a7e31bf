//! Texts to token ids: `tokenizer.json`, or, where a model has none, one built from the files it does have.

use std::path::{Path, PathBuf};

use data_process::event::Observer;
use data_process::fault::{Fault, Kind};
use serde_json::{Map, Value, json};
use tokenizers::{Tokenizer, TruncationParams};

use super::config::{Architecture, ConfigError, read_json};
use super::hub::{HubError, Lookup, Repository};
use super::sentencepiece::{Family, SentencePiece};

/// What can be wrong with a tokenizer.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// A file is not to be had.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// A JSON file is not to be understood.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No file a tokenizer could be made from.
    #[error(
        "{0} has no tokenizer: none of tokenizer.json, vocab.txt, vocab.json with merges.txt, sentencepiece.bpe.model, \
         spiece.model and tokenizer.model is there"
    )]
    None(String),
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not a tokenizer.
    #[error("{path} is not a tokenizer that can be used: {reason}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// So few tokens may be kept that nothing of the text would be left.
    #[error("--max-length {length} leaves no room beside the {special} special tokens; give at least {}", special + 1)]
    TooShort {
        /// What was asked for.
        length: usize,
        /// The tokens added to every text.
        special: usize,
    },
    /// A token that the model has no embedding for.
    #[error(
        "the tokenizer gives {text:?} the token id {id}, but of its {tokens} tokens the model knows the first {words} only; \
         they are not of one model: check tokenizer and config.json"
    )]
    Beyond {
        /// The beginning of the text.
        text: String,
        /// The token.
        id: u32,
        /// The tokens of the tokenizer.
        tokens: usize,
        /// The tokens of the model.
        words: usize,
    },
    /// A text cannot be tokenised.
    #[error("cannot tokenise {text:?}: {reason}")]
    Text {
        /// The beginning of the text.
        text: String,
        /// Why.
        reason: String,
    },
}

impl Fault for TokenizerError {
    fn kind(&self) -> Kind {
        match self {
            Self::Hub(error) => error.kind(),
            Self::Config(error) => error.kind(),
            Self::None(_) | Self::Read { .. } => Kind::Input,
            Self::Format { .. } | Self::Beyond { .. } | Self::Text { .. } => Kind::Data,
            Self::TooShort { .. } => Kind::Configuration,
        }
    }
}

/// A model's tokenizer, which pads nothing and cuts at a length of our own choosing.
#[derive(Debug)]
pub struct Tokeniser {
    inner: Tokenizer,
    path: PathBuf,
}

/// How many texts are tokenised at once, on all cores.
const AT_ONCE: usize = 4096;

impl Tokeniser {
    /// Opens or builds the tokenizer of a model.
    pub fn open(model: &Repository, of: Architecture, observer: &dyn Observer) -> Result<Self, TokenizerError> {
        if let Some(path) = model.find("tokenizer.json", observer)?.found() {
            let inner = Tokenizer::from_file(&path).map_err(|error| format_error(&path, &error))?;
            return Self::bare(inner, path);
        }
        if let Some(path) = model.find("vocab.txt", observer)?.found() {
            return Self::from_json(&word_piece(&path, &settings(model, observer)?)?, path);
        }
        if let (Some(vocabulary), Some(merges)) =
            (model.find("vocab.json", observer)?.found(), model.find("merges.txt", observer)?.found())
        {
            return Self::from_json(&byte_level(&vocabulary, &merges)?, merges);
        }
        for file in ["sentencepiece.bpe.model", "spiece.model", "tokenizer.model"] {
            if let Some(path) = model.find(file, observer)?.found() {
                let lowercase = settings(model, observer)?.get("do_lower_case").and_then(Value::as_bool);
                let json = SentencePiece::read(&path)?.tokenizer(Family::of(of, lowercase.unwrap_or(true)));
                return Self::from_json(&json, path);
            }
        }
        match model.find("tokenizer.json", observer)? {
            Lookup::Unknown(reason) => Err(reason.into()),
            Lookup::Found(_) | Lookup::Absent => Err(TokenizerError::None(model.name())),
        }
    }

    fn from_json(json: &Value, path: PathBuf) -> Result<Self, TokenizerError> {
        let inner = Tokenizer::from_bytes(json.to_string()).map_err(|error| format_error(&path, &error))?;
        Self::bare(inner, path)
    }

    /// A `tokenizer.json` may ask for padding and truncation of its own; batches here are padded, and texts cut, by us.
    fn bare(mut inner: Tokenizer, path: PathBuf) -> Result<Self, TokenizerError> {
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|error| format_error(&path, &error))?;
        Ok(Self { inner, path })
    }

    /// Cuts every text to so many tokens, special ones included, on the right.
    pub fn cut_at(&mut self, length: usize) -> Result<(), TokenizerError> {
        let special = self.special();
        if length <= special {
            return Err(TokenizerError::TooShort { length, special });
        }
        let cut = TruncationParams { max_length: length, ..TruncationParams::default() };
        self.inner.with_truncation(Some(cut)).map_err(|error| format_error(&self.path, &error))?;
        Ok(())
    }

    /// How many tokens every text is given besides its own.
    fn special(&self) -> usize {
        use tokenizers::tokenizer::PostProcessor;
        self.inner.get_post_processor().map_or(0, |processor| processor.added_tokens(false))
    }

    /// The token ids of each text, special tokens included.
    pub fn encode(&self, texts: &[&str]) -> Result<Vec<Vec<u32>>, TokenizerError> {
        let mut ids = Vec::with_capacity(texts.len());
        for part in texts.chunks(AT_ONCE) {
            let encoded =
                self.inner.encode_batch_fast(part.to_vec(), true).map_err(|error| self.text_error(part, &*error))?;
            ids.extend(encoded.iter().map(|encoding| encoding.get_ids().to_vec()));
        }
        Ok(ids)
    }

    /// The error of a batch does not say which text it is about, so that is looked for.
    fn text_error(&self, texts: &[&str], error: &dyn std::fmt::Display) -> TokenizerError {
        let alone = |text: &&str| Some((beginning(text), self.inner.encode_fast(*text, true).err()?.to_string()));
        let (text, reason) = texts.iter().find_map(alone).unwrap_or_else(|| (String::new(), error.to_string()));
        TokenizerError::Text { text, reason }
    }

    /// The same for a model that knows so many tokens.
    pub fn encode_below(&self, words: usize, texts: &[&str]) -> Result<Vec<Vec<u32>>, TokenizerError> {
        let ids = self.encode(texts)?;
        for (text, ids) in texts.iter().zip(&ids) {
            if let Some(&id) = ids.iter().find(|id| **id as usize >= words) {
                let tokens = self.inner.get_vocab_size(true);
                return Err(TokenizerError::Beyond { text: beginning(text), id, tokens, words });
            }
        }
        Ok(ids)
    }
}

/// What of a text is shown in messages.
fn beginning(text: &str) -> String {
    text.chars().take(60).collect()
}

fn format_error(path: &Path, error: &dyn std::fmt::Display) -> TokenizerError {
    TokenizerError::Format { path: path.to_owned(), reason: error.to_string() }
}

/// `tokenizer_config.json`, or nothing.
fn settings(model: &Repository, observer: &dyn Observer) -> Result<Map<String, Value>, TokenizerError> {
    match model.find("tokenizer_config.json", observer)?.found() {
        Some(path) => Ok(read_json(&path)?),
        None => Ok(Map::new()),
    }
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, TokenizerError> {
    std::fs::read(path).map_err(|source| TokenizerError::Read { path: path.to_owned(), source })
}

fn read_text(path: &Path) -> Result<String, TokenizerError> {
    String::from_utf8(read(path)?).map_err(|error| format_error(path, &error))
}

/// One entry of `added_tokens`.
pub(super) fn added(id: usize, content: &str, special: bool) -> Value {
    let strips_left = content == "<mask>" || content == "[MASK]";
    json!({"id": id, "content": content, "single_word": false, "lstrip": strips_left && special, "rstrip": false,
           "normalized": false, "special": special})
}

/// A post-processor that puts special tokens, given with their ids, before and after each text.
pub(super) fn around(before: &[(&str, usize)], after: &[(&str, usize)]) -> Value {
    let token = |(content, _): &(&str, usize)| json!({"SpecialToken": {"id": content, "type_id": 0}});
    let mut single: Vec<Value> = before.iter().map(token).collect();
    single.push(json!({"Sequence": {"id": "A", "type_id": 0}}));
    single.extend(after.iter().map(token));
    let mut pair = single.clone();
    pair.push(json!({"Sequence": {"id": "B", "type_id": 1}}));
    let special: Map<String, Value> = before
        .iter()
        .chain(after)
        .map(|&(content, id)| (content.to_owned(), json!({"id": content, "ids": [id], "tokens": [content]})))
        .collect();
    json!({"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": special})
}

/// BERT's: a vocabulary of words and `##` pieces, one to a line.
fn word_piece(path: &Path, settings: &Map<String, Value>) -> Result<Value, TokenizerError> {
    let text = read_text(path)?;
    let words: Map<String, Value> =
        text.lines().enumerate().map(|(id, word)| (word.trim_end_matches('\r').to_owned(), json!(id))).collect();
    let id = |word: &str| {
        let id = words.get(word).and_then(Value::as_u64).map(|id| id as usize);
        id.ok_or_else(|| format_error(path, &format!("it has no line {word:?}")))
    };
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    let mut tokens = special
        .iter()
        .map(|word| {
            Ok(json!({"id": id(word)?, "content": word, "single_word": false,
        "lstrip": false, "rstrip": false, "normalized": false, "special": true}))
        })
        .collect::<Result<Vec<_>, TokenizerError>>()?;
    tokens.sort_by_key(|token| token["id"].as_u64());
    let flag = |key: &str| settings.get(key).and_then(Value::as_bool);
    Ok(json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": tokens,
        "normalizer": {"type": "BertNormalizer", "clean_text": true,
            "handle_chinese_chars": flag("tokenize_chinese_chars").unwrap_or(true),
            "strip_accents": flag("strip_accents"), "lowercase": flag("do_lower_case").unwrap_or(true)},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": around(&[("[CLS]", id("[CLS]")?)], &[("[SEP]", id("[SEP]")?)]),
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": words},
    }))
}

/// RoBERTa's: pairs of byte characters merged in the order of `merges.txt`.
fn byte_level(vocabulary: &Path, merges: &Path) -> Result<Value, TokenizerError> {
    let words: Map<String, Value> = read_json(vocabulary)?;
    let id = |word: &str| {
        let id = words.get(word).and_then(Value::as_u64).map(|id| id as usize);
        id.ok_or_else(|| format_error(vocabulary, &format!("it has no entry {word:?}")))
    };
    let text = read_text(merges)?;
    let pairs = text.lines().filter(|line| !line.starts_with("#version") && !line.trim().is_empty());
    let special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"];
    let mut tokens =
        special.iter().map(|word| Ok(added(id(word)?, word, true))).collect::<Result<Vec<_>, TokenizerError>>()?;
    tokens.sort_by_key(|token| token["id"].as_u64());
    Ok(json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": tokens,
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": around(&[("<s>", id("<s>")?)], &[("</s>", id("</s>")?)]),
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
            "end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false, "vocab": words,
            "merges": pairs.collect::<Vec<_>>()},
    }))
}
