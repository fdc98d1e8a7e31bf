//! A graph while its files are being read: names become numbers, and what was said before is not stored again unless asked
//! for.

use std::path::Path;

use indexmap::IndexSet;
use rustc_hash::{FxBuildHasher, FxHashMap};

use super::SourceError;
use super::lines::Outcome;
use super::literal::Literal;
use crate::pair::{Fact, Graph, Names, Triple, number};

/// Distinct things in the order in which they first came.
pub(super) type Set<T> = IndexSet<T, FxBuildHasher>;

/// Links between two graphs while they are being read: `(left entity, right entity)`.
pub(super) type Links = Set<(u32, u32)>;

/// Attributes that say what an entity is called; OpenEA's files of YAGO write them short.
const NAMES: [&str; 6] = [
    "http://www.w3.org/2000/01/rdf-schema#label",
    "http://www.w3.org/2004/02/skos/core#prefLabel",
    "http://xmlns.com/foaf/0.1/name",
    "rdfs:label",
    "skos:prefLabel",
    "foaf:name",
];

/// Whether an attribute says what an entity is called.
pub(super) fn is_name(attribute: &str) -> bool {
    let bare = attribute.strip_prefix('<').and_then(|inner| inner.strip_suffix('>'));
    NAMES.contains(&bare.unwrap_or(attribute))
}

/// A graph that still grows. Entities are numbered in order of appearance until [`Self::sorted`] or [`Self::in_order`].
#[derive(Debug, Default)]
pub(super) struct Growing {
    name: String,
    entities: Names,
    relations: Names,
    triples: Set<Triple>,
    attributes: Names,
    facts: Set<Fact>,
    tags: Names,
    /// The first name of each entity that has one.
    labels: FxHashMap<u32, Box<str>>,
    /// Whether names are values, too.
    use_labels: bool,
    /// What was said before and is kept all the same; none if it is not.
    repeats: Option<(Vec<Triple>, Vec<Fact>)>,
}

impl Growing {
    /// An empty graph.
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// A graph whose entities are all known beforehand.
    pub(super) fn with_entities(name: &str, entities: Names) -> Self {
        Self { name: name.to_owned(), entities, ..Self::default() }
    }

    /// The same graph, keeping edges and literals as often as they are said.
    pub(super) fn keeping_repeats(self) -> Self {
        Self { repeats: Some(<_>::default()), ..self }
    }

    /// The same graph, keeping names as values, too, if asked to.
    pub(super) fn using_labels(self, use_labels: bool) -> Self {
        Self { use_labels, ..self }
    }

    /// The number of an entity already seen.
    pub(super) fn find(&self, uri: &str) -> Option<u32> {
        self.entities.get_index_of(uri).map(|number| number as u32)
    }

    /// The entity's number; an unseen one gets the next.
    pub(super) fn entity(&mut self, uri: &str) -> u32 {
        number(&mut self.entities, uri)
    }

    /// Adds an edge between two entities by their names.
    pub(super) fn triple(&mut self, head: &str, relation: &str, tail: &str) -> Outcome {
        let (head, tail) = (self.entity(head), self.entity(tail));
        self.edge(head, relation, tail)
    }

    /// Adds an edge between two entities by their numbers.
    pub(super) fn edge(&mut self, head: u32, relation: &str, tail: u32) -> Outcome {
        let relation = number(&mut self.relations, relation);
        let triple = Triple { head, relation, tail };
        let new = self.triples.insert(triple);
        if let Some((triples, _)) = self.repeats.as_mut().filter(|_| !new) {
            triples.push(triple);
        }
        kept(new)
    }

    /// Adds a literal of an entity. One that says what the entity is called becomes its label, if it is the first, and a
    /// value only if asked for: names give the answer away.
    pub(super) fn value(&mut self, entity: u32, attribute: &str, literal: Literal<'_>) -> Outcome {
        // An empty name names nothing: it is the trace of a source that has attributes without values.
        if is_name(attribute) && !literal.value.is_empty() {
            self.labels.entry(entity).or_insert_with(|| literal.value.into());
            if !self.use_labels {
                return Outcome::Kept;
            }
        }
        self.fact(entity, attribute, literal)
    }

    /// Adds a literal of an entity, whatever it says.
    pub(super) fn fact(&mut self, entity: u32, attribute: &str, literal: Literal<'_>) -> Outcome {
        let attribute = number(&mut self.attributes, attribute);
        let datatype = literal.datatype.map(|tag| number(&mut self.tags, tag));
        let lang = literal.lang.map(|tag| number(&mut self.tags, tag));
        let fact = Fact { entity, attribute, value: literal.value.into(), datatype, lang };
        let Some(earlier) = self.facts.replace(fact) else { return Outcome::Kept };
        if let Some((_, facts)) = &mut self.repeats {
            facts.push(earlier);
        }
        Outcome::Repeated
    }

