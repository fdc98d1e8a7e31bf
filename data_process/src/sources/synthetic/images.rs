//! Images: noisy linear views of an entity's hidden state.

use rayon::prelude::*;

use super::dice::{Dice, Purpose};
use super::hidden::{Hidden, STATE};
use super::view::View;

/// The image vectors of both graphs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Images {
    /// Floats per vector.
    pub width: usize,
    /// The store ids that have an image (left graph first), ascending.
    pub rows: Vec<u32>,
    /// Row-major `[rows.len(), width]`.
    pub values: Vec<f32>,
}

/// Takes a picture of every entity that has one.
pub(super) fn images(hidden: &Hidden<'_>, views: [&View<'_>; 2]) -> Images {
    let width = hidden.knobs.image_width;
    let mut images = Images { width, ..Images::default() };
    if width == 0 {
        return images;
    }
    let lens = lens(hidden.knobs.seed, width);
    for (side, view) in views.into_iter().enumerate() {
        let purpose = [Purpose::LeftImage, Purpose::RightImage][side];
        let first = side * views[0].rows.len();
        let pictured: Vec<(u32, u32)> = view
            .rows
            .par_iter()
            .enumerate()
            .map(|(row, &(_, entity))| ((first + row) as u32, entity))
            .filter(|&(_, entity)| {
                !Dice::new(hidden.knobs.seed, purpose, u64::from(entity)).chance(hidden.knobs.image_missing)
            })
            .collect();
        images.rows.extend(pictured.iter().map(|&(id, _)| id));
        let begin = images.values.len();
        images.values.resize(begin + pictured.len() * width, 0.0);
        images.values[begin..].par_chunks_mut(width).zip(&pictured).for_each(|(vector, &(_, entity))| {
            // The thing is offset so that the noise does not repeat the draw that decided whether there is a picture.
            let mut noise = Dice::new(hidden.knobs.seed, purpose, u64::from(entity) | 1 << 40);
            picture(&lens, &hidden.state(entity), hidden.knobs.image_noise, &mut noise, vector);
        });
    }
    images
}

/// The projection from states to images, the same for both graphs, as the same network makes both.
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
