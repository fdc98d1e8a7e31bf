//! RDF: N-Triples, N-Quads, Turtle and RDF/XML, plain or compressed.
//!
//! | in the file | becomes |
//! |---|---|
//! | a triple whose object is an entity | an edge |
//! | a triple whose object is a literal | an attribute value, datatype and language kept (`xsd:string` says nothing) |
//! | `owl:sameAs`, `skos:exactMatch` between the graphs | a link; with anything else, or of a blank node, nothing |
//! | `rdfs:label`, `skos:prefLabel`, `foaf:name` | the entity's label, the first one; a value only if asked for |
//! | `rdf:type rdfs:Resource` | the entity itself: so may one be named that has no triple |
//!
//! Files are read as streams: memory grows with what is kept, not with the files. Named graphs of quads are not told apart.
//! Entities are numbered in the byte order of their identifiers. Blank nodes of N-Triples and N-Quads keep the names their
//! lines give them; those of Turtle and RDF/XML, which need have none, are `_:b0`, `_:b1`, … in order of appearance.

mod export;
mod syntax;

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use oxrdf::vocab::{rdf, rdfs, xsd};
use oxrdf::{BlankNode, Literal as RdfLiteral, NamedNode, NamedNodeRef, NamedOrBlankNode, Term};

use super::collect::{Growing, Links, kept, known};
use super::lines::{self, Outcome};
use super::literal::Literal;
use super::{FileReport, Loaded, Report, SourceError};
use crate::event::{Event, Observer, Unit};
use crate::pair::{Graph, GraphPair, Names, number};

pub use export::{ExportError, Exported, export, same_as};
pub use syntax::Syntax;

/// Names that entities carry which no IRI can: `urn:humea:` and the name, percent-encoded.
const ESCAPED: &str = "urn:humea:";

const SAME: [&str; 2] = ["http://www.w3.org/2002/07/owl#sameAs", "http://www.w3.org/2004/02/skos/core#exactMatch"];

/// What to read and how.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The left graph.
    pub left: PathBuf,
    /// The right graph.
    pub right: PathBuf,
    /// Links: N-Triples or N-Quads, MMKB's `left <SameAs> right .`, or two columns separated by TAB.
    pub links: Option<PathBuf>,
    /// Keep labels as values, too. Names give the answer away on most benchmarks.
    pub use_labels: bool,
}

/// Reads two graphs and their links.
///
/// # Errors
/// If a file is missing or of no known format, is not what its name says, or a link names an unknown entity.
pub fn read(source: &Source, observer: &dyn Observer) -> Result<Loaded, SourceError> {
    let files: Vec<&Path> =
        [&source.left, &source.right].into_iter().chain(&source.links).map(PathBuf::as_path).collect();
    let missing: Vec<PathBuf> = files.iter().filter(|file| !file.is_file()).map(|&file| file.to_owned()).collect();
    if !missing.is_empty() {
        return Err(SourceError::Missing { files: missing, advice: "--left, --right and --links name files".into() });
    }
    let bytes = files.iter().filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum();
    observer.on(Event::Started { task: "reading RDF", total: Some(bytes), unit: Unit::Bytes });
    let loaded = read_files(source, observer);
    observer.on(Event::Finished);
    loaded
}

fn read_files(source: &Source, observer: &dyn Observer) -> Result<Loaded, SourceError> {
    let graph = |path: &Path| Reading::new(path, source.use_labels).read(path, observer);
    let (left, right) = rayon::join(|| graph(&source.left), || graph(&source.right));
    let ((left, left_same, left_report), (right, right_same, right_report)) = (left?, right?);
    let mut links = Links::default();
    for (one, other) in left_same.iter().chain(right_same.iter()) {
        links.extend(link(&left, &right, one, other));
    }
    let mut files = vec![left_report, right_report];
    if let Some(path) = &source.links {
        let named = [&source.left, &source.right].into_iter().all(|path| names_blank_nodes(path));
        files.push(read_links(path, [&left, &right], named, &mut links, observer)?);
    }
    let links = links.into_iter().collect();
    Ok(Loaded { pair: GraphPair { left, right, links }, report: Report { files } })
}

/// Whether a file's blank nodes are called in the graph what they are called in the file.
fn names_blank_nodes(path: &Path) -> bool {
    matches!(Syntax::of(path), Ok(Syntax::Lines))
}

/// A link between the graphs in either direction; none if one of the two is somewhere else.
fn link(left: &Graph, right: &Graph, one: &str, other: &str) -> Option<(u32, u32)> {
    let between = |from: &str, to: &str| {
        Some((left.entities.get_index_of(from)? as u32, right.entities.get_index_of(to)? as u32))
    };
    between(one, other).or_else(|| between(other, one))
}

/// What a file says to be the same, each subject kept once.
#[derive(Default)]
struct Same {
    subjects: Names,
    pairs: Vec<(u32, Box<str>)>,
}

impl Same {
    fn push(&mut self, subject: &str, object: &str) {
        self.pairs.push((number(&mut self.subjects, subject), object.into()));
    }

    fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(subject, object)| (&*self.subjects[*subject as usize], &**object))
    }
}

/// A graph while its file is being read.
struct Reading {
    growing: Growing,
    same: Same,
    /// Blank nodes in order of appearance, where they are named by it.
    blank: Option<Names>,
}

impl Reading {
    fn new(path: &Path, use_labels: bool) -> Self {
        let growing = Growing::new(&syntax::graph_name(path)).using_labels(use_labels);
        Self { growing, same: Same::default(), blank: (!names_blank_nodes(path)).then(Names::default) }
    }

