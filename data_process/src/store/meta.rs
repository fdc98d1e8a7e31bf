//! What a store says of itself: JSON under two keys of the Parquet key-value metadata.
//!
//! Other tools drop these keys when they rewrite a file, so nothing a reader needs is only here: without them, the
//! graphs have no names, names come in row order and columns have no provenance. Or they keep the keys and change the columns,
//! so digests are believed only where this crate wrote the file ([`super::part::Part::own_words`]).

use std::collections::BTreeMap;
use std::path::Path;

use indexmap::IndexMap;
use parquet::file::metadata::{KeyValue, ParquetMetaData};
use serde::{Deserialize, Serialize};

use super::{Provenance, StoreError};
use crate::pair::{GraphPair, Names};
use crate::schema;

/// Key of [`Meta`].
pub(super) const META_KEY: &str = "humea";
/// Key of [`Vocabulary`].
pub(super) const VOCABULARY_KEY: &str = "humea.vocabulary";
/// A vocabulary larger than this would make every footer slow to read, and is left out.
const VOCABULARY_LIMIT: usize = 16 << 20;

/// Where the graphs of a store came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Origin {
    /// The command or parser that made the store.
    pub maker: String,
    /// The raw files, by name, each with its SHA-256 in hexadecimal.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// What was counted on the way (repeated lines, unreadable lines, …).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub counts: BTreeMap<String, u64>,
    /// Anything else worth keeping.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, serde_json::Value>,
}

/// What a store says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Meta {
    /// Version of the contract.
    pub version: u32,
    /// Version of the program that wrote it.
    pub humea: String,
    /// Seconds since 1970.
    #[serde(default)]
    pub created: u64,
    /// Names of the left and the right graph.
    pub graphs: [String; 2],
    /// Entities of the left and the right graph, over all parts.
    pub entities: [usize; 2],
    /// Where the graphs came from.
    #[serde(default)]
    pub origin: Origin,
    /// SHA-256 of this file's encoded ordinary columns.
    #[serde(default)]
    pub sha256: String,
    /// The vector columns.
    #[serde(default)]
    pub columns: IndexMap<String, ColumnMeta>,
}

/// What a store says of one vector column.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ColumnMeta {
    /// Floats per vector.
    pub width: usize,
    /// Entities of the left and the right graph that have a vector, over all parts.
    pub present: [usize; 2],
    /// SHA-256 of the rows and floats in this file.
    #[serde(default)]
    pub sha256: String,
    /// Where the vectors came from.
    #[serde(default)]
    pub provenance: Provenance,
}

/// The names of both graphs in the source's order.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Vocabulary {
    /// Relations of the left and the right graph.
    pub relations: [Vec<Box<str>>; 2],
    /// Attributes.
    pub attributes: [Vec<Box<str>>; 2],
    /// Datatypes and language tags.
    pub tags: [Vec<Box<str>>; 2],
}

impl Meta {
    /// The metadata of a new store.
    pub(super) fn new(pair: &GraphPair, origin: &Origin) -> Self {
        Self {
            version: schema::contract().version,
            humea: env!("CARGO_PKG_VERSION").to_owned(),
            created: now(),
            graphs: [pair.left.name.clone(), pair.right.name.clone()],
            entities: [pair.left.entities.len(), pair.right.entities.len()],
            origin: origin.clone(),
            sha256: String::new(),
            columns: IndexMap::new(),
        }
    }

    /// Reads it from a footer; `None` if the file says nothing.
    pub(super) fn read(footer: &ParquetMetaData, path: &Path) -> Result<Option<Self>, StoreError> {
        let Some(meta) = json::<Self>(footer, META_KEY, path)? else { return Ok(None) };
        let (found, expected) = (meta.version, schema::contract().version);
        if found != expected {
            return Err(StoreError::Version { path: path.to_owned(), found, expected });
        }
        Ok(Some(meta))
    }
}

impl Vocabulary {
    /// The names of a pair.
    pub(super) fn of(pair: &GraphPair) -> Self {
        let both = |names: fn(&crate::pair::Graph) -> &Names| {
            [&pair.left, &pair.right].map(|graph| names(graph).iter().cloned().collect())
        };
        Self {
            relations: both(|graph| &graph.relations),
            attributes: both(|graph| &graph.attributes),
            tags: both(|graph| &graph.tags),
        }
    }

    /// Reads it from a footer; empty if the file says nothing.
    pub(super) fn read(footer: &ParquetMetaData, path: &Path) -> Result<Self, StoreError> {
        Ok(json(footer, VOCABULARY_KEY, path)?.unwrap_or_default())
    }

    /// The key-value pair, unless it is too large for a footer.
    pub(super) fn key_value(&self) -> Option<KeyValue> {
        let text = serde_json::to_string(self).ok()?;
        if text.len() > VOCABULARY_LIMIT {
            log::debug!("the vocabulary takes {} bytes and is left out of the footer", text.len());
            return None;
        }
        Some(KeyValue::new(VOCABULARY_KEY.to_owned(), text))
    }
}

fn json<T: serde::de::DeserializeOwned>(
    footer: &ParquetMetaData,
    key: &'static str,
    path: &Path,
) -> Result<Option<T>, StoreError> {
    let Some(text) = value(footer, key) else { return Ok(None) };
    serde_json::from_str(text).map(Some).map_err(|error| StoreError::Metadata {
        path: path.to_owned(),
        key,
        reason: error.to_string(),
    })
}

/// The text under a key of the footer.
pub(super) fn value<'a>(footer: &'a ParquetMetaData, key: &str) -> Option<&'a str> {
    let pairs = footer.file_metadata().key_value_metadata()?;
    pairs.iter().find(|pair| pair.key == key)?.value.as_deref()
}

/// Seconds since 1970, or `SOURCE_DATE_EPOCH` where files must come out the same every time.
fn now() -> u64 {
    if let Some(fixed) = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse().ok()) {
        return fixed;
    }
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
