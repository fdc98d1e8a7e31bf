//! Raw files of other people's formats → [`GraphPair`]: one file per outside format.
//!
//! Every reader returns a [`Loaded`]: the pair, and a [`Report`] of what became of each line. A line that says again what
//! an earlier one said is stored once and counted; a line that cannot be read is counted, and the first few are kept with
//! file, line number and reason; a file with more than one unreadable line in a hundred is refused.
//!
//! | module | format |
//! |---|---|
//! | [`mmkb`] | FB15K, DB15K and YAGO15K as their authors publish them |
//! | [`id_files`] | `ent_ids_1/2`, `triples_1/2`, … (DBP15K and the converted MMKB folders of other projects) |
//! | [`openea`] | `rel_triples_1/2`, `attr_triples_1/2`, `ent_links` |
//! | [`download`] | fetches the raw files of MMKB |
//! | [`rdf`] | N-Triples, N-Quads, Turtle, RDF/XML |
//! | [`synthetic`] | no files: two graphs grown from one hidden world |
//! | [`published`] | splits: `train_links`, `valid_links`, `test_links`, or `sup_ent_ids`, `ref_ent_ids` |

mod collect;
pub mod download;
mod error;
pub mod id_files;
mod lines;
mod literal;
pub mod mmkb;
#[cfg(test)]
mod mutations;
pub mod openea;
pub mod published;
pub mod rdf;
mod summary;
pub mod synthetic;
mod tables;

use std::path::PathBuf;

pub use error::SourceError;

use crate::pair::GraphPair;

/// How many unreadable lines of a file are kept word for word in its report.
const SHOWN: usize = 3;

/// Two graphs as read from a source, and what became of the source's lines.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The graphs and their links.
    pub pair: GraphPair,
    /// What became of each file's lines.
    pub report: Report,
}

/// What became of the lines of a source, file by file in the order they are listed in the source's documentation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// One entry per file that was read.
    pub files: Vec<FileReport>,
}

impl Report {
    /// Lines that said again what an earlier line of the same file said.
    pub fn repeated(&self) -> u64 {
        self.files.iter().map(|file| file.repeated).sum()
    }

    /// Lines that could not be read.
    pub fn unreadable(&self) -> u64 {
        self.files.iter().map(|file| file.unreadable).sum()
    }
}

/// What became of the lines of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileReport {
    /// The file.
    pub path: PathBuf,
    /// All its lines.
    pub lines: u64,
    /// Lines that said again what an earlier line said.
    pub repeated: u64,
    /// Lines that could not be read.
    pub unreadable: u64,
    /// The first few unreadable lines.
    pub first_unreadable: Vec<Unreadable>,
}

impl FileReport {
    fn new(path: PathBuf) -> Self {
        Self { path, lines: 0, repeated: 0, unreadable: 0, first_unreadable: Vec::new() }
    }

    fn count_unreadable(&mut self, line: u64, why: impl Into<String>) {
        self.unreadable += 1;
        if self.first_unreadable.len() < SHOWN {
            self.first_unreadable.push(Unreadable { line, why: why.into() });
        }
    }

    /// The report itself, if the file is fit to be used: it has lines, and at most one in a hundred is unreadable.
    fn accepted(self) -> Result<Self, SourceError> {
        if self.lines == 0 {
            return Err(SourceError::Empty { path: self.path });
        }
        if self.unreadable * 100 > self.lines {
            return Err(SourceError::TooManyUnreadable { report: self });
        }
        Ok(self)
    }

    /// The first unreadable lines as `file:line: why`, for a person.
    pub fn examples(&self) -> impl Iterator<Item = String> {
        self.first_unreadable.iter().map(|one| format!("{}:{}: {}", self.path.display(), one.line, one.why))
    }
}

/// One line that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Its number, from 1.
    pub line: u64,
    /// What was expected and what was found.
    pub why: String,
}
