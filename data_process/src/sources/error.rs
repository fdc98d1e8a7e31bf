//! Everything that can be wrong with raw files, one variant per way of being wrong.

use std::io;
use std::path::PathBuf;

use super::FileReport;
use crate::fault::{Fault, Kind};

/// Why raw files did not become a pair of graphs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// Files of the source are not there.
    #[error("missing: {}; {advice}", .files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", "))]
    Missing {
        /// Each missing file, at the place where it was looked for.
        files: Vec<PathBuf>,
        /// Where they are published and where to put them.
        advice: String,
    },
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not compressed as its name says, or is damaged.
    #[error("{path} cannot be unpacked as {format}: {source}; is it {format}, as its name says, and whole?")]
    Packed {
        /// The file.
        path: PathBuf,
        /// What its name says.
        format: &'static str,
        /// The unpacker's words.
        source: io::Error,
    },
    /// A file has no lines.
    #[error("{path} is empty; was its download or copy cut short?")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A file is not text at all.
    #[error("{path}:{line}: a zero byte, so this is not a text file; is it compressed, or UTF-16?")]
    Binary {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
    },
    /// Text in another encoding, or broken.
    #[error(
        "{path}:{line}: byte {byte} of the line is not UTF-8; convert the file (`iconv -t utf-8`) or fetch it again"
    )]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// Where in the line, from 1.
        byte: usize,
    },
    /// The file begins with a byte-order mark, which would become part of the first identifier.
    #[error("{path} begins with a {encoding} byte-order mark; save it as UTF-8 without one")]
    ByteOrderMark {
        /// The file.
        path: PathBuf,
        /// Which mark it is.
        encoding: &'static str,
    },
    /// The file has Windows line ends, which would become part of every last field.
    #[error("{path}:{line}: the line ends in CR LF; convert the file with `sed -i 's/\\r$//' {path}`")]
    CarriageReturn {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
    },
    /// A line is longer than any line of such a file can be.
    #[error("{path}:{line}: the line is longer than {limit} bytes; this is not a file of the expected format")]
    LongLine {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// The most bytes a line may have.
        limit: usize,
    },
    /// So many lines are unreadable that the file is probably of another format.
    #[error(
        "{}: {} of {} lines cannot be read, more than 1 in 100; is it the right file? {}",
        .report.path.display(), .report.unreadable, .report.lines, .report.examples().collect::<Vec<_>>().join("; ")
    )]
    TooManyUnreadable {
        /// What became of its lines.
        report: FileReport,
    },
    /// Lines of a published split cannot be read: without them it is another split.
    #[error(
        "{}: {} of {} lines cannot be read, and a split must be whole: {}",
        .report.path.display(), .report.unreadable, .report.lines, .report.examples().collect::<Vec<_>>().join("; ")
    )]
    BrokenSplit {
        /// What became of its lines.
        report: FileReport,
    },
    /// A line names an entity that its graph does not have.
    #[error("{path}:{line}: {graph} has no entity {entity}; do these files belong to the same pair of graphs?")]
    UnknownEntity {
        /// The file that names it.
        path: PathBuf,
        /// The line.
        line: u64,
        /// The graph it should be in.
        graph: String,
        /// The entity as written.
        entity: String,
    },
    /// Two entities of one graph share an id or an identifier.
    #[error("{path}:{line}: {what} already stands on an earlier line; each id and each identifier may occur once")]
    Doubled {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// The id or identifier.
        what: String,
    },
    /// A split names two entities that the store does not link.
    #[error(
        "{path}:{line}: {link} are not a link of the store; was the store made from the files this split belongs to?"
    )]
    NotALink {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// The two entities as written.
        link: String,
    },
    /// A graph has more entities than a row number can count.
    #[error("{graph} has more than {limit} different {what}; this version numbers them with 32 bits")]
    TooMany {
        /// The graph.
        graph: String,
        /// What there are too many of.
        what: &'static str,
        /// The most there may be.
        limit: u32,
    },
    /// A table cannot be read by the table reader.
    #[error("cannot read {path} as a TAB-separated table: {why}")]
    Table {
        /// The file.
        path: PathBuf,
        /// The table reader's words.
        why: String,
    },
    /// The name of a file does not say which syntax of RDF it holds.
    #[error("{path}: the name must end in .nt, .nq, .ttl, .rdf, .xml or .owl (and .gz or .zst if it is compressed)")]
    UnknownSyntax {
        /// The file.
        path: PathBuf,
    },
    /// A file breaks off or is not in the syntax its name says.
    #[error("{path}: {why}; does its content fit its name, and is it whole?")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The parser's words, with the line.
        why: String,
    },
    /// A statement of Turtle or RDF/XML is too long to be read in bounded memory.
    #[error("{path}: a statement takes more than {limit} bytes; this is not a file of the expected format")]
    LongStatement {
        /// The file.
        path: PathBuf,
        /// How long one may be.
        limit: u64,
    },
    /// The document type of an RDF/XML file could unfold to any length.
    #[error(
        "{path}: its DOCTYPE takes more than {limit} bytes or makes entities of others, which is not read; write the \
         entities out with `xmllint --noent`"
    )]
    Doctype {
        /// The file.
        path: PathBuf,
        /// How long one may be.
        limit: usize,
    },
    /// The user stopped the work.
    #[error("stopped while reading {path}; nothing was written")]
    Interrupted {
        /// The file being read.
        path: PathBuf,
    },
}

impl Fault for SourceError {
    fn kind(&self) -> Kind {
        match self {
            Self::Missing { .. } | Self::Read { .. } => Kind::Input,
            Self::Interrupted { .. } => Kind::Interrupted,
            _ => Kind::Data,
        }
    }
}
