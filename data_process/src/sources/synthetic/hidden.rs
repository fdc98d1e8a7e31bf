//! The hidden world: which entities there are, of which type, and how they hang together.

use super::Knobs;
use super::dice::{Dice, Purpose};
use super::ontology::{Ontology, TYPES};
use crate::pair::Side;

/// Numbers that describe an entity's looks.
pub(super) const STATE: usize = 16;

/// Share of an entity's tails that are drawn by popularity; the others are drawn evenly.
const BY_POPULARITY: f64 = 0.4;

/// The world that both graphs describe. Entities are numbers: first those that both graphs have, then those of the left
/// graph alone, then those of the right one alone.
#[derive(Debug)]
pub(super) struct Hidden<'a> {
    pub(super) knobs: &'a Knobs,
    pub(super) ontology: Ontology,
    /// Entities that both graphs have.
    pub(super) shared: usize,
    /// The type of each entity.
    pub(super) types: Vec<u8>,
    /// The entities of each type, the most popular first.
    popular: Vec<Vec<u32>>,
    /// The relations of each type.
    relations_of: Vec<Vec<u32>>,
    /// The attributes of each type.
    pub(super) attributes_of: Vec<Vec<u32>>,
}

/// An edge of the world.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    pub(super) relation: u32,
    pub(super) tail: u32,
}

impl<'a> Hidden<'a> {
    pub(super) fn new(knobs: &'a Knobs) -> Self {
        let ontology = Ontology::new(knobs);
        let shared = (knobs.entities as f64 * (1.0 - knobs.unlinked)).round() as usize;
        let count = 2 * knobs.entities - shared;
        let mut dice = Dice::new(knobs.seed, Purpose::Kinds, 0);
        let types: Vec<u8> = (0..count).map(|_| dice.below(TYPES.len()) as u8).collect();
        let popular = popular(&types, knobs.seed);
        let relations_of = by_domain(ontology.relations.iter().map(|relation| relation.domain));
        let attributes_of = by_domain(ontology.attributes.iter().map(|attribute| attribute.domain));
        Self { knobs, ontology, shared, types, popular, relations_of, attributes_of }
    }

    /// Entities of the world.
    pub(super) fn count(&self) -> usize {
        self.types.len()
    }

    /// The entities one graph has.
    pub(super) fn members(&self, side: Side) -> impl Iterator<Item = u32> {
        let own = match side {
            Side::Left => self.shared..self.knobs.entities,
            Side::Right => self.knobs.entities..self.count(),
        };
        (0..self.shared).chain(own).map(|entity| entity as u32)
    }

    /// The edges that begin at an entity; the same whenever asked.
    pub(super) fn edges(&self, entity: u32) -> impl Iterator<Item = Edge> {
        let mut dice = Dice::new(self.knobs.seed, Purpose::Edges, u64::from(entity));
        let relations = &self.relations_of[self.types[entity as usize] as usize];
        let degree = if relations.is_empty() { 0 } else { self.degree(&mut dice) };
        (0..degree).filter_map(move |_| {
            let often = dice.unit();
            let relation = relations[(often * often * relations.len() as f64) as usize];
            let range = self.ontology.relations[relation as usize].range;
            let tail = self.tail(range, &mut dice)?;
            (tail != entity).then_some(Edge { relation, tail })
        })
    }

    /// A degree whose tail falls with the cube: half the mean over the square root of chance.
    fn degree(&self, dice: &mut Dice) -> usize {
        let chance = dice.unit().max(1e-12);
        let most = (self.knobs.entities as f64 / 10.0).min(2000.0);
        (self.knobs.degree / 2.0 / chance.sqrt() + dice.unit()).min(most) as usize
    }

    fn tail(&self, range: usize, dice: &mut Dice) -> Option<u32> {
        let candidates = &self.popular[range];
        let by_popularity = dice.chance(BY_POPULARITY);
        let place = dice.unit();
        let place = if by_popularity { place * place * place } else { place };
        candidates.get((place * candidates.len() as f64) as usize).copied()
    }
}

/// What an entity of a type looks like: in part like its type, in part like itself.
pub(super) fn state(seed: u64, kind: u8, entity: u32) -> [f64; STATE] {
    let mut of_type = Dice::new(seed, Purpose::State, u64::from(kind) | 1 << 40);
    let mut own = Dice::new(seed, Purpose::State, u64::from(entity));
    std::array::from_fn(|_| 0.5 * of_type.normal() + 0.866 * own.normal())
}

fn popular(types: &[u8], seed: u64) -> Vec<Vec<u32>> {
    let mut popular = vec![Vec::new(); TYPES.len()];
    for (entity, &kind) in types.iter().enumerate() {
        popular[kind as usize].push(entity as u32);
    }
    for (kind, entities) in popular.iter_mut().enumerate() {
        let mut dice = Dice::new(seed, Purpose::Popularity, kind as u64);
        for last in (1..entities.len()).rev() {
            entities.swap(last, dice.below(last + 1));
        }
    }
    popular
}

fn by_domain(domains: impl Iterator<Item = usize>) -> Vec<Vec<u32>> {
    let mut of = vec![Vec::new(); TYPES.len()];
    for (number, domain) in domains.enumerate() {
        of[domain].push(number as u32);
    }
    of
}
