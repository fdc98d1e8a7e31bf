//! What can be wrong with a file of vectors.

use std::io;
use std::path::PathBuf;

use crate::fault::{Fault, Kind};

use super::npy::NpyError;
use super::pickle::PickleError;

/// What can go wrong between a file of vectors and a store's rows.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VectorError {
    /// A file cannot be opened or read.
    #[error("cannot read {}: {source}; check the path", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file's name and first bytes do not say what it is.
    #[error(
        "{}: its first bytes are not those of HDF5, pickle, torch, npy, npz, safetensors, Parquet or Arrow; is it whole, \
         and a file of vectors?", path.display()
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// A matrix of all entities of a store has another number of rows.
    #[error("{} has {rows} rows; expected one for each of the {entities} entities, in id order", path.display())]
    Rows {
        /// The file.
        path: PathBuf,
        /// Its rows.
        rows: usize,
        /// Entities of the store.
        entities: usize,
    },
    /// A pickle that is damaged, not of vectors, or would run code.
    #[error("{}: {source}", path.display())]
    Pickle {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: PickleError,
    },
    /// A torch file that is damaged, not of tensors, or would run code.
    #[error(transparent)]
    Torch(super::torch_file::TorchFileError),
    /// A numpy file that is damaged or of a type that is not read.
    #[error("{}: {source}", path.display())]
    Npy {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: NpyError,
    },
    /// A library refused the file.
    #[error("{}: this cannot be read as {format}: {message}", path.display())]
    Library {
        /// The file.
        path: PathBuf,
        /// The format it was taken for.
        format: &'static str,
        /// What the library said.
        message: String,
    },
    /// An Arrow file whose buffers are compressed.
    #[error("{}: a compressed Arrow file is not read; save it without compression, or as Parquet", path.display())]
    Compressed {
        /// The file.
        path: PathBuf,
    },
    /// There is no vector in the file.
    #[error("{}: there are no vectors in it", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A vector is longer or shorter than the first one.
    #[error("{}: the vector of {key} has {found} floats, the first one has {expected}", path.display())]
    Width {
        /// The file.
        path: PathBuf,
        /// The vector's key.
        key: String,
        /// Floats found.
        found: usize,
        /// Floats of the first vector.
        expected: usize,
    },
    /// A float is NaN or infinite.
    #[error(
        "{}: the vector of {key} holds {value} at position {position}; leave entities without a usable vector out", path.display()
    )]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The vector's key.
        key: String,
        /// Position within the vector.
        position: usize,
        /// The offending value.
        value: f32,
    },
    /// Some keys are integers and some are names.
    #[error("{}: key {key} is of another kind than the keys before it; use either ids or names", path.display())]
    MixedKeys {
        /// The file.
        path: PathBuf,
        /// The first key that differs.
        key: String,
    },
    /// There are more or fewer keys than vectors.
    #[error("{}: {keys} keys for {vectors} vectors", path.display())]
    KeyCount {
        /// The file.
        path: PathBuf,
        /// Keys found.
        keys: usize,
        /// Vectors found.
        vectors: usize,
    },
    /// The file would unfold to far more than its size can honestly hold.
    #[error("{}: it claims {claimed} floats; a file of its size is granted {allowed}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Floats claimed.
        claimed: u64,
        /// Floats granted.
        allowed: u64,
    },
    /// What was to be vectors is something else.
    #[error("{}: {name} is not made of floats (float16, 32 or 64)", path.display())]
    NotFloats {
        /// The file.
        path: PathBuf,
        /// The array, tensor or column.
        name: String,
    },
    /// What was to be keys is something else.
    #[error("{}: {name} is not made of integers or strings, one per vector, so it cannot be the keys", path.display())]
    NotKeys {
        /// The file.
        path: PathBuf,
        /// The array or column.
        name: String,
    },
    /// The array, tensor or column that was asked for is not there.
    #[error("{}: there is no {wanted:?} in it; there are {}", path.display(), known.join(", "))]
    Missing {
        /// The file.
        path: PathBuf,
        /// The name that was asked for.
        wanted: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// More than one array, tensor or column could be meant.
    #[error("{}: the {what} could be any of {}; say which with {option} NAME", path.display(), known.join(", "))]
    Ambiguous {
        /// The file.
        path: PathBuf,
        /// "vectors" or "keys".
        what: &'static str,
        /// The candidates.
        known: Vec<String>,
        /// The option that decides.
        option: &'static str,
    },
    /// Nothing in the file looks like what is needed.
    #[error("{}: nothing in it can be the {what}; there are {}", path.display(), known.join(", "))]
    NoCandidate {
        /// The file.
        path: PathBuf,
        /// "vectors" or "keys".
        what: &'static str,
        /// What there is.
        known: Vec<String>,
    },
    /// A line of an index file is not `entity TAB key`.
    #[error("{}:{line}: expected `entity TAB key`, found {found:?}", path.display())]
    IndexLine {
        /// The index file.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// The start of the line.
        found: String,
    },
    /// Two files of one import hold vectors of different widths.
    #[error("{}: its vectors have {found} floats, those of the file before it {expected}", path.display())]
    Widths {
        /// The second file.
        path: PathBuf,
        /// Its width.
        found: usize,
        /// The width of the first file.
        expected: usize,
    },
    /// No vector belongs to any entity of the store.
    #[error(
        "none of the {keys} vectors belongs to an entity of the store: the file has keys such as {}, the store entities \
         such as {}; an index file (`--index`) with lines `entity TAB key` connects the two",
        file_keys.join(", "), entities.join(", ")
    )]
    NothingMatched {
        /// Vectors that were read.
        keys: usize,
        /// A few keys of the file.
        file_keys: Vec<String>,
        /// A few entities of the store.
        entities: Vec<String>,
    },
    /// A key of an index could mean either of two files.
    #[error(
        "{}: its key {key} is in a file before it too, and the index does not say which is meant; give two files and two \
         index files, left and right", path.display()
    )]
    SharedKey {
        /// The later file.
        path: PathBuf,
        /// The first key that both have.
        key: String,
    },
    /// A matrix without keys that has no row for each entity.
    #[error(
        "{}: its {rows} rows have no keys, so they would be the {entities} entities in order; say which they are: in an \
         array beside the matrix (`--key`), or, of NAME.npy, in NAME.rows.npy beside it", path.display()
    )]
    Keyless {
        /// The file.
        path: PathBuf,
        /// Its rows.
        rows: usize,
        /// Entities they could be.
        entities: usize,
    },
    /// A matrix without keys, one of two.
    #[error(
        "{}: its rows have no keys, and of two files each is of one graph; say `--ids sides` if they are the entities of \
         each graph in order", path.display()
    )]
    KeylessSides {
        /// The file.
        path: PathBuf,
    },
    /// More files than graphs.
    #[error("`{option}` takes one file for both graphs, or two, the left graph's first; {found} were given")]
    Files {
        /// The option that was given them.
        option: &'static str,
        /// Files given.
        found: usize,
    },
    /// Two files at most: one per graph.
    #[error(
        "`--ids sides` counts ids within each graph, so it takes exactly two files, left and right; {found} were given"
    )]
    SidesNeedTwo {
        /// Files given.
        found: usize,
    },
    /// The user stopped the import.
    #[error("stopped; the store is as it was")]
    Interrupted,
}

impl Fault for VectorError {
    fn kind(&self) -> Kind {
        match self {
            Self::Open { .. } => Kind::Input,
            Self::Missing { .. }
            | Self::Ambiguous { .. }
            | Self::SidesNeedTwo { .. }
            | Self::KeylessSides { .. }
            | Self::Files { .. } => Kind::Configuration,
            Self::Torch(error) => error.kind(),
            Self::Interrupted => Kind::Interrupted,
            _ => Kind::Data,
        }
    }
}
