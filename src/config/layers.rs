//! Layers of configuration: the embedded defaults, a file (and those it extends), `--set` and flags, in that order.
//!
//! The defaults list every key, so a key they do not hold is an error, told with its nearest neighbours; the origin of
//! each value is kept, so that a wrong value can be traced to the file or flag that gave it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use data_process::fault::{Fault, Kind};
use toml::{Table, Value};

use super::Config;

/// Every key with its default and a comment.
const DEFAULTS: &str = include_str!("../../pipelines/defaults.toml");

/// A value given by a flag: the configuration key it stands for, the flag's name, the value.
#[derive(Clone, Debug)]
pub struct Flag {
    /// Dotted key.
    pub key: &'static str,
    /// The flag, for messages.
    pub name: &'static str,
    /// The value.
    pub value: Value,
}

/// What can be wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("cannot read the configuration {path}: {source}; name a file such as pipelines/demo.toml", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file that another extends cannot be read.
    #[error("{file}: `extends`: cannot read {path}: {source}; it names a file beside this one", file = file.display(), path = path.display())]
    ReadExtended {
        /// The file whose `extends` it is.
        file: PathBuf,
        /// The file that is extended.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not TOML.
    #[error("{path}, line {line}: not TOML: {message}; pipelines/defaults.toml shows every key", path = path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// The parser's words.
        message: String,
    },
    /// A file extends itself, directly or not.
    #[error("{path} extends itself; break the chain of `extends`", path = path.display())]
    Circular {
        /// The file.
        path: PathBuf,
    },
    /// `extends` is not the name of a file.
    #[error("{path}: `extends` must be the name of a file, in quotes", path = path.display())]
    Extends {
        /// The file.
        path: PathBuf,
    },
    /// `--set` without a key and a value.
    #[error("--set {text}: write it as key=value, for example --set train.epochs=300")]
    Set {
        /// What was given.
        text: String,
    },
    /// A key that does not exist.
    #[error("{place}: there is no key `{key}`; the nearest are {near}; every key is in pipelines/defaults.toml")]
    UnknownKey {
        /// The file or flag.
        place: String,
        /// The key.
        key: String,
        /// The nearest keys.
        near: String,
    },
    /// A section where a value belongs, or the other way round.
    #[error("{place}: `{key}` must be {expected}")]
    Shape {
        /// The file or flag.
        place: String,
        /// The key.
        key: String,
        /// What it must be.
        expected: &'static str,
    },
    /// A value of the wrong type, or outside its range.
    #[error("{place}: `{key}`: {message}")]
    Value {
        /// The file or flag.
        place: String,
        /// The key.
        key: String,
        /// What is wrong with it.
        message: String,
    },
}

impl Fault for ConfigError {
    fn kind(&self) -> Kind {
        match self {
            Self::Read { .. } | Self::ReadExtended { .. } => Kind::Input,
            _ => Kind::Configuration,
        }
    }
}

/// The layers laid so far, the last one on top.
#[derive(Clone, Debug)]
pub struct Layers {
    table: Table,
    origins: BTreeMap<String, String>,
}

impl Layers {
    /// The embedded defaults alone.
    ///
    /// # Errors
    /// If the defaults are not TOML; a test keeps them so.
    pub fn defaults() -> Result<Self, ConfigError> {
        let table = parse(Path::new("pipelines/defaults.toml"), DEFAULTS)?;
        Ok(Self { table, origins: BTreeMap::new() })
    }

    /// Defaults, then a file, then `--set`, then flags.
    ///
    /// # Errors
    /// Any [`ConfigError`] but a wrong value, which [`Self::config`] finds.
    pub fn of(file: Option<&Path>, sets: &[String], flags: &[Flag]) -> Result<Self, ConfigError> {
        let mut layers = Self::defaults()?;
        if let Some(file) = file {
            layers.lay_file(file)?;
        }
        for text in sets {
            layers.lay_set(text)?;
        }
        for flag in flags {
            layers.lay_key(flag.name, flag.key, flag.value.clone())?;
        }
        Ok(layers)
    }

    /// A resolved configuration, as a run folder keeps it.
    ///
    /// # Errors
    /// If the file cannot be read, or holds an unknown key or a wrong value.
    pub fn resolved(file: &Path) -> Result<Config, ConfigError> {
        Self::of(Some(file), &[], &[])?.config()
    }

