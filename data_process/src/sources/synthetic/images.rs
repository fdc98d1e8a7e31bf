//! Images: noisy linear views of an entity's hidden state, made when they are asked for.

use std::borrow::Cow;
use std::ops::Range;

use rayon::prelude::*;

use super::dice::{Dice, Purpose};
use super::hidden::{Hidden, STATE, state};
use super::view::View;
use crate::store::{Column, Provenance};

/// The image vectors of both graphs: the column `image` of a store.
#[derive(Clone, Debug, PartialEq)]
pub struct Images {
    seed: u64,
    blur: f64,
    /// The projection from states to images, one row per float.
    lens: Vec<[f64; STATE]>,
    /// Entities of the left graph.
    left: usize,
    /// The store ids that have an image (left graph first), ascending.
    rows: Vec<u32>,
    /// The entity of the world on each, and its type.
    shown: Vec<(u32, u8)>,
    provenance: Provenance,
}

impl Images {
    /// Decides which entities have a picture.
    pub(super) fn new(hidden: &Hidden<'_>, views: [&View<'_>; 2]) -> Self {
        let knobs = hidden.knobs;
        let mut images = Self {
            seed: knobs.seed,
            blur: knobs.image_noise,
            lens: lens(knobs.seed, knobs.image_width),
            left: views[0].rows.len(),
            rows: Vec::new(),
            shown: Vec::new(),
            provenance: Provenance { source: "humea prep synthetic".to_owned(), ..Provenance::default() },
        };
        if knobs.image_width == 0 {
            return images;
        }
        let entities = views[0].rows.par_iter().chain(&views[1].rows).enumerate();
        (images.rows, images.shown) = entities
            .map(|(id, &(_, entity))| (id as u32, (entity, hidden.types[entity as usize])))
            .filter(|&(id, (entity, _))| !images.dice(id, u64::from(entity)).chance(knobs.image_missing))
            .unzip();
        images
    }

    fn dice(&self, id: u32, thing: u64) -> Dice {
        let purpose = if (id as usize) < self.left { Purpose::LeftImage } else { Purpose::RightImage };
        Dice::new(self.seed, purpose, thing)
    }

    fn take(&self, at: usize, vector: &mut [f32]) {
        let (entity, kind) = self.shown[at];
        // The thing is offset so that the noise does not repeat the draw that decided whether there is a picture.
        let mut noise = self.dice(self.rows[at], u64::from(entity) | 1 << 40);
        picture(&self.lens, &state(self.seed, kind, entity), self.blur, &mut noise, vector);
    }
}

impl Column for Images {
    fn name(&self) -> &'static str {
        "image"
    }

    fn width(&self) -> usize {
        self.lens.len()
    }

    fn rows(&self) -> &[u32] {
        &self.rows
    }

    fn total(&self) -> usize {
        self.rows.len() * self.width()
    }

    fn floats(&self, positions: Range<usize>) -> Cow<'_, [f32]> {
        let width = self.width();
        let mut floats = vec![0.0; positions.len() * width];
        floats.par_chunks_mut(width.max(1)).zip(positions).for_each(|(vector, at)| self.take(at, vector));
        Cow::Owned(floats)
    }

    fn provenance(&self) -> &Provenance {
        &self.provenance
    }
}

/// The same for both graphs, as the same network makes both.
fn lens(seed: u64, width: usize) -> Vec<[f64; STATE]> {
    let mut dice = Dice::new(seed, Purpose::Projection, 0);
    let scale = (STATE as f64).sqrt();
    (0..width).map(|_| std::array::from_fn(|_| dice.normal() / scale)).collect()
}

fn picture(lens: &[[f64; STATE]], state: &[f64; STATE], blur: f64, noise: &mut Dice, vector: &mut [f32]) {
    // Half of the noise is in the state (another picture of the same thing), half in every pixel.
    let seen: [f64; STATE] = std::array::from_fn(|at| state[at] + blur * noise.normal());
    for (value, row) in vector.iter_mut().zip(lens) {
        let signal: f64 = row.iter().zip(&seen).map(|(a, b)| a * b).sum();
        *value = (signal + blur * noise.normal()) as f32;
    }
}
