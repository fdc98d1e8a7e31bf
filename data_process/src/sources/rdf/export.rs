//! A pair of graphs as N-Triples: one file for each graph, one for the links.

mod lost;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use oxrdf::vocab::{rdf, rdfs};
use oxrdf::{BlankNodeRef, Literal, LiteralRef, NamedNode, NamedNodeRef, NamedOrBlankNodeRef, TermRef, TripleRef};
use oxttl::NTriplesSerializer;
use oxttl::ntriples::WriterNTriplesSerializer;

use super::{ESCAPED, SAME};
use crate::aside;
use crate::fault::{Fault, Kind};
use crate::pair::{Fact, Graph, GraphPair};

/// A file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}: {source}; is the folder there, and is there room?")]
pub struct ExportError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl Fault for ExportError {
    fn kind(&self) -> Kind {
        Kind::Output
    }
}

/// What [`export`] wrote.
#[derive(Clone, Debug)]
pub struct Exported {
    /// The left graph.
    pub left: PathBuf,
    /// The right graph.
    pub right: PathBuf,
    /// The links, if there are any.
    pub links: Option<PathBuf>,
    /// What [`super::read`] will not give back as it was, a line each, for a person.
    pub lost: Vec<String>,
}

/// Writes `<left name>.nt`, `<right name>.nt` and, if there are links, `links.nt` into a folder, each in one step.
///
/// [`super::read`] gives back equal rows but for what [`Exported::lost`] counts: names that differ in angle brackets alone,
/// triples and literals said more than once, edges that mean something else there (`owl:sameAs`, `skos:exactMatch`,
/// `rdf:type rdfs:Resource`), values for an attribute that means a label, empty labels, `xsd:string`, and language tags that
/// are no BCP 47 or not in small letters.
///
/// Names that are no IRI become `urn:humea:` and the name, percent-encoded; angle brackets around a name are dropped.
pub fn export(pair: &GraphPair, folder: &Path) -> Result<Exported, ExportError> {
    std::fs::create_dir_all(folder).map_err(|source| ExportError { path: folder.to_owned(), source })?;
    let mut stems = [&pair.left, &pair.right].map(|graph| stem(&graph.name));
    if stems[0] == stems[1] || stems.iter().any(|stem| stem == "links") {
        stems = ["left".to_owned(), "right".to_owned()];
    }
    let [left, right] = stems.map(|stem| folder.join(format!("{stem}.nt")));
    write(&left, |out| graph(&pair.left, out))?;
    write(&right, |out| graph(&pair.right, out))?;
    let links = links(pair, folder.join("links.nt"))?;
    Ok(Exported { left, right, links, lost: lost::of(pair) })
}

/// Writes the links; without any it removes the file, because a reader refuses an empty one and an old one is of others.
fn links(pair: &GraphPair, path: PathBuf) -> Result<Option<PathBuf>, ExportError> {
    if pair.links.is_empty() {
        return match std::fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(ExportError { path, source }),
            _ => Ok(None),
        };
    }
    write(&path, |out| {
        let [from, to] = [&pair.left, &pair.right].map(|graph| &graph.entities);
        pair.links.iter().try_for_each(|&(left, right)| {
            let (left, right) = (Node::of(&from[left as usize]), Node::of(&to[right as usize]));
            out.serialize_triple(left.same_as(&right))
        })
    })?;
    Ok(Some(path))
}

type Out<'a> = WriterNTriplesSerializer<BufWriter<&'a mut std::fs::File>>;