    fn read(mut self, path: &Path, observer: &dyn Observer) -> Result<(Graph, Same, FileReport), SourceError> {
        let report = syntax::read(path, observer, |subject, predicate, object| self.take(subject, predicate, object))?;
        Ok((self.growing.sorted()?, self.same, report))
    }

    fn take(&mut self, subject: &NamedOrBlankNode, predicate: &NamedNode, object: &Term) -> Outcome {
        let subject = match subject {
            NamedOrBlankNode::NamedNode(node) => name(node.as_ref()),
            NamedOrBlankNode::BlankNode(node) => self.blank_name(node).into(),
        };
        match object {
            Term::Literal(literal) => self.literal(&subject, predicate, literal),
            Term::NamedNode(node) if *predicate == rdf::TYPE && *node == rdfs::RESOURCE => {
                self.growing.entity(&subject);
                Outcome::Kept
            }
            Term::NamedNode(node) => self.edge(&subject, predicate, &name(node.as_ref())),
            Term::BlankNode(node) => {
                let object = self.blank_name(node);
                self.edge(&subject, predicate, &object)
            }
        }
    }

    fn blank_name(&mut self, node: &BlankNode) -> String {
        // The parsers make up a random name for a node that has none: each reading would be another store.
        self.blank.as_mut().map_or_else(|| node.to_string(), |known| format!("_:b{}", number(known, node.as_str())))
    }

    fn edge(&mut self, subject: &str, predicate: &NamedNode, object: &str) -> Outcome {
        if SAME.contains(&predicate.as_str()) {
            // A blank node's name holds in its own file only; that the other graph has one too means nothing.
            if export::blank(subject).or(export::blank(object)).is_none() {
                self.same.push(subject, object);
            }
            return Outcome::Kept;
        }
        self.growing.triple(subject, &name(predicate.as_ref()), object)
    }

    fn literal(&mut self, subject: &str, predicate: &NamedNode, literal: &RdfLiteral) -> Outcome {
        let entity = self.growing.entity(subject);
        let typed = literal.language().is_none() && literal.datatype() != xsd::STRING;
        let datatype = typed.then(|| name(literal.datatype()));
        let literal = Literal { value: literal.value(), datatype: datatype.as_deref(), lang: literal.language() };
        self.growing.value(entity, &name(predicate.as_ref()), literal)
    }
}

/// Why a line of a links file may not name a blank node.
const BLANK: &str = "the name of a blank node of Turtle or RDF/XML holds in its own file only";

/// What a line of a links file must look like.
const LINK: &str = "expected `<left> <…sameAs> <right> .`, `left <SameAs> right .` or `left<TAB>right`";

/// Reads a file of links between two graphs; `named` says whether their blank nodes are called as in their files.
fn read_links(
    path: &Path,
    [left, right]: [&Graph; 2],
    named: bool,
    links: &mut Links,
    observer: &dyn Observer,
) -> Result<FileReport, SourceError> {
    lines::read(path, observer, |line| {
        let text = line.text.trim();
        if text.is_empty() || text.starts_with('#') {
            return Ok(Outcome::Kept);
        }
        let Some((one, other)) = ends(text) else { return Ok(Outcome::Unreadable(LINK)) };
        if !named && export::blank(&one).or(export::blank(&other)).is_some() {
            return Ok(Outcome::Unreadable(BLANK));
        }
        if let Some(link) = link(left, right, &one, &other) {
            return Ok(kept(links.insert(link)));
        }
        // Neither direction fits: name the end that is missing where it was expected.
        let link = (known(left, &one, path, line.number)?, known(right, &other, path, line.number)?);
        Ok(kept(links.insert(link)))
    })
}

/// The two entities of a line of a links file.
fn ends(line: &str) -> Option<(String, String)> {
    // A name may end in a full stop (`…/Warner_Bros.`); one that stands alone ends a statement.
    let two =
        line.split_once('\t').filter(|(_, other)| !other.contains('\t') && *other != "." && !other.ends_with(" ."));
    if let Some((one, other)) = two {
        return Some((bare(one), bare(other)));
    }
    if let Some((subject, predicate, object)) = syntax::statement(line) {
        let node = match object {
            Term::NamedNode(node) => name(node.as_ref()).into_owned(),
            Term::BlankNode(node) => node.to_string(),
            Term::Literal(_) => return None,
        };
        return SAME.contains(&predicate.as_str()).then(|| (subject_name(&subject).into_owned(), node));
    }
    let (one, rest) = line.strip_suffix(" .")?.split_once(' ')?;
    let other = rest.strip_prefix("<SameAs> ")?;
    (!other.contains(' ')).then(|| (bare(one), bare(other)))
}

fn bare(text: &str) -> String {
    let text = text.trim();
    text.strip_prefix('<').and_then(|inner| inner.strip_suffix('>')).unwrap_or(text).to_owned()
}

fn subject_name(subject: &NamedOrBlankNode) -> Cow<'_, str> {
    match subject {
        NamedOrBlankNode::NamedNode(node) => name(node.as_ref()),
        NamedOrBlankNode::BlankNode(node) => node.to_string().into(),
    }
}

/// The name an IRI stands for: itself, or what [`export`] had to escape.
fn name(node: NamedNodeRef<'_>) -> Cow<'_, str> {
    let iri = node.as_str();
    iri.strip_prefix(ESCAPED).and_then(export::unescape).map_or(iri.into(), Cow::Owned)
}

#[cfg(test)]
mod tests;
