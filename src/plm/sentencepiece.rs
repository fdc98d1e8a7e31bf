//! A SentencePiece model file as a `tokenizer.json`, for repositories that have only the former.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use base64::Engine;
use serde_json::{Value, json};

use super::config::Architecture;
use super::tokenizer::{TokenizerError, added, around, read};

/// Whose model it is: they differ in what is put around a text and in how ids are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `</s>` after the text, one hundred sentinels after the vocabulary.
    T5,
    /// `[CLS]` and `[SEP]` around the text; lower case if so trained.
    Albert {
        /// Whether texts are turned to lower case without accents first.
        lowercase: bool,
    },
    /// `<s>` and `</s>` around the text; ids shifted by one against the file.
    XlmRoberta,
    /// `<s>` before the text.
    Llama,
    /// `[gMASK] sop` before the text, numbered after the vocabulary.
    ChatGlm2,
}

impl Family {
    /// The family of an architecture.
    pub fn of(architecture: Architecture, lowercase: bool) -> Self {
        match architecture {
            Architecture::T5 => Self::T5,
            Architecture::Roberta => Self::XlmRoberta,
            Architecture::Llama => Self::Llama,
            Architecture::ChatGlm2 => Self::ChatGlm2,
            Architecture::Bert | Architecture::Albert => Self::Albert { lowercase },
        }
    }
}

/// What a piece of the vocabulary is, by the number the file gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

#[derive(Clone, Debug)]
struct Piece {
    text: String,
    score: f32,
    role: Role,
}

/// A parsed SentencePiece model.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "the file format has these four flags")]
pub struct SentencePiece {
    pieces: Vec<Piece>,
    merges_pairs: bool,
    falls_back_to_bytes: bool,
    character_map: Vec<u8>,
    adds_dummy_prefix: bool,
    removes_extra_spaces: bool,
}

impl SentencePiece {
    /// Reads a model file.
    pub fn read(path: &Path) -> Result<Self, TokenizerError> {
        Self::parse(&read(path)?)
            .map_err(|reason| TokenizerError::Format { path: PathBuf::from(path), reason: reason.to_owned() })
    }

