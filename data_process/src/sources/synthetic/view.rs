//! One graph's view of the hidden world.

use rayon::prelude::*;

use super::dice::{Dice, Purpose};
use super::hidden::Hidden;
use super::notation;
use crate::pair::{self, Fact, Graph, Side, Triple};

/// Entities that one thread describes at a time.
const CHUNK: usize = 4096;

/// Chunks that are described before they are put together.
const TURN: usize = 64;

/// No such entity in this graph.
const ABSENT: u32 = u32::MAX;

/// Which entities a graph has and in which order.
#[derive(Debug)]
pub(super) struct View<'a> {
    hidden: &'a Hidden<'a>,
    side: Side,
    /// The random identifiers, ascending, and the entities of the world they stand for.
    pub(super) rows: Vec<(u64, u32)>,
    /// The row of each entity of the world, or [`ABSENT`].
    row_of: Vec<u32>,
}

/// A literal before its names have numbers.
type Literal = (u32, u32, Box<str>, Option<&'static str>);

impl<'a> View<'a> {
    pub(super) fn new(hidden: &'a Hidden<'a>, side: Side) -> Self {
        let purpose = [Purpose::LeftKey, Purpose::RightKey][side as usize];
        let key = Dice::new(hidden.knobs.seed, purpose, 0).bits();
        let mut rows: Vec<(u64, u32)> = hidden.members(side).map(|entity| (scramble(key, entity), entity)).collect();
        rows.par_sort_unstable();
        let mut row_of = vec![ABSENT; hidden.count()];
        for (row, &(_, entity)) in rows.iter().enumerate() {
            row_of[entity as usize] = row as u32;
        }
        Self { hidden, side, rows, row_of }
    }

    /// The graph, its entities in the order of their identifiers.
    pub(super) fn graph(&self) -> Graph {
        let mut graph =
            Graph { name: ["left world", "right world"][self.side as usize].to_owned(), ..Graph::default() };
        graph.entities = self.rows.iter().map(|&(id, _)| self.uri(id).into_boxed_str()).collect();
        self.each_chunk(Self::triples, |triples| graph.triples.extend(triples));
        self.name_relations(&mut graph);
        self.each_chunk(Self::literals, |literals| {
            for literal in literals {
                self.name_fact(&mut graph, literal);
            }
        });
        graph
    }

    /// The links to another view, in the order of this one's rows.
    pub(super) fn links_to(&self, other: &Self) -> Vec<(u32, u32)> {
        let to = |&(_, entity): &(u64, u32)| Some(other.row_of[entity as usize]).filter(|&row| row != ABSENT);
        self.rows.iter().enumerate().filter_map(|(row, entity)| Some((row as u32, to(entity)?))).collect()
    }

    fn uri(&self, id: u64) -> String {
        match self.side {
            Side::Left => format!("/m/{id:016x}"),
            Side::Right => format!("http://example.org/resource/Q{id:016x}"),
        }
    }

    /// Makes something of all rows on all threads, and takes it in order; only what a few chunks give waits for its turn.
    fn each_chunk<T: Send>(
        &self,
        make: impl Fn(&Self, usize, &[(u64, u32)]) -> Vec<T> + Sync,
        mut take: impl FnMut(Vec<T>),
    ) {
        for (turn, rows) in self.rows.chunks(CHUNK * TURN).enumerate() {
            let first = |chunk: usize| (turn * TURN + chunk) * CHUNK;
            let made: Vec<Vec<T>> =
                rows.par_chunks(CHUNK).enumerate().map(|(chunk, rows)| make(self, first(chunk), rows)).collect();
            made.into_iter().for_each(&mut take);
        }
    }

    /// The triples this graph knows of some rows, with the world's relation numbers.
    fn triples(&self, first: usize, rows: &[(u64, u32)]) -> Vec<Triple> {
        let knobs = self.hidden.knobs;
        let purpose = [Purpose::LeftEdges, Purpose::RightEdges][self.side as usize];
        let mut triples = Vec::with_capacity(rows.len() * (knobs.degree as usize + 1));
        for (offset, &(_, entity)) in rows.iter().enumerate() {
            let begin = triples.len();
            let mut dice = Dice::new(knobs.seed, purpose, u64::from(entity));
            let head = (first + offset) as u32;
            for edge in self.hidden.edges(entity) {
                let kept = dice.chance(knobs.kept_triples);
                let wrong = dice.chance(knobs.wrong_triples).then(|| dice.below(self.rows.len()) as u32);
                let tail = wrong.unwrap_or(self.row_of[edge.tail as usize]);
                let named = self.hidden.ontology.relations[edge.relation as usize].names[self.side as usize].is_some();
                if kept && named && tail != ABSENT {
                    triples.push(Triple { head, relation: edge.relation, tail });
                }
            }
            triples[begin..].sort_unstable();
            dedup_from(&mut triples, begin);
        }
        triples
    }

    /// Gives the graph's relations their names, numbered by first appearance. Two relations may share a name.
    fn name_relations(&self, graph: &mut Graph) {
        let mut number = vec![None; self.hidden.ontology.relations.len()];
        for triple in &mut graph.triples {
            let name = &self.hidden.ontology.relations[triple.relation as usize].names[self.side as usize];
            triple.relation = *number[triple.relation as usize]
                .get_or_insert_with(|| pair::number(&mut graph.relations, name.as_deref().unwrap_or_default()));
        }
    }

    /// What this graph knows of the values of some rows.
    fn literals(&self, first: usize, rows: &[(u64, u32)]) -> Vec<Literal> {
        let mut literals = Vec::with_capacity(rows.len() * 4);
        for (offset, &(_, entity)) in rows.iter().enumerate() {
            self.describe((first + offset) as u32, entity, &mut literals);
        }
        literals
    }

    fn describe(&self, row: u32, entity: u32, literals: &mut Vec<Literal>) {
        let knobs = self.hidden.knobs;
        let purpose = [Purpose::LeftValues, Purpose::RightValues][self.side as usize];
        let mut world = Dice::new(knobs.seed, Purpose::Values, u64::from(entity));
        let mut own = Dice::new(knobs.seed, purpose, u64::from(entity));
        for &number in &self.hidden.attributes_of[self.hidden.types[entity as usize] as usize] {
            let attribute = &self.hidden.ontology.attributes[number as usize];
            let bits = world.bits();
            let kept = own.chance(knobs.kept_facts);
            let bits = if own.chance(knobs.wrong_facts) { own.bits() } else { bits };
            let (value, datatype) = notation::write(attribute.measure, bits, self.side, &mut own);
            if kept && attribute.names[self.side as usize].is_some() {
                literals.push((row, number, value.into_boxed_str(), datatype));
            }
        }
    }

    fn name_fact(&self, graph: &mut Graph, (entity, number, value, datatype): Literal) {
        let name = &self.hidden.ontology.attributes[number as usize].names[self.side as usize];
        let attribute = pair::number(&mut graph.attributes, name.as_deref().unwrap_or_default());
        let datatype = datatype.map(|tag| pair::number(&mut graph.tags, tag));
        graph.facts.push(Fact { entity, attribute, value, datatype, lang: None });
    }
}

/// Drops repeated items from `begin` on, which are sorted.
fn dedup_from(triples: &mut Vec<Triple>, begin: usize) {
    let mut kept = begin;
    for next in begin..triples.len() {
        if next == begin || triples[next] != triples[kept - 1] {
            triples[kept] = triples[next];
            kept += 1;
        }
    }
    triples.truncate(kept);
}

/// A bijection of 64 bits (the finaliser of SplitMix64) under a key: identifiers that are distinct and say nothing.
fn scramble(key: u64, entity: u32) -> u64 {
    let mut bits = key.wrapping_add(u64::from(entity).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}
