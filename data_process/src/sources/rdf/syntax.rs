//! The four syntaxes, told apart by the file's name, as one stream of statements.

use std::cell::Cell;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use oxrdf::{NamedNode, NamedOrBlankNode, Term, Triple};
use oxrdfxml::{RdfXmlParseError, RdfXmlParser};
use oxttl::{NQuadsParser, TurtleParseError, TurtleParser};

use crate::event::Observer;
use crate::sources::lines::{self, Outcome};
use crate::sources::{FileReport, SourceError};

/// How RDF is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// N-Triples and N-Quads: one statement a line.
    Lines,
    /// Turtle.
    Turtle,
    /// RDF/XML.
    Xml,
}

impl Syntax {
    /// The syntax of a file, from its name; `.gz` and `.zst` after it are passed over.
    pub fn of(path: &Path) -> Result<Self, SourceError> {
        let name = uncompressed(path);
        match name.rsplit('.').next().filter(|extension| extension.len() < name.len()) {
            Some("nt" | "nq" | "ntriples" | "nquads") => Ok(Self::Lines),
            Some("ttl" | "turtle") => Ok(Self::Turtle),
            Some("rdf" | "xml" | "owl") => Ok(Self::Xml),
            _ => Err(SourceError::UnknownSyntax { path: path.to_owned() }),
        }
    }
}

/// The name of the graph a file holds: the file's, without what says how it is written.
pub(super) fn graph_name(path: &Path) -> String {
    let name = uncompressed(path);
    name.rsplit_once('.').map_or(name.clone(), |(stem, _)| stem.to_owned())
}

fn uncompressed(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let plain = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).map(str::to_owned);
    plain.unwrap_or(name)
}

/// The most bytes of Turtle or RDF/XML that one statement may take. The parser of Turtle has this bound of its own.
const LONGEST_STATEMENT: u64 = 16 << 20;

/// What a line of N-Triples or N-Quads must look like.
const LINE: &str = "expected a statement of N-Triples or N-Quads: `<subject> <predicate> <object> .`";

/// Hands each statement of a file to `take` and counts what becomes of them: lines, or statements where a line is nothing.
pub(super) fn read(
    path: &Path,
    observer: &dyn Observer,
    mut take: impl FnMut(&NamedOrBlankNode, &NamedNode, &Term) -> Outcome,
) -> Result<FileReport, SourceError> {
    let unreadable = |source: io::Error| match source.kind() {
        ErrorKind::OutOfMemory => SourceError::LongStatement { path: path.to_owned(), limit: LONGEST_STATEMENT },
        _ => SourceError::Read { path: path.to_owned(), source },
    };
    let malformed = |why| SourceError::Syntax { path: path.to_owned(), why };
    match Syntax::of(path)? {
        Syntax::Lines => lines::read(path, observer, |line| {
            let text = line.text.trim_start();
            if text.is_empty() || text.starts_with('#') {
                return Ok(Outcome::Kept);
            }
            let statement = statement(text);
            Ok(statement
                .map_or(Outcome::Unreadable(LINE), |(subject, predicate, object)| take(&subject, &predicate, &object)))
        }),
        Syntax::Turtle => {
            let statements = TurtleParser::new().for_reader(lines::open(path, observer)?);
            let error = |error| match error {
                TurtleParseError::Io(source) => unreadable(source),
                TurtleParseError::Syntax(error) => malformed(error.to_string()),
            };
            stream(path, observer, statements.map(|one| one.map_err(error)), take)
        }
        Syntax::Xml => {
            let left = Cell::new(LONGEST_STATEMENT);
            let statements =
                RdfXmlParser::new().for_reader(Rationed { source: lines::open(path, observer)?, left: &left });
            let error = |error| match error {
                RdfXmlParseError::Io(source) => unreadable(source),
                RdfXmlParseError::Syntax(error) => malformed(error.to_string()),
            };
            let statements = statements.inspect(|_| left.set(LONGEST_STATEMENT));
            stream(path, observer, statements.map(|one| one.map_err(error)), take)
        }
    }
}

/// Ends with an error when more bytes are read than are left, because the parser of RDF/XML keeps a text, a comment or a
/// name of any length.
struct Rationed<'a, R> {
    source: R,
    left: &'a Cell<u64>,
}

impl<R: Read> Read for Rationed<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.left.set(self.left.get().checked_sub(read as u64).ok_or(ErrorKind::OutOfMemory)?);
        Ok(read)
    }
}

/// The statement on a line of N-Triples or N-Quads, if it is one.
pub(super) fn statement(line: &str) -> Option<(NamedOrBlankNode, NamedNode, Term)> {
    let mut statements = NQuadsParser::new().for_slice(line);
    let quad = statements.next()?.ok()?;
    statements.next().is_none().then_some((quad.subject, quad.predicate, quad.object))
}

fn stream(
    path: &Path,
    observer: &dyn Observer,
    statements: impl Iterator<Item = Result<Triple, SourceError>>,
    mut take: impl FnMut(&NamedOrBlankNode, &NamedNode, &Term) -> Outcome,
) -> Result<FileReport, SourceError> {
    let mut report = FileReport::new(path.to_owned());
    for statement in statements {
        let Triple { subject, predicate, object } = statement?;
        report.lines += 1;
        report.repeated += u64::from(take(&subject, &predicate, &object) == Outcome::Repeated);
        if report.lines.is_multiple_of(1 << 16) && observer.stopped() {
            return Err(SourceError::Interrupted { path: report.path });
        }
    }
    report.accepted()
}