    /// The fields of the file that matter: 1 pieces, 2 how it was trained, 3 how texts are normalised.
    fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let mut model = Self {
            pieces: Vec::new(),
            merges_pairs: false,
            falls_back_to_bytes: false,
            character_map: Vec::new(),
            adds_dummy_prefix: true,
            removes_extra_spaces: true,
        };
        for field in Fields(bytes) {
            match field? {
                (1, Field::Bytes(piece)) => model.pieces.push(parse_piece(piece)?),
                (2, Field::Bytes(training)) => model.read_training(training)?,
                (3, Field::Bytes(normalising)) => model.read_normalising(normalising)?,
                _ => {}
            }
        }
        if model.pieces.is_empty() { Err("it is not a SentencePiece model: it holds no pieces") } else { Ok(model) }
    }

    fn read_training(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        for field in Fields(bytes) {
            match field? {
                (3, Field::Number(1)) => self.merges_pairs = false,
                (3, Field::Number(2)) => self.merges_pairs = true,
                (3, Field::Number(_)) => return Err("only unigram and BPE models are known"),
                (35, Field::Number(n)) => self.falls_back_to_bytes = n != 0,
                _ => {}
            }
        }
        Ok(())
    }

    fn read_normalising(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        for field in Fields(bytes) {
            match field? {
                (2, Field::Bytes(map)) => self.character_map = map.to_vec(),
                (3, Field::Number(n)) => self.adds_dummy_prefix = n != 0,
                (4, Field::Number(n)) => self.removes_extra_spaces = n != 0,
                _ => {}
            }
        }
        Ok(())
    }

    /// The same as a `tokenizer.json`.
    pub fn tokenizer(mut self, family: Family) -> Value {
        if family == Family::XlmRoberta {
            self.shift_like_fairseq();
        }
        let mut tokens = self.added_tokens();
        if family == Family::T5 {
            let start = self.pieces.len();
            tokens.extend((0..100).map(|i| added(start + 99 - i, &format!("<extra_id_{i}>"), true)));
            tokens.sort_by_key(|token| token["id"].as_u64());
        }
        json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": tokens,
            "normalizer": {"type": "Sequence", "normalizers": self.normalizers(family)},
            "pre_tokenizer": self.pre_tokenizer(),
            "post_processor": self.post_processor(family),
            "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true},
            "model": if self.merges_pairs { self.bpe() } else { self.unigram() },
        })
    }

    /// XLM-RoBERTa numbers `<s> <pad> </s> <unk>` first, then the file's pieces without its own three, then `<mask>`.
    fn shift_like_fairseq(&mut self) {
        let named = |text: &str, role| Piece { text: text.to_owned(), score: 0.0, role };
        let control = |text| named(text, Role::Control);
        let own = self.pieces.split_off(self.pieces.len().min(3));
        self.pieces = vec![control("<s>"), control("<pad>"), control("</s>"), named("<unk>", Role::Unknown)];
        self.pieces.extend(own);
        self.pieces.push(control("<mask>"));
    }

    fn added_tokens(&self) -> Vec<Value> {
        let roles = [Role::Unknown, Role::Control, Role::UserDefined];
        let chosen = self.pieces.iter().enumerate().filter(|(_, piece)| roles.contains(&piece.role));
        chosen.map(|(id, piece)| added(id, &piece.text, piece.role != Role::UserDefined)).collect()
    }

    fn normalizers(&self, family: Family) -> Vec<Value> {
        let replace =
            |pattern: Value, content: &str| json!({"type": "Replace", "pattern": pattern, "content": content});
        let mut steps = Vec::new();
        if let Family::Albert { lowercase } = family {
            steps.extend(["``", "''"].map(|quotes| replace(json!({"String": quotes}), "\"")));
            steps.extend([json!({"type": "NFKD"}), json!({"type": "StripAccents"})]);
            steps.extend(lowercase.then(|| json!({"type": "Lowercase"})));
        }
        if !self.character_map.is_empty() {
            let map = base64::engine::general_purpose::STANDARD.encode(&self.character_map);
            steps.push(json!({"type": "Precompiled", "precompiled_charsmap": map}));
        }
        if self.removes_extra_spaces {
            steps.push(json!({"type": "Strip", "strip_left": true, "strip_right": true}));
            steps.push(replace(json!({"Regex": " {2,}"}), " "));
        }
        if self.merges_pairs {
            steps.extend(self.adds_dummy_prefix.then(|| json!({"type": "Prepend", "prepend": "▁"})));
            steps.push(replace(json!({"String": " "}), "▁"));
        }
        steps
    }

    /// Unigram models are cut at spaces first; merged ones take the whole text, whose spaces are marked already.
    fn pre_tokenizer(&self) -> Value {
        let prefix = if self.adds_dummy_prefix { "always" } else { "never" };
        if self.merges_pairs {
            return Value::Null;
        }
        json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": prefix, "split": true})
    }

    fn post_processor(&self, family: Family) -> Value {
        let id = |text: &str| self.pieces.iter().position(|piece| piece.text == text);
        let known = |text: &'static str| id(text).map(|id| (text, id));
        let all = |texts: &[&'static str]| texts.iter().filter_map(|text| known(text)).collect::<Vec<_>>();
        match family {
            Family::T5 => around(&[], &all(&["</s>"])),
            Family::Albert { .. } => around(&all(&["[CLS]"]), &all(&["[SEP]"])),
            Family::XlmRoberta => around(&all(&["<s>"]), &all(&["</s>"])),
            Family::Llama => around(&all(&["<s>"]), &[]),
            // [MASK] [gMASK] [sMASK] sop eop follow the vocabulary; they are never looked for inside a text.
            Family::ChatGlm2 => around(&[("[gMASK]", self.pieces.len() + 1), ("sop", self.pieces.len() + 3)], &[]),
        }
    }

    fn unigram(&self) -> Value {
        let unknown = self.pieces.iter().position(|piece| piece.role == Role::Unknown);
        let vocabulary: Vec<Value> = self.pieces.iter().map(|piece| json!([piece.text, piece.score])).collect();
        json!({"type": "Unigram", "unk_id": unknown, "vocab": vocabulary, "byte_fallback": self.falls_back_to_bytes})
    }

    fn bpe(&self) -> Value {
        let ids: HashMap<&str, usize> =
            self.pieces.iter().enumerate().map(|(id, piece)| (piece.text.as_str(), id)).collect();
        let vocabulary: serde_json::Map<String, Value> =
            self.pieces.iter().enumerate().map(|(id, piece)| (piece.text.clone(), json!(id))).collect();
        let unknown = self.pieces.iter().find(|piece| piece.role == Role::Unknown).map(|piece| &piece.text);
        json!({"type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": self.falls_back_to_bytes,
            "ignore_merges": false, "vocab": vocabulary, "merges": self.merges(&ids)})
    }

    /// The file scores pieces; merges are every way to make a piece of two others, best score first.
    fn merges(&self, ids: &HashMap<&str, usize>) -> Vec<[&str; 2]> {
        let mut found: Vec<(f32, usize, usize, [&str; 2])> = Vec::new();
        for piece in self.pieces.iter().filter(|piece| piece.role == Role::Normal) {
            for (at, _) in piece.text.char_indices().skip(1) {
                let (left, right) = piece.text.split_at(at);
                if let (Some(&l), Some(&r)) = (ids.get(left), ids.get(right)) {
                    found.push((piece.score, l, r, [left, right]));
                }
            }
        }
        found.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        found.into_iter().map(|(_, _, _, pair)| pair).collect()
    }
}

fn parse_piece(bytes: &[u8]) -> Result<Piece, &'static str> {
    let mut piece = Piece { text: String::new(), score: 0.0, role: Role::Normal };
    for field in Fields(bytes) {
        match field? {
            (1, Field::Bytes(text)) => {
                piece.text = String::from_utf8(text.to_vec()).map_err(|_| "a piece is not UTF-8")?;
            }
            (2, Field::Fixed(bits)) => piece.score = f32::from_bits(bits),
            (3, Field::Number(role)) => {
                let roles = [Role::Normal, Role::Unknown, Role::Control, Role::UserDefined, Role::Unused, Role::Byte];
                piece.role = *roles.get((role as usize).wrapping_sub(1)).ok_or("a piece is of an unknown type")?;
            }
            _ => {}
        }
    }
    Ok(piece)
}

/// A field of a protocol-buffer message.
enum Field<'a> {
    Number(u64),
    Fixed(u32),
    Bytes(&'a [u8]),
    Other,
}

/// The fields of a protocol-buffer message, with their numbers; ends after the first mistake.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn number(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn field(&mut self) -> Option<(u64, Field<'a>)> {
        let key = self.number()?;
        let field = match key & 7 {
            0 => Field::Number(self.number()?),
            1 => self.take(8).map(|_| Field::Other)?,
            2 => {
                let length = usize::try_from(self.number()?).ok()?;
                Field::Bytes(self.take(length)?)
            }
            5 => Field::Fixed(u32::from_le_bytes(self.take(4)?.try_into().ok()?)),
            _ => return None,
        };
        Some((key >> 3, field))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Field<'a>), &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or("it is not a SentencePiece model: its fields cannot be read"))
    }
}
