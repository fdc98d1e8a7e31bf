//! Two knowledge graphs grown from one hidden world, for demos, tests and measurements of any size.
//!
//! ```text
//!   hidden world ── entities with a type, a state, edges and values
//!      │  each graph sees its own part, in its own words, units and notation, with its own gaps and mistakes
//!      ├──► left graph  ─┐
//!      └──► right graph ─┴─► links: the entities that both graphs have
//! ```
//!
//! No single modality tells which entities belong together: names of relations and attributes agree only partly, values are
//! rounded, converted, missing or wrong, images are noisy, and triples are missing on either side. Identifiers say nothing:
//! they are drawn independently for each graph, and rows follow the identifiers.
//!
//! The same knobs give the same bytes on any machine: every entity draws from a ChaCha8 stream of its own, so the number of
//! threads does not matter, and only operations that IEEE 754 fixes to the last bit are used (no `ln`, `exp` or `sin`).

mod dice;
mod hidden;
mod images;
mod notation;
mod ontology;
mod view;

use serde::{Deserialize, Serialize};

use crate::event::{Event, Observer};
use crate::fault::{Fault, Kind};
use crate::pair::{GraphPair, Side};
use hidden::Hidden;
use view::View;

pub use images::Images;

/// Everything that can be turned about the world. Shares are between 0 and 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Knobs {
    /// Entities in each graph, 100 to 10 million.
    pub entities: usize,
    /// The seed of every choice.
    pub seed: u64,
    /// Share of each graph's entities that the other graph does not have.
    pub unlinked: f64,
    /// Different relations of the world.
    pub relations: usize,
    /// Different attributes of the world.
    pub attributes: usize,
    /// Mean number of triples an entity of the world begins; the number follows a power law.
    pub degree: f64,
    /// Share of the world's triples that a graph knows, each graph independently.
    pub kept_triples: f64,
    /// Share of a graph's triples that end at a wrong entity.
    pub wrong_triples: f64,
    /// Share of the world's values that a graph knows, each graph independently.
    pub kept_facts: f64,
    /// Share of a graph's values that are wrong.
    pub wrong_facts: f64,
    /// Share of the relations and attributes whose names have words in common.
    pub named_alike: f64,
    /// Share of the relations and attributes that only one of the graphs uses.
    pub one_sided: f64,
    /// Floats of an image vector; 0 leaves images out.
    pub image_width: usize,
    /// Share of each graph's entities without an image.
    pub image_missing: f64,
    /// Standard deviation of the noise on an image, beside a signal of standard deviation 1.
    pub image_noise: f64,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            entities: 1500,
            seed: 42,
            unlinked: 0.1,
            relations: 48,
            attributes: 56,
            degree: 6.0,
            kept_triples: 0.8,
            wrong_triples: 0.02,
            kept_facts: 0.55,
            wrong_facts: 0.03,
            named_alike: 0.8,
            one_sided: 0.1,
            image_width: 64,
            image_missing: 0.12,
            image_noise: 0.45,
        }
    }
}

/// A knob stands where it cannot.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{knob} is {value}; it must be {range}")]
pub struct KnobError {
    /// The knob's name.
    pub knob: &'static str,
    /// Its value.
    pub value: f64,
    /// What it may be.
    pub range: &'static str,
}

impl Fault for KnobError {
    fn kind(&self) -> Kind {
        Kind::Configuration
    }
}

impl Knobs {
    /// Checks every knob.
    pub fn check(&self) -> Result<(), KnobError> {
        let whole = |knob, value: usize, least: usize, most: usize, range| {
            let fits = (least..=most).contains(&value);
            if fits { Ok(()) } else { Err(KnobError { knob, value: value as f64, range }) }
        };
        whole("entities", self.entities, 100, 10_000_000, "from 100 to 10,000,000")?;
        whole("relations", self.relations, 1, 10_000, "from 1 to 10,000")?;
        whole("attributes", self.attributes, 0, 10_000, "from 0 to 10,000")?;
        whole("image_width", self.image_width, 0, 65_536, "from 0 to 65,536")?;
        for (knob, value) in self.shares() {
            if !(0.0..=1.0).contains(&value) {
                return Err(KnobError { knob, value, range: "a share from 0 to 1" });
            }
        }
        for (knob, value) in [("degree", self.degree), ("image_noise", self.image_noise)] {
            if !(0.0..=1000.0).contains(&value) {
                return Err(KnobError { knob, value, range: "from 0 to 1000" });
            }
        }
        Ok(())
    }

    fn shares(&self) -> [(&'static str, f64); 8] {
        [
            ("unlinked", self.unlinked),
            ("kept_triples", self.kept_triples),
            ("wrong_triples", self.wrong_triples),
            ("kept_facts", self.kept_facts),
            ("wrong_facts", self.wrong_facts),
            ("named_alike", self.named_alike),
            ("one_sided", self.one_sided),
            ("image_missing", self.image_missing),
        ]
    }
}

/// The two graphs, and the images of those entities that have one.
#[derive(Clone, Debug, PartialEq)]
pub struct World {
    /// The graphs and their links.
    pub pair: GraphPair,
    /// The image vectors, made as they are written; without rows if there are none.
    pub image: Images,
}

/// Grows a world.
pub fn generate(knobs: &Knobs, observer: &dyn Observer) -> Result<World, KnobError> {
    knobs.check()?;
    observer.on(Event::Started { task: "growing two graphs", total: Some(5), unit: crate::event::Unit::Items });
    let step = || observer.on(Event::Advanced(1));
    let hidden = Hidden::new(knobs);
    step();
    let [left_view, right_view] = [Side::Left, Side::Right].map(|side| View::new(&hidden, side));
    step();
    let [left, right] = [&left_view, &right_view].map(|view| {
        let graph = view.graph();
        step();
        graph
    });
    let image = Images::new(&hidden, [&left_view, &right_view]);
    step();
    let links = left_view.links_to(&right_view);
    observer.on(Event::Finished);
    Ok(World { pair: GraphPair { left, right, links }, image })
}

#[cfg(test)]
mod tests;