    /// Lays a file, the files it extends first. Its stem becomes the run's name unless a file names one.
    fn lay_file(&mut self, file: &Path) -> Result<(), ConfigError> {
        if let Some(stem) = file.file_stem().and_then(|stem| stem.to_str()) {
            self.lay_key("the file's name", "run.name", Value::String(stem.to_owned()))?;
        }
        self.lay_extended(file, &mut Vec::new())
    }

    fn lay_extended(&mut self, file: &Path, above: &mut Vec<PathBuf>) -> Result<(), ConfigError> {
        let read = |source| ConfigError::Read { path: file.to_owned(), source };
        let whole = file.canonicalize().map_err(read)?;
        if above.contains(&whole) {
            return Err(ConfigError::Circular { path: file.to_owned() });
        }
        above.push(whole);
        let mut table = parse(file, &text(file, std::fs::read(file).map_err(read)?)?)?;
        match table.remove("extends") {
            None => {}
            Some(Value::String(parent)) => {
                let parent = file.parent().unwrap_or(Path::new("")).join(parent);
                self.lay_extended(&parent, above).map_err(|error| match error {
                    ConfigError::Read { path, source } => {
                        ConfigError::ReadExtended { file: file.to_owned(), path, source }
                    }
                    error => error,
                })?;
            }
            Some(_) => return Err(ConfigError::Extends { path: file.to_owned() }),
        }
        above.pop();
        self.lay(&file.display().to_string(), table)
    }

    fn lay_set(&mut self, text: &str) -> Result<(), ConfigError> {
        let wrong = || ConfigError::Set { text: text.to_owned() };
        let (key, value) = text.split_once('=').ok_or_else(wrong)?;
        let key = key.trim();
        if key.is_empty() {
            return Err(wrong());
        }
        self.lay_key("--set", key, bare_value(value.trim()))
    }

    /// Sets one dotted key.
    ///
    /// # Errors
    /// If there is no such key.
    pub fn lay_key(&mut self, place: &str, key: &str, value: Value) -> Result<(), ConfigError> {
        let nested =
            key.rsplit('.').fold(value, |inner, part| Value::Table(Table::from_iter([(part.to_owned(), inner)])));
        match nested {
            Value::Table(table) => self.lay(place, table),
            _ => Err(ConfigError::Set { text: key.to_owned() }),
        }
    }

    fn lay(&mut self, place: &str, table: Table) -> Result<(), ConfigError> {
        let known = keys(&self.table);
        lay_over(&mut self.table, table, "", &mut Laying { place, known: &known, origins: &mut self.origins })
    }

    /// The value of a dotted key.
    pub fn value(&self, key: &str) -> Option<&Value> {
        value(&self.table, key)
    }

    /// The typed configuration.
    ///
    /// # Errors
    /// If a value has the wrong type or lies outside its range.
    pub fn config(&self) -> Result<Config, ConfigError> {
        let config: Config = serde_path_to_error::deserialize(Value::Table(self.table.clone())).map_err(|error| {
            let message = in_plain_words(error.inner().message().trim());
            self.wrong(error.path().to_string(), message)
        })?;
        match config.ablates_nothing() {
            Some(modality) => {
                let message =
                    format!("`{}` is not among inputs.modalities: there is nothing to ablate", modality.name());
                Err(self.wrong("model.ablated".to_owned(), message))
            }
            None => Ok(config),
        }
    }

    fn wrong(&self, key: String, message: String) -> ConfigError {
        ConfigError::Value { place: self.place(&key), key, message }
    }

    /// Who gave the value of a key, an item of its list (`key[2]`), or what is wrong within a section.
    fn place(&self, key: &str) -> String {
        let key = key.split('[').next().unwrap_or_default();
        let within = |of: &str| of == key || of.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'));
        let places: BTreeSet<&str> =
            self.origins.iter().filter(|(of, _)| within(of)).map(|(_, place)| place.as_str()).collect();
        if places.is_empty() {
            return "pipelines/defaults.toml".to_owned();
        }
        places.into_iter().collect::<Vec<_>>().join(", ")
    }

    /// Every dotted key there is.
    pub fn keys(&self) -> Vec<String> {
        keys(&self.table)
    }
}

