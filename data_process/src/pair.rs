//! Two knowledge graphs and the links between them, in memory: what every source parser returns, what
//! [`crate::store::write`] takes and what [`crate::store::Store::pair`] gives back.

use indexmap::IndexSet;
use rustc_hash::FxBuildHasher;

/// Distinct names in order of first appearance; a name's number is its position.
pub type Names = IndexSet<Box<str>, FxBuildHasher>;

/// The number of a name; an unseen one gets the next.
pub(crate) fn number(names: &mut Names, name: &str) -> u32 {
    // Looked up first, because inserting needs a copy of the name.
    names.get_index_of(name).unwrap_or_else(|| names.insert_full(name.into()).0) as u32
}

/// Which of the two graphs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Side {
    /// The left graph; its entities come first in a store.
    Left = 0,
    /// The right graph.
    Right = 1,
}

/// A directed, labelled edge; all three are numbers within the triple's own graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Triple {
    /// Number of the entity the edge leaves.
    pub head: u32,
    /// Number of the relation in [`Graph::relations`].
    pub relation: u32,
    /// Number of the entity the edge reaches.
    pub tail: u32,
}

/// A literal of an entity, as read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fact {
    /// Number of the entity within its graph.
    pub entity: u32,
    /// Number of the attribute in [`Graph::attributes`].
    pub attribute: u32,
    /// The literal's text; empty where the source gives names only.
    pub value: Box<str>,
    /// Number of the datatype in [`Graph::tags`].
    pub datatype: Option<u32>,
    /// Number of the language tag in [`Graph::tags`].
    pub lang: Option<u32>,
}

/// One knowledge graph.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    /// The graph's name, such as `FB15K`.
    pub name: String,
    /// The identifiers of its entities, as in the source.
    pub entities: Names,
    /// Human-readable names: empty, or one slot per entity. Never a feature unless asked for.
    pub labels: Vec<Option<Box<str>>>,
    /// Relation identifiers, in order of first appearance in the source.
    pub relations: Names,
    /// Edges in source order; most sources drop repeated ones.
    pub triples: Vec<Triple>,
    /// Attribute identifiers, in order of first appearance in the source.
    pub attributes: Names,
    /// Literals in source order.
    pub facts: Vec<Fact>,
    /// Datatypes and language tags used by the facts.
    pub tags: Names,
}

/// Two graphs and the known links between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GraphPair {
    /// The left graph.
    pub left: Graph,
    /// The right graph.
    pub right: Graph,
    /// Known counterparts `(left entity, right entity)`, numbers within their graphs, in source order.
    pub links: Vec<(u32, u32)>,
}

impl GraphPair {
    /// Entities of both graphs together.
    pub fn entities(&self) -> usize {
        self.left.entities.len() + self.right.entities.len()
    }

    /// The graph on one side.
    pub fn graph(&self, side: Side) -> &Graph {
        match side {
            Side::Left => &self.left,
            Side::Right => &self.right,
        }
    }
}
