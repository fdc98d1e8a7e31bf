//! The distinct texts of a store, and which relation or entity reads which of them.

use std::ops::Range;

use data_process::pair::{Graph, GraphPair, Side};
use data_process::texts::{Template, attribute_text, relation_text};
use data_process::values;
use indexmap::IndexSet;

/// Texts, each once, in order of first appearance, the left graph's first.
#[derive(Debug, Default)]
pub struct Distinct {
    texts: IndexSet<String>,
    /// How many of them the left graph has.
    left: usize,
}

impl Distinct {
    fn number(&mut self, text: String) -> u32 {
        self.texts.insert_full(text).0 as u32
    }

    /// The texts in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.texts.iter().map(String::as_str)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// The numbers of the texts that the left graph has, and of those that only the right graph has.
    pub fn by_graph(&self) -> [Range<usize>; 2] {
        [0..self.left, self.left..self.texts.len()]
    }
}

/// Everything there is to read in a store. Numbers of texts are positions in the set beside them.
#[derive(Debug)]
pub struct Passages {
    /// The texts of relations.
    pub relations: Distinct,
    /// For each entity, ascending ids, the texts of the relations of its triples: as often as it takes part.
    pub incident: Incidence,
    /// The texts of attributes.
    pub attributes: Distinct,
    /// For each entity, ascending ids, its attribute text, if it has attributes.
    pub own: Vec<Option<u32>>,
}

/// Lists of numbers, one list for each entity.
#[derive(Debug)]
pub struct Incidence {
    offsets: Vec<usize>,
    texts: Vec<u32>,
}

impl Incidence {
    /// From pairs `(entity, text)` in any order; the texts of an entity keep theirs.
    fn new(entities: usize, pairs: impl Iterator<Item = (usize, u32)> + Clone) -> Self {
        let mut offsets = vec![0; entities + 1];
        for (entity, _) in pairs.clone() {
            offsets[entity + 1] += 1;
        }
        for entity in 0..entities {
            offsets[entity + 1] += offsets[entity];
        }
        let mut texts = vec![0; offsets[entities]];
        let mut next = offsets.clone();
        for (entity, text) in pairs {
            texts[next[entity]] = text;
            next[entity] += 1;
        }
        Self { offsets, texts }
    }

    /// The texts of one entity.
    pub fn of(&self, entity: usize) -> &[u32] {
        &self.texts[self.offsets[entity]..self.offsets[entity + 1]]
    }

    /// How many entities there are.
    pub fn entities(&self) -> usize {
        self.offsets.len() - 1
    }
}

impl Passages {
    /// Reads both graphs.
    pub fn of(pair: &GraphPair, template: Template) -> Self {
        let (mut relations, mut attributes) = (Distinct::default(), Distinct::default());
        let mut own = Vec::with_capacity(pair.entities());
        let mut numbers = Vec::new();
        for (graph, side) in [(&pair.left, Side::Left), (&pair.right, Side::Right)] {
            let texts = graph.relations.iter().map(|name| relation_text(name, template));
            numbers.push(texts.map(|text| relations.number(text)).collect::<Vec<_>>());
            for text in attribute_texts(graph, template) {
                own.push(text.map(|text| attributes.number(text)));
            }
            if side == Side::Left {
                (relations.left, attributes.left) = (relations.len(), attributes.len());
            }
        }
        let starts = [0, pair.left.entities.len()];
        let sides = [&pair.left, &pair.right].into_iter().zip(&numbers).zip(starts);
        let pairs = sides.flat_map(|((graph, numbers), start)| mentions(graph, numbers, start));
        Self { incident: Incidence::new(pair.entities(), pairs), relations, attributes, own }
    }
}

/// `(entity id, text)` for both ends of each triple; once where both are the same entity.
fn mentions(graph: &Graph, numbers: &[u32], start: usize) -> impl Iterator<Item = (usize, u32)> + Clone {
    graph.triples.iter().flat_map(move |triple| {
        let text = numbers[triple.relation as usize];
        let tail = (triple.tail != triple.head).then_some((start + triple.tail as usize, text));
        std::iter::once((start + triple.head as usize, text)).chain(tail)
    })
}

/// The attribute text of each entity of a graph.
fn attribute_texts(graph: &Graph, template: Template) -> Vec<Option<String>> {
    let facts = (0..graph.facts.len()).map(|number| (graph.facts[number].entity as usize, number as u32));
    let by_entity = Incidence::new(graph.entities.len(), facts);
    let typed = values::typed(graph).values;
    let read = |&number: &u32| {
        let fact = &graph.facts[number as usize];
        let name = graph.attributes.get_index(fact.attribute as usize).map_or("", |name| &**name);
        (name, &*fact.value, typed[number as usize])
    };
    (0..graph.entities.len()).map(|entity| attribute_text(by_entity.of(entity).iter().map(read), template)).collect()
}

#[cfg(test)]
mod tests {

    use data_process::pair::{Fact, Triple};

    use super::*;

    fn graph(entities: &[&str], relations: &[&str], triples: &[[u32; 3]], facts: &[(u32, &str)]) -> Graph {
        let mut graph = Graph {
            entities: entities.iter().map(|&name| name.into()).collect(),
            relations: relations.iter().map(|&name| name.into()).collect(),
            triples: triples.iter().map(|&[head, relation, tail]| Triple { head, relation, tail }).collect(),
            ..Graph::default()
        };
        for &(entity, name) in facts {
            let attribute = graph.attributes.insert_full(name.into()).0 as u32;
            graph.facts.push(Fact { entity, attribute, value: "1".into(), datatype: None, lang: None });
        }
        graph
    }

    #[test]
    fn every_text_is_kept_once_and_every_mention_counted() {
        let pair = GraphPair {
            left: graph(&["a", "b"], &["knows", "likes"], &[[0, 0, 1], [0, 1, 0], [0, 0, 1]], &[(1, "age")]),
            right: graph(&["c", "d"], &["likes"], &[[1, 0, 0]], &[(0, "age"), (0, "height"), (1, "age")]),
            links: Vec::new(),
        };
        let passages = Passages::of(&pair, Template::Published);
        assert_eq!(passages.relations.iter().collect::<Vec<_>>(), ["knows", "likes"]);
        let incident: Vec<&[u32]> = (0..4).map(|entity| passages.incident.of(entity)).collect();
        assert_eq!(incident, [&[0, 1, 0][..], &[0, 0], &[1], &[1]], "a self-loop counts once");
        assert_eq!(passages.relations.by_graph(), [0..2, 2..2]);
        assert_eq!(passages.attributes.by_graph(), [0..1, 1..2]);
        assert_eq!(passages.own, [None, Some(0), Some(1), Some(0)]);
    }

    #[test]
    fn values_are_read_among_those_of_their_attribute() {
        let mut left = graph(&["a", "b"], &[], &[], &[(0, "dateFounded"), (1, "dateFounded")]);
        for (fact, year) in left.facts.iter_mut().zip(["1949.0", "1950.0"]) {
            fact.value = year.into();
        }
        let passages = Passages::of(&GraphPair { left, ..GraphPair::default() }, Template::Sentence);
        assert_eq!(passages.attributes.iter().collect::<Vec<_>>(), ["date founded: 1949", "date founded: 1950"]);
    }
}
