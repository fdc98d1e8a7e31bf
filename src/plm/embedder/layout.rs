//! What a model's files, beside its weights, say about how it is to be used.

use std::path::PathBuf;

use data_process::event::{Event, Observer};
use serde::Deserialize;
use serde_json::Value;

use super::{EmbedderError, Options};
use crate::plm::config::read_json;
use crate::plm::hub::{Lookup, Repository};
use crate::plm::pooling::Pooling;

/// What the files of sentence-transformers and the tokenizer say about how a model is to be used.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// How the vectors of tokens become one, if a file says so.
    pub(super) pooling: Option<Pooling>,
    /// Whether vectors are brought to unit length.
    pub(super) normalize: bool,
    /// The length a sentence model was trained for.
    sentence_length: Option<usize>,
    /// The length of the tokenizer, where it has one.
    tokenizer_length: Option<usize>,
}

/// The longest text by default, where the model itself sets no limit.
const USUAL_LENGTH: usize = 512;

impl Layout {
    /// Of a model's files, where the options leave anything to them.
    pub(super) fn read(model: &Repository, options: &Options, observer: &dyn Observer) -> Result<Self, EmbedderError> {
        let mut layout = Self::default();
        if let Some(path) = decided(model.find("modules.json", observer)?, options.normalize.is_some())? {
            layout.read_modules(path)?;
        }
        if let Some(path) = decided(model.find("1_Pooling/config.json", observer)?, options.pooling.is_some())? {
            layout.pooling = pooling_of(&read_json(&path)?);
            if layout.pooling.is_none() {
                let note = format!("{} names no pooling known here; --pooling chooses one", path.display());
                observer.on(Event::Note(&note));
            }
        }
        match model.find("sentence_bert_config.json", observer)? {
            Lookup::Found(path) => layout.sentence_length = length_in(&read_json(&path)?, "max_seq_length"),
            Lookup::Unknown(reason) if options.max_length.is_none() => {
                observer
                    .on(Event::Note(&format!("{reason}; until then --max-length chooses the length it would give")));
            }
            Lookup::Unknown(_) | Lookup::Absent => {}
        }
        if let Some(path) = model.find("tokenizer_config.json", observer)?.found() {
            layout.tokenizer_length = length_in(&read_json(&path)?, "model_max_length");
        }
        Ok(layout)
    }

    fn read_modules(&mut self, path: PathBuf) -> Result<(), EmbedderError> {
        #[derive(Deserialize)]
        struct Module {
            r#type: String,
        }
        for module in read_json::<Vec<Module>>(&path)? {
            match module.r#type.rsplit('.').next() {
                Some("Transformer" | "Pooling") => {}
                Some("Normalize") => self.normalize = true,
                _ => return Err(EmbedderError::Module { path, module: module.r#type }),
            }
        }
        Ok(())
    }

    /// The most tokens of a text, of which `asked` may say less and the model, by its `longest`, too.
    pub(super) fn max_length(&self, asked: Option<usize>, longest: Option<usize>) -> Result<usize, EmbedderError> {
        match (asked, longest) {
            (Some(asked), Some(longest)) if asked > longest => Err(EmbedderError::Length { asked, longest }),
            (Some(asked), _) => Ok(asked),
            (None, longest) => {
                let usual = self.sentence_length.or(self.tokenizer_length).unwrap_or(USUAL_LENGTH);
                Ok(longest.map_or(usual, |longest| usual.min(longest)))
            }
        }
    }
}

/// A file that would decide something, unless that is `given`: what would be taken in its stead may be wrong, and nobody
/// would see it.
fn decided(file: Lookup, given: bool) -> Result<Option<PathBuf>, EmbedderError> {
    match file {
        Lookup::Unknown(reason) if !given => Err(EmbedderError::Undecided(reason)),
        file => Ok(file.found()),
    }
}

/// A length in a JSON object; some tokenizers write 10³⁰ for "none".
fn length_in(json: &Value, key: &str) -> Option<usize> {
    let length = json.get(key)?.as_u64()?;
    (1..1_000_000).contains(&length).then_some(length as usize)
}

/// Older files set one flag of several, newer ones name the pooling.
fn pooling_of(json: &Value) -> Option<Pooling> {
    let flags = [
        ("pooling_mode_cls_token", "cls", Pooling::Cls),
        ("pooling_mode_mean_tokens", "mean", Pooling::Mean),
        ("pooling_mode_lasttoken", "lasttoken", Pooling::Last),
        ("pooling_mode_max_tokens", "max", Pooling::Max),
    ];
    let set = |flag: &str, name: &str| json[flag] == true || json["pooling_mode"] == name;
    let chosen: Vec<Pooling> = flags.iter().filter(|(flag, name, _)| set(flag, name)).map(|(_, _, p)| *p).collect();
    <[Pooling; 1]>::try_from(chosen).ok().map(|[only]| only)
}
