//! What can go wrong between the store and the tensors.

use std::path::PathBuf;

use data_process::fault::{Fault, Kind};
use data_process::sources::SourceError;
use data_process::store::StoreError;
use data_process::vectors::VectorError;

use crate::modality::Modality;

/// What can go wrong between the store and the tensors.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InputsError {
    /// The store itself.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A published split.
    #[error(transparent)]
    Split(#[from] SourceError),
    /// A vector with NaN or infinity in it.
    #[error(
        "modality {modality}: the vector of entity {entity} holds a number that is not finite; make the column anew"
    )]
    NotFinite {
        /// The modality.
        modality: Modality,
        /// The first such entity.
        entity: u32,
    },
    /// A store without links.
    #[error("the store holds no links; training needs seeds: make the store from sources that have them")]
    NoLinks,
    /// Too few links to train and to test.
    #[error("of {links} links {train} are left to train on and {test} to test on; each needs at least {least}")]
    TooFewLinks {
        /// Links of the store.
        links: usize,
        /// Links that would train.
        train: usize,
        /// Links that would test.
        test: usize,
        /// The least there must be of each.
        least: usize,
    },
    /// Nothing is left to choose the epoch with.
    #[error("of {seeds} seeds, the held-out part {part} is none; raise split.validation, or set train.protocol=last")]
    NoValidation {
        /// Seeds.
        seeds: usize,
        /// The part to be held out.
        part: f64,
    },
    /// A file of links cannot be read.
    #[error("cannot read the links {path}: {source}; check the path", path = path.display())]
    ReadLinks {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A NumPy file of links.
    #[error(transparent)]
    Array(#[from] VectorError),
    /// A file of links is not what it must be.
    #[error("{path}: {message}; expected two columns, the left and the right entity id", path = path.display())]
    Links {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A link in a file joins entities that it cannot.
    #[error(
        "{path}, link {number}: {left} and {right} are not a left and a right entity (left ids are below {first_right}, right ids below {entities})",
        path = path.display()
    )]
    WrongSides {
        /// The file.
        path: PathBuf,
        /// Which link, from 1.
        number: usize,
        /// As read.
        left: u32,
        /// As read.
        right: u32,
        /// The first right id.
        first_right: usize,
        /// Entities in all.
        entities: usize,
    },
    /// libtorch refused.
    #[error("libtorch: {0}")]
    Tensor(#[from] tch::TchError),
}

impl Fault for InputsError {
    fn kind(&self) -> Kind {
        match self {
            Self::Store(error) => error.kind(),
            Self::Split(error) => error.kind(),
            Self::Array(error) => error.kind(),
            Self::ReadLinks { .. } => Kind::Input,
            Self::Tensor(_) => Kind::Device,
            _ => Kind::Data,
        }
    }
}
