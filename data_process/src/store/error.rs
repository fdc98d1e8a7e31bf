//! What can go wrong with a store.

use std::io;
use std::path::PathBuf;

use parquet::errors::ParquetError;

use crate::fault::{Fault, Kind};
use crate::schema::Mismatch;

/// What can go wrong with a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store cannot be opened.
    #[error("cannot open the store {path}: {source}; make one with `humea prep`")]
    Open {
        /// The store.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is to become a store cannot be opened.
    #[error("cannot open {path}: {source}; name a Parquet file, or a folder of part-*.parquet")]
    Source {
        /// The foreign file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system lets this process open too few files.
    #[error(
        "cannot hold the {parts} parts of {path} open at once: {source}; let this shell open more files (`ulimit -n`), or \
         make fewer parts of it with `humea store split` where that is allowed"
    )]
    TooManyFiles {
        /// The store.
        path: PathBuf,
        /// Its parts.
        parts: usize,
        /// Why.
        source: io::Error,
    },
    /// A folder holds no parts.
    #[error("the folder {path} holds no part-*.parquet; name a store (a Parquet file or a folder of parts)")]
    NoParts {
        /// The folder.
        path: PathBuf,
    },
    /// The file has no Parquet footer that can be read.
    #[error("{path} is not a Parquet file that can be read: {source}; name a store, whole, as `humea prep` makes one")]
    NotParquet {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ParquetError,
    },
    /// The columns are not those of the contract.
    #[error("{path} is not a store: {}; `humea store convert` turns foreign files into stores", list(mismatches))]
    Contract {
        /// The file.
        path: PathBuf,
        /// Every difference.
        mismatches: Vec<Mismatch>,
    },
    /// A foreign file lacks what cannot be made up.
    #[error("{path} cannot become a store: {}; it needs `side` (0 left, 1 right) and `uri` at least", list(mismatches))]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Every difference that cannot be mended.
        mismatches: Vec<Mismatch>,
    },
    /// Two parts have different columns.
    #[error("{path} has other columns than {first}: {difference}; all parts of a store have the same columns")]
    PartsDiffer {
        /// The part.
        path: PathBuf,
        /// The first part.
        first: PathBuf,
        /// The first difference.
        difference: String,
    },
    /// Parts that are not the shards of one run.
    #[error("cannot join {path}: {what}")]
    Shards {
        /// The part.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The rows do not add up to what the metadata says.
    #[error("{path} has {found} rows where its metadata speaks of {expected}; is a part missing?")]
    Rows {
        /// The store.
        path: PathBuf,
        /// Entities according to the metadata.
        expected: usize,
        /// Rows found.
        found: usize,
    },
    /// The metadata cannot be understood.
    #[error("the metadata `{key}` of {path} cannot be read: {reason}")]
    Metadata {
        /// The file.
        path: PathBuf,
        /// Key of the Parquet key-value metadata.
        key: &'static str,
        /// Why.
        reason: String,
    },
    /// The store follows another version of the contract.
    #[error("{path} follows version {found} of the store's contract, this program version {expected}; write it anew")]
    Version {
        /// The file.
        path: PathBuf,
        /// Version in the file.
        found: u32,
        /// Version this program knows.
        expected: u32,
    },
    /// A column's pages contradict the footer or each other.
    #[error("column `{column}` of {path} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// What is wrong.
        reason: String,
    },
    /// The Parquet reader gave up.
    #[error("cannot decode {path}: {source}")]
    Decode {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ParquetError,
    },
    /// A value that must not be.
    #[error("row {row} of {path}, column `{column}`: {reason}")]
    Content {
        /// The store.
        path: PathBuf,
        /// Row number over the whole dataset.
        row: usize,
        /// The column.
        column: String,
        /// What is wrong.
        reason: String,
    },
    /// There is no such vector column.
    #[error("{path} has no vector column `{name}`; it has {}", or_none(present))]
    NoColumn {
        /// The store.
        path: PathBuf,
        /// The name asked for.
        name: String,
        /// The vector columns there are.
        present: Vec<String>,
    },
    /// No vector of another store belongs to an entity of this one.
    #[error("no vector `{name}` of {from} belongs to an entity of {path}: entities are matched by side and uri")]
    Unmatched {
        /// The store that was to get the column.
        path: PathBuf,
        /// The store that has it.
        from: PathBuf,
        /// The column.
        name: String,
    },
    /// Vectors are to be exported where there are none.
    #[error("{path} has no vector columns to export; as `id-files` or `nt` its graphs can be")]
    NoVectors {
        /// The store.
        path: PathBuf,
    },
    /// A vector column would take the name of a column of the contract, or has none.
    #[error("`{name}` cannot be the name of a vector column: it is empty or belongs to the contract")]
    ColumnName {
        /// The name.
        name: String,
    },
    /// The name of a vector column cannot be that of a file.
    #[error("the name of vector column `{name}` cannot be that of a file; export as safetensors, or drop the column")]
    FileName {
        /// The name.
        name: String,
    },
    /// A name would break the lines of the id-file layout.
    #[error(
        "the id-file layout cannot hold the name {name:?}, empty or with a TAB or a line break in it; export as nt"
    )]
    LayoutName {
        /// The name.
        name: String,
    },
    /// A vector column has the name under which the rows of another one are exported.
    #[error("the rows of vector column `{name}` go by the name of column `{name}.rows`; export as csv, or drop one")]
    RowsName {
        /// The column whose rows they are.
        name: String,
    },
    /// Vectors whose parts do not fit together.
    #[error("vectors `{name}`: {values} floats are not {rows} rows of {width} (a width is 1 to 2^24)")]
    Shape {
        /// The column.
        name: String,
        /// Rows given.
        rows: usize,
        /// Floats per row.
        width: usize,
        /// Floats given.
        values: usize,
    },
    /// Vectors for rows that are not strictly increasing ids of the store.
    #[error("vectors `{name}`: rows must be strictly increasing and below {entities}, at position {position} is {row}")]
    VectorRows {
        /// The column.
        name: String,
        /// Position in the list of rows.
        position: usize,
        /// The row there.
        row: u32,
        /// Entities of the store.
        entities: usize,
    },
    /// A float that is NaN or infinite.
    #[error("vectors `{name}`: {value} at position {position} of the vector of row {row}; every float must be finite")]
    NotFinite {
        /// The column.
        name: String,
        /// The row whose vector it is in.
        row: u32,
        /// Its position in the vector.
        position: usize,
        /// The float.
        value: f32,
    },
    /// A column is given twice.
    #[error("vector column `{name}` is given twice")]
    Twice {
        /// The column.
        name: String,
    },
    /// More entities than ids.
    #[error("{entities} entities are more than a store can number (2^32 - 1)")]
    TooMany {
        /// Entities of both graphs.
        entities: usize,
    },
    /// The pair of graphs contradicts itself.
    #[error("the {graph} graph cannot be stored: {reason}")]
    Pair {
        /// `left`, `right` or `linked`.
        graph: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The store cannot be written.
    #[error("cannot write {path}: {source}; nothing was changed")]
    Write {
        /// The store.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The new store has its name, but what was to follow failed.
    #[error("{path} is written, but it may not outlast a power cut, or the old one is still beside it: {source}")]
    Unsettled {
        /// The store.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Some files of an export have their names, others not.
    #[error("cannot write all of {path}: {source}; some of its files are new: export again")]
    HalfExported {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A folder that is to be replaced holds more than a store.
    #[error("the folder {path} also holds {}, which would be lost; move that elsewhere", some(others))]
    NotParts {
        /// The folder.
        path: PathBuf,
        /// What lies in it that is no part.
        others: Vec<String>,
    },
    /// Another store has taken the place of the one that was to be changed.
    #[error("{path} was replaced by another store meanwhile; it stays as it is: run the command again")]
    Replaced {
        /// The store.
        path: PathBuf,
    },
    /// The columns cannot be encoded.
    #[error("cannot encode {path}: {source}")]
    Encode {
        /// The store.
        path: PathBuf,
        /// Why.
        source: ParquetError,
    },
    /// The store cannot be locked against other writers.
    #[error(
        "cannot lock {path} against other writers: {source}; copy it to a local disk, change it there, and move it back"
    )]
    Lock {
        /// The store.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be mapped or read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Fault for StoreError {
    fn kind(&self) -> Kind {
        match self {
            Self::Open { .. }
            | Self::Source { .. }
            | Self::TooManyFiles { .. }
            | Self::NoParts { .. }
            | Self::Read { .. } => Kind::Input,
            Self::NotParquet { .. }
            | Self::Contract { .. }
            | Self::Foreign { .. }
            | Self::Unmatched { .. }
            | Self::PartsDiffer { .. }
            | Self::Shards { .. }
            | Self::Rows { .. }
            | Self::Replaced { .. }
            | Self::Metadata { .. }
            | Self::Version { .. }
            | Self::Damaged { .. }
            | Self::Decode { .. }
            | Self::Content { .. }
            | Self::Shape { .. }
            | Self::VectorRows { .. }
            | Self::NotFinite { .. }
            | Self::TooMany { .. }
            | Self::LayoutName { .. }
            | Self::Pair { .. } => Kind::Data,
            Self::NoColumn { .. }
            | Self::NoVectors { .. }
            | Self::ColumnName { .. }
            | Self::FileName { .. }
            | Self::RowsName { .. }
            | Self::Twice { .. } => Kind::Configuration,
            Self::Write { .. }
            | Self::Unsettled { .. }
            | Self::HalfExported { .. }
            | Self::NotParts { .. }
            | Self::Encode { .. }
            | Self::Lock { .. } => Kind::Output,
        }
    }
}

const SHOWN: usize = 20;

fn list(mismatches: &[Mismatch]) -> String {
    let mut text: Vec<String> = mismatches.iter().take(SHOWN).map(ToString::to_string).collect();
    if mismatches.len() > SHOWN {
        text.push(format!("and {} more differences", mismatches.len() - SHOWN));
    }
    text.join("; ")
}

fn some(names: &[String]) -> String {
    let shown = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN { format!("{shown} and {} more", names.len() - SHOWN) } else { shown }
}

fn or_none(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