/// What one layer needs while it is laid.
struct Laying<'a> {
    place: &'a str,
    known: &'a [String],
    origins: &'a mut BTreeMap<String, String>,
}

fn lay_over(under: &mut Table, over: Table, prefix: &str, laying: &mut Laying<'_>) -> Result<(), ConfigError> {
    for (name, value) in over {
        // A name with a dot in it was given in quotes, which make it one name.
        let shown = if name.contains('.') { format!("{name:?}") } else { name.clone() };
        let key = if prefix.is_empty() { shown } else { format!("{prefix}.{shown}") };
        let shape = |expected| ConfigError::Shape { place: laying.place.to_owned(), key: key.clone(), expected };
        match (under.get_mut(&name), value) {
            (None, _) => return Err(unknown(laying, key)),
            (Some(Value::Table(under)), Value::Table(over)) => lay_over(under, over, &key, laying)?,
            (Some(Value::Table(_)), _) => return Err(shape("a section, not a value")),
            (Some(_), Value::Table(_)) => return Err(shape("a value, not a section")),
            (Some(under), over) => {
                *under = over;
                laying.origins.insert(key, laying.place.to_owned());
            }
        }
    }
    Ok(())
}

/// Names of types, as the deserialiser has them, and what a person would call them.
const TYPES: [(&str, &str); 10] = [
    ("usize", "a whole number, 0 or more"),
    ("u64", "a whole number, 0 or more"),
    ("u32", "a whole number from 0 to 4294967295"),
    ("i64", "a whole number"),
    ("f64", "a number"),
    ("f32", "a number"),
    ("a boolean", "true or false"),
    ("a string", "a text, in quotes"),
    ("path string", "a path, in quotes"),
    ("a sequence", "a list, such as [\"image\"]"),
];

/// The deserialiser's words without Rust's names of types.
fn in_plain_words(message: &str) -> String {
    let Some((found, expected)) = message.rsplit_once(", expected ") else { return message.to_owned() };
    let plain = TYPES.iter().find(|(name, _)| *name == expected).map_or(expected, |(_, plain)| plain);
    format!("{found}, expected {plain}")
}

fn unknown(laying: &Laying<'_>, key: String) -> ConfigError {
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let mut near: Vec<(f64, &String)> = laying
        .known
        .iter()
        .map(|known| {
            let whole = strsim::jaro_winkler(known, &key);
            let name = strsim::jaro_winkler(&last(known), &last(&key));
            (whole + name, known)
        })
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    let near = near.iter().take(3).map(|(_, key)| format!("`{key}`")).collect::<Vec<_>>().join(", ");
    ConfigError::UnknownKey { place: laying.place.to_owned(), key, near }
}

/// The value of a dotted key.
pub(super) fn value<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    let mut parts = key.split('.');
    let first = table.get(parts.next()?)?;
    parts.try_fold(first, |value, part| value.get(part))
}

/// Every dotted key of a table.
pub(super) fn keys(table: &Table) -> Vec<String> {
    let mut all = Vec::new();
    for (name, value) in table {
        match value {
            Value::Table(inner) => all.extend(keys(inner).into_iter().map(|key| format!("{name}.{key}"))),
            _ => all.push(name.clone()),
        }
    }
    all
}

/// A TOML value, or, where it is none, the text itself.
fn bare_value(text: &str) -> Value {
    let parsed = format!("value = {text}").parse::<Table>().ok();
    parsed.and_then(|mut table| table.remove("value")).unwrap_or_else(|| Value::String(text.to_owned()))
}

fn text(path: &Path, bytes: Vec<u8>) -> Result<String, ConfigError> {
    String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].split(|byte| *byte == b'\n').count();
        ConfigError::Syntax { path: path.to_owned(), line, message: "not UTF-8 text".to_owned() }
    })
}

fn parse(path: &Path, text: &str) -> Result<Table, ConfigError> {
    text.parse::<Table>().map_err(|error| {
        let start = error.span().map_or(0, |span| span.start.min(text.len()));
        let line = text.get(..start).map_or(1, |above| above.split('\n').count());
        ConfigError::Syntax { path: path.to_owned(), line, message: error.message().to_owned() }
    })
}

#[cfg(test)]
mod tests;
