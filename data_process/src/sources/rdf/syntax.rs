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
        ErrorKind::Unsupported => SourceError::Doctype { path: path.to_owned(), limit: LONGEST_DOCTYPE },
        _ => lines::failed(path, source),
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
            let source = Rationed { source: lines::open(path, observer)?, left: &left, doctype: Doctype::default() };
            let statements = RdfXmlParser::new().for_reader(source);
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
/// name of any length; a reference to an entity counts as the longest one there is.
struct Rationed<'a, R> {
    source: R,
    left: &'a Cell<u64>,
    doctype: Doctype,
}

impl<R: Read> Read for Rationed<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        let bytes = &buffer[..read];
        self.doctype.check(bytes)?;
        let entities = match self.doctype.longest {
            0 => 0,
            longest => memchr::memchr_iter(b'&', bytes).count() * longest,
        };
        self.left.set(self.left.get().checked_sub((read + entities) as u64).ok_or(ErrorKind::OutOfMemory)?);
        Ok(read)
    }
}

/// The most bytes of document types in a file, of which an ontology needs some forty for each namespace.
const LONGEST_DOCTYPE: usize = 1 << 13;

/// Looks for document types before the parser does, which writes each entity out where it is defined: ten that are made of
/// eight of the one before would take the machine's memory. Wherever the parser sees one this does too, since it begins
/// one at each `<!D`, also in a comment, and ends it as the parser does.
#[derive(Debug, Default)]
struct Doctype {
    /// How much of `<!D` the last bytes were; all of it within a document type.
    begun: usize,
    /// `<` without their `>`, after the first.
    open: u32,
    /// Bytes of all document types.
    bytes: usize,
    /// Bytes since the last quotation mark.
    since: usize,
    /// The most bytes without a quotation mark: no entity is longer.
    longest: usize,
}

impl Doctype {
    fn check(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.begun == 0 {
                let Some(at) = memchr::memchr(b'<', bytes) else { return Ok(()) };
                bytes = &bytes[at..];
            }
            let (byte, rest) = (bytes[0], &bytes[1..]);
            bytes = rest;
            self.begun = match (self.begun, byte) {
                (3, byte) => self.inside(byte)?,
                (_, b'<') => 1,
                (1, b'!') => 2,
                (2, b'D' | b'd') => 3,
                _ => 0,
            };
        }
        Ok(())
    }

    /// A byte within a document type; what has begun after it.
    fn inside(&mut self, byte: u8) -> io::Result<usize> {
        self.bytes += 1;
        self.since = if byte == b'"' { 0 } else { self.since + 1 };
        self.longest = self.longest.max(self.since);
        if byte == b'&' || self.bytes > LONGEST_DOCTYPE {
            return Err(ErrorKind::Unsupported.into());
        }
        match byte {
            b'<' => self.open += 1,
            b'>' if self.open == 0 => return Ok(0),
            b'>' => self.open -= 1,
            _ => {}
        }
        Ok(3)
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