    /// The graph with its entities in the byte order of their identifiers, so that nothing about the order of the
    /// source's lines reaches an id, a feature or a tie-break.
    pub(super) fn sorted(self) -> Result<Graph, SourceError> {
        let mut graph = self.in_order()?;
        let mut order: Vec<u32> = (0..graph.entities.len() as u32).collect();
        order.sort_unstable_by(|&a, &b| graph.entities[a as usize].cmp(&graph.entities[b as usize]));
        let mut rank = vec![0; order.len()];
        for (new, &old) in order.iter().enumerate() {
            rank[old as usize] = new as u32;
        }
        for triple in &mut graph.triples {
            triple.head = rank[triple.head as usize];
            triple.tail = rank[triple.tail as usize];
        }
        for fact in &mut graph.facts {
            fact.entity = rank[fact.entity as usize];
        }
        if !graph.labels.is_empty() {
            graph.labels = order.iter().map(|&old| graph.labels[old as usize].take()).collect();
        }
        graph.entities.sort_unstable();
        Ok(graph)
    }

    /// The graph with its entities in the order in which they were added.
    pub(super) fn in_order(self) -> Result<Graph, SourceError> {
        fits(&self.name, "entities", self.entities.len())?;
        let (triples, facts) = self.repeats.unwrap_or_default();
        fits(&self.name, "triples", self.triples.len() + triples.len())?;
        Ok(Graph {
            name: self.name,
            labels: slots(self.entities.len(), self.labels),
            entities: self.entities,
            relations: self.relations,
            triples: self.triples.into_iter().chain(triples).collect(),
            attributes: self.attributes,
            facts: self.facts.into_iter().chain(facts).collect(),
            tags: self.tags,
        })
    }
}

/// One slot per entity, or none at all if no entity has a label.
fn slots(entities: usize, labels: FxHashMap<u32, Box<str>>) -> Vec<Option<Box<str>>> {
    let mut slots = if labels.is_empty() { Vec::new() } else { vec![None; entities] };
    for (entity, label) in labels {
        slots[entity as usize] = Some(label);
    }
    slots
}

/// Whether something was new.
pub(super) fn kept(new: bool) -> Outcome {
    if new { Outcome::Kept } else { Outcome::Repeated }
}

/// The number of an entity that must be known, or an error that names the file and line that ask for it.
pub(super) fn known(graph: &Graph, uri: &str, path: &Path, line: u64) -> Result<u32, SourceError> {
    graph.entities.get_index_of(uri).map(|number| number as u32).ok_or_else(|| SourceError::UnknownEntity {
        path: path.to_owned(),
        line,
        graph: graph.name.clone(),
        entity: uri.to_owned(),
    })
}

fn fits(graph: &str, what: &'static str, count: usize) -> Result<(), SourceError> {
    match u32::try_from(count) {
        Ok(_) => Ok(()),
        Err(_) => Err(SourceError::TooMany { graph: graph.to_owned(), what, limit: u32::MAX }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorting_moves_every_reference_with_its_entity() {
        let mut growing = Growing::new("G");
        assert_eq!(growing.triple("zebra", "eats", "apple"), Outcome::Kept);
        assert_eq!(growing.triple("zebra", "eats", "apple"), Outcome::Repeated);
        let zebra = growing.entity("zebra");
        growing.fact(zebra, "height", Literal::plain("1.3"));
        let graph = growing.sorted().unwrap();
        assert_eq!(graph.entities.iter().map(|uri| &**uri).collect::<Vec<_>>(), ["apple", "zebra"]);
        assert_eq!(graph.triples, [Triple { head: 1, relation: 0, tail: 0 }]);
        assert_eq!(graph.facts[0].entity, 1);
    }

    #[test]
    fn the_first_name_is_the_label_and_a_value_only_if_asked_for() {
        for (use_labels, values) in [(false, 1), (true, 3)] {
            let mut growing = Growing::new("G").using_labels(use_labels);
            growing.triple("b", "r", "a");
            for (attribute, value) in [("<http://xmlns.com/foaf/0.1/name>", "B"), ("skos:prefLabel", "Bee"), ("n", "1")]
            {
                assert_eq!(growing.value(0, attribute, Literal::plain(value)), Outcome::Kept);
            }
            let graph = growing.sorted().unwrap();
            assert_eq!((graph.labels, graph.facts.len()), (vec![None, Some("B".into())], values));
        }
    }

    #[test]
    fn repeats_are_kept_where_asked_for() {
        let mut growing = Growing::new("G").keeping_repeats();
        for _ in 0..2 {
            growing.triple("a", "r", "b");
            growing.fact(0, "height", Literal::plain(""));
        }
        assert_eq!(growing.triple("a", "r", "b"), Outcome::Repeated);
        let graph = growing.in_order().unwrap();
        assert_eq!((graph.triples.len(), graph.facts.len()), (3, 2));
    }

    #[test]
    fn the_order_of_lines_never_reaches_an_entity_number() {
        let lines = [("a", "b"), ("c", "a"), ("b", "c")];
        let read = |order: &[usize]| {
            let mut growing = Growing::new("G");
            for &line in order {
                growing.triple(lines[line].0, "r", lines[line].1);
            }
            growing.sorted().unwrap().entities
        };
        assert_eq!(read(&[0, 1, 2]).as_slice(), read(&[2, 1, 0]).as_slice());
    }

    #[test]
    fn more_than_32_bits_of_entities_are_refused() {
        assert!(fits("G", "entities", u32::MAX as usize).is_ok());
        let error = fits("G", "entities", u32::MAX as usize + 1).unwrap_err();
        assert!(matches!(error, SourceError::TooMany { what: "entities", .. }), "{error}");
    }
}
