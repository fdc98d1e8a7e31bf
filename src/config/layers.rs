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
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    fn error_of(text: &str) -> String {
        let file = file(text);
        Layers::of(Some(file.path()), &[], &[]).and_then(|layers| layers.config()).unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_are_a_whole_configuration() {
        Layers::defaults().unwrap().config().unwrap();
    }

    #[test]
    fn the_defaults_list_every_key() {
        let layers = Layers::defaults().unwrap();
        let typed = Value::try_from(layers.config().unwrap()).unwrap();
        let Value::Table(typed) = typed else { panic!("a configuration is a table") };
        let (mut listed, mut typed) = (layers.keys(), keys(&typed));
        listed.sort();
        typed.sort();
        assert_eq!(listed, typed);
    }

    #[test]
    fn later_layers_win() {
        let file = file("[train]\nepochs = 7\nlr = 0.25\n");
        let flag = Flag { key: "train.epochs", name: "--epochs", value: Value::Integer(9) };
        let sets = ["train.lr=0.5".to_owned(), "run.name=a name".to_owned()];
        let config = Layers::of(Some(file.path()), &sets, &[flag]).unwrap().config().unwrap();
        assert_eq!((config.train.epochs, config.train.lr, config.run.name.as_str()), (9, 0.5, "a name"));
    }

    #[test]
    fn a_file_extends_another_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("under.toml"), "[train]\nepochs = 3\nbatch_size = 8\n").unwrap();
        let over = folder.path().join("over.toml");
        std::fs::write(&over, "extends = \"under.toml\"\n[train]\nepochs = 4\n").unwrap();
        let config = Layers::resolved(&over).unwrap();
        assert_eq!((config.train.epochs, config.train.batch_size, config.run.name.as_str()), (4, 8, "over"));
        std::fs::write(&over, "extends = \"over.toml\"\n").unwrap();
        assert!(matches!(Layers::resolved(&over), Err(ConfigError::Circular { .. })));
        std::fs::write(&over, "extends = \"nowhere.toml\"\n").unwrap();
        let missing = Layers::resolved(&over).unwrap_err();
        let (said, kind) = (missing.to_string(), missing.kind());
        assert!(
            kind == Kind::Input && said.contains("over.toml: `extends`") && said.contains("nowhere.toml"),
            "{said}"
        );
        std::fs::write(&over, "extends = 3\n").unwrap();
        assert!(matches!(Layers::resolved(&over), Err(ConfigError::Extends { .. })));
    }

    #[test]
    fn an_unknown_key_is_told_its_neighbours_and_its_file() {
        let text = error_of("[train]\nepoch = 3\n");
        assert!(text.contains("`train.epoch`") && text.contains("`train.epochs`") && text.contains(".toml"), "{text}");
    }

    #[test]
    fn a_wrong_value_is_traced_to_its_key_and_file() {
        let text = error_of("[train]\nepochs = \"many\"\n");
        assert!(text.contains("`train.epochs`") && !text.contains("defaults.toml"), "{text}");
        for rate in ["0", "1.5", "1", "-0.1", "nan"] {
            let text = error_of(&format!("[split]\nrate = {rate}\n"));
            assert!(text.contains("`split.rate`") && text.contains("between 0 and 1"), "{text}");
        }
        for share in ["1", "-0.1", "nan"] {
            let text = error_of(&format!("[split]\nvalidation = {share}\n"));
            assert!(text.contains("`split.validation`") && text.contains("at least 0 and less than 1"), "{text}");
        }
        Layers::of(None, &["split.validation=0".to_owned()], &[]).unwrap().config().unwrap();
    }

    #[test]
    fn what_cannot_be_trained_with_is_refused() {
        let text = error_of("[model.fusion]\nper_entity = true\nties = \"as_published\"\n");
        assert!(text.contains("`model.fusion`") && text.contains("per_entity needs ties = \"lowest\""), "{text}");
        let text = error_of("[train.curriculum]\npairs = [5, 4]\n");
        assert!(text.contains("`train.curriculum`") && text.contains("`pairs`") && text.contains("2 for 5"), "{text}");
        assert!(!text.contains("defaults.toml"), "{text}");
        for modalities in ["", "\"image\", \"relation\""] {
            let text = error_of(&format!("[inputs]\nmodalities = [{modalities}]\n"));
            assert!(text.contains("`inputs.modalities`") && text.contains(modalities), "{text}");
            assert!(text.contains("model.ablated"), "{text}");
        }
        let unnamed = Layers::defaults().unwrap().config().unwrap().store().unwrap_err().to_string();
        assert!(unnamed.contains("`data.store`") && unnamed.contains("--store"), "{unnamed}");
    }

    /// Of every key that holds numbers: what is refused, and what just is not.
    const NUMBERS: &[(&str, &[&str], &[&str])] = &[
        ("align.csls_k", &["0", "-1"], &["1"]),
        ("evaluate.csls_k", &["0", "-1"], &["1"]),
        ("evidence.weight", &["-0.1", "nan", "inf"], &["0"]),
        ("expected.hits_at_1", &[], &["nan"]),
        ("expected.hits_at_10", &[], &["nan"]),
        ("expected.mrr", &[], &["nan"]),
        ("inputs.attribute_columns", &["0", "-1", "1000001"], &["1", "1000000"]),
        ("inputs.relation_columns", &["0", "-1", "1000001"], &["1", "1000000"]),
        ("loss.lambda_contrastive", &["-0.1", "nan", "inf"], &["0"]),
        ("loss.lambda_decoupling", &["-1e-9", "nan", "inf"], &["0"]),
        ("loss.lambda_distillation", &["-0.1", "nan", "inf"], &["0"]),
        ("loss.tau_contrastive", &["0", "0.0029", "-0.1", "nan", "inf"], &["0.003", "1"]),
        ("loss.tau_distillation", &["0", "0.0029", "-4.0", "nan", "inf"], &["0.003", "1"]),
        ("model.dim", &["0", "1", "-1", "65537"], &["2", "65536"]),
        ("model.experts.count", &["0", "1", "-1"], &["2"]),
        ("model.experts.initial_std", &["0.0", "-0.1", "nan", "inf"], &["1e-3"]),
        ("model.experts.noise_floor", &["-0.1", "nan", "inf"], &["0"]),
        ("model.fusion.query_dim", &["-1"], &["0"]),
        ("model.fusion.top_k", &["-1"], &["0"]),
        ("model.graph.heads", &["0", "-1"], &["1"]),
        ("model.graph.layers", &["-1"], &["0"]),
        ("model.graph.negative_slope", &["-0.1", "nan", "inf"], &["0"]),
        ("model.propagation.own", &["-0.1", "1.1", "nan"], &["0", "1"]),
        ("model.propagation.rounds", &["-1"], &["0"]),
        ("pseudo_labels.csls_k", &["0", "-1"], &["1"]),
        ("pseudo_labels.every", &["0", "-1"], &["1"]),
        ("pseudo_labels.least_score", &["nan"], &["-inf"]),
        ("pseudo_labels.start", &["-1"], &["0"]),
        ("run.seed", &["-1"], &["0"]),
        ("split.rate", &["0", "1", "-0.1", "nan"], &["0.5"]),
        ("split.seed", &["-1"], &["0"]),
        ("split.validation", &["1", "-0.1", "nan"], &["0", "0.5"]),
        ("train.batch_size", &["0", "-1"], &["1"]),
        ("train.checkpoint_every", &["0", "-1"], &["1"]),
        ("train.checkpoint_seconds", &["-0.1", "nan", "inf"], &["0", "0.5"]),
        ("train.curriculum.epochs", &["[0, 50, 100, 150, -1]"], &["[0, 1, 2, 3, 4]"]),
        ("train.curriculum.pairs", &["[5, 4, 3, 2, -1]"], &["[0, 0, 0, 0, 0]"]),
        ("train.curriculum.until", &["-1"], &["0"]),
        ("train.epochs", &["0", "-1"], &["1"]),
        ("train.evaluate_every", &["0", "-1"], &["1"]),
        ("train.lr", &["0", "-1.0", "nan", "inf"], &["1e-9"]),
        ("train.weight_decay", &["-0.1", "nan", "inf"], &["0"]),
    ];

    fn is_of_numbers(value: &Value) -> bool {
        match value {
            Value::Integer(_) | Value::Float(_) => true,
            Value::Array(items) => !items.is_empty() && items.iter().all(is_of_numbers),
            _ => false,
        }
    }

    #[test]
    fn every_number_is_checked_and_told_with_its_key() {
        let layers = Layers::defaults().unwrap();
        let mut of_numbers: Vec<String> = layers.keys();
        of_numbers.retain(|key| is_of_numbers(layers.value(key).unwrap()));
        of_numbers.sort();
        assert_eq!(of_numbers, NUMBERS.iter().map(|(key, ..)| *key).collect::<Vec<_>>());
        for (key, refused, taken) in NUMBERS {
            let with = |value: &str| Layers::of(None, &[format!("{key}={value}")], &[]).unwrap().config();
            for value in *refused {
                let text = with(value).unwrap_err().to_string();
                let last = value.rsplit(' ').next().unwrap_or_default().trim_end_matches(']');
                let told = text.starts_with("--set: ") && text.contains(&format!("`{key}"));
                let said = text.to_lowercase().contains(last.trim_end_matches(".0"));
                assert!(told && (said || last.contains('e')), "{key} = {value}: {text}");
            }
            for value in *taken {
                with(value).unwrap_or_else(|error| panic!("{error}"));
            }
        }
    }

    #[test]
    fn types_are_named_in_plain_words() {
        for (text, words) in [
            ("[train]\nepochs = \"abc\"\n", "expected a whole number, 0 or more"),
            ("[train]\nlr = \"abc\"\n", "expected a number"),
            ("[evaluate]\ncsls = 1\n", "expected true or false"),
            ("[model]\nablated = \"image\"\n", "expected a list, such as [\"image\"]"),
            ("[run]\nname = 3\n", "expected a text, in quotes"),
            ("[data]\nstore = 3\n", "expected a path, in quotes"),
            ("[split]\nseed = 1.5\n", "expected a whole number from 0 to 4294967295"),
        ] {
            let said = error_of(text);
            assert!(said.ends_with(words), "{said}");
        }
    }

    #[test]
    fn a_key_in_quotes_is_told_from_the_one_it_looks_like() {
        let said = error_of("\"train.lr\" = 3\n");
        assert!(said.contains("no key `\"train.lr\"`") && said.contains("are `train.lr`"), "{said}");
    }

    #[test]
    fn a_run_has_the_name_of_a_file() {
        for name in ["../../x", "", ".", "..", "a/b", "a/", "/a"] {
            let said = error_of(&format!("[run]\nname = {name:?}\n"));
            assert!(said.contains("`run.name`") && said.contains("without a path"), "{said}");
        }
        Layers::of(None, &["run.name=a.b c".to_owned()], &[]).unwrap().config().unwrap();
    }

    #[test]
    fn only_what_takes_part_can_be_ablated() {
        let said = error_of("[inputs]\nmodalities = [\"graph\", \"image\"]\n[model]\nablated = [\"relation\"]\n");
        assert!(said.contains("`model.ablated`") && said.contains("relation") && !said.contains("defaults"), "{said}");
    }

    #[test]
    fn the_other_mistakes_are_named() {
        assert!(error_of("[train\n").contains("line 1"));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"# a line\n\xff\n").unwrap();
        let binary = Layers::of(Some(file.path()), &[], &[]).unwrap_err();
        assert!(matches!(binary, ConfigError::Syntax { line: 2, .. }), "{binary}");
        assert!(error_of("train = 3\n").contains("section"));
        assert!(error_of("[train.epochs]\na = 1\n").contains("value"));
        let missing = Layers::of(Some(Path::new("no/such.toml")), &[], &[]).unwrap_err();
        assert!(matches!(missing, ConfigError::Read { .. }) && missing.kind() == Kind::Input);
        assert!(matches!(Layers::of(None, &["epochs".to_owned()], &[]), Err(ConfigError::Set { .. })));
    }
}