/// Fills a temporary file beside the path and renames it.
fn write(path: &Path, fill: impl FnOnce(&mut Out<'_>) -> io::Result<()>) -> Result<(), ExportError> {
    let attempt = || {
        let mut file = aside::beside(path)?;
        let mut out = NTriplesSerializer::new().for_writer(BufWriter::new(file.as_file_mut()));
        fill(&mut out)?;
        out.finish().flush()?;
        aside::publish(file, path)
    };
    attempt().map_err(|source| ExportError { path: path.to_owned(), source })
}

/// Entity by entity: its label, its edges, its values; an entity without any of them says at least that it is there.
fn graph(graph: &Graph, out: &mut Out<'_>) -> io::Result<()> {
    let relations: Vec<NamedNode> = graph.relations.iter().map(|name| iri(name)).collect();
    let attributes: Vec<NamedNode> = graph.attributes.iter().map(|name| iri(name)).collect();
    let mut triples = by_row(&graph.triples, |triple| triple.head);
    let mut facts = by_row(&graph.facts, |fact| fact.entity);
    for (row, entity) in graph.entities.iter().enumerate() {
        let node = Node::of(entity);
        let label = graph.labels.get(row).and_then(Option::as_deref).filter(|label| !label.is_empty());
        let (own_triples, own_facts) = (triples.next_row(), facts.next_row());
        if label.is_none() && own_triples.is_empty() && own_facts.is_empty() {
            out.serialize_triple(TripleRef::new(node.subject(), rdf::TYPE, rdfs::RESOURCE))?;
        }
        if let Some(label) = label {
            let label = LiteralRef::new_simple_literal(label);
            out.serialize_triple(TripleRef::new(node.subject(), rdfs::LABEL, label))?;
        }
        for triple in own_triples {
            let tail = Node::of(&graph.entities[triple.tail as usize]);
            out.serialize_triple(TripleRef::new(
                node.subject(),
                relations[triple.relation as usize].as_ref(),
                tail.object(),
            ))?;
        }
        for fact in own_facts {
            let value = literal(graph, fact);
            out.serialize_triple(TripleRef::new(
                node.subject(),
                attributes[fact.attribute as usize].as_ref(),
                value.as_ref(),
            ))?;
        }
    }
    Ok(())
}

/// Items row by row, in their own order within a row, whatever order they come in.
struct ByRow<'a, T> {
    items: Vec<&'a T>,
    row_of: fn(&T) -> u32,
    row: u32,
    next: usize,
}

fn by_row<T>(items: &[T], row_of: fn(&T) -> u32) -> ByRow<'_, T> {
    let mut items: Vec<&T> = items.iter().collect();
    items.sort_by_key(|item| row_of(item));
    ByRow { items, row_of, row: 0, next: 0 }
}

impl<'a, T> ByRow<'a, T> {
    fn next_row(&mut self) -> Vec<&'a T> {
        let rest = &self.items[self.next..];
        let count = rest.iter().take_while(|item| (self.row_of)(item) == self.row).count();
        self.row += 1;
        self.next += count;
        rest[..count].to_vec()
    }
}

fn literal(graph: &Graph, fact: &Fact) -> Literal {
    let tag = |number: u32| &*graph.tags[number as usize];
    // What is no language tag is left out, and counted by `lost`.
    let tagged = fact.lang.and_then(|lang| Literal::new_language_tagged_literal(&*fact.value, tag(lang)).ok());
    tagged.unwrap_or_else(|| match fact.datatype {
        Some(datatype) => Literal::new_typed_literal(&*fact.value, iri(tag(datatype))),
        None => Literal::new_simple_literal(&*fact.value),
    })
}

/// A link between two entities as a line of N-Triples, which names them as [`export`] does.
pub fn same_as(left: &str, right: &str) -> String {
    format!("{} .\n", Node::of(left).same_as(&Node::of(right)))
}

/// An entity as a term.
enum Node<'a> {
    Named(NamedNode),
    Blank(&'a str),
}

impl<'a> Node<'a> {
    fn of(name: &'a str) -> Self {
        blank(name).map_or_else(|| Self::Named(iri(name)), Self::Blank)
    }

    fn subject(&self) -> NamedOrBlankNodeRef<'_> {
        match self {
            Self::Named(node) => node.as_ref().into(),
            Self::Blank(id) => BlankNodeRef::new_unchecked(id).into(),
        }
    }

    fn object(&self) -> TermRef<'_> {
        self.subject().into()
    }

    fn same_as<'n>(&'n self, other: &'n Self) -> TripleRef<'n> {
        TripleRef::new(self.subject(), NamedNodeRef::new_unchecked(SAME[0]), other.object())
    }
}

/// The label of a blank node's name; none of any other name.
pub(super) fn blank(name: &str) -> Option<&str> {
    name.strip_prefix("_:").filter(|label| BlankNodeRef::new(label).is_ok())
}

/// A name as an IRI: itself where it is one, otherwise escaped.
fn iri(name: &str) -> NamedNode {
    let bare = name.strip_prefix('<').and_then(|inner| inner.strip_suffix('>')).unwrap_or(name);
    match NamedNode::new(bare) {
        Ok(node) if !bare.starts_with(ESCAPED) => node,
        _ => NamedNode::new_unchecked(format!("{ESCAPED}{}", escape(bare))),
    }
}

fn escape(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/:@".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// Undoes [`escape`]; none if this is nothing that it makes.
pub(super) fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(byte);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

/// A graph's name as a file name.
fn stem(name: &str) -> String {
    let plain: Cow<'_, str> = name.replace(['/', '\\', '\0'], "_").into();
    if plain.trim_matches('.').is_empty() { "graph".to_owned() } else { plain.into_owned() }
}
