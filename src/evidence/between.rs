//! Evidence between some entities of the left graph and some of the right, row by row: O(N) memory.

use tch::{Device, TchError, Tensor};

use super::Evidence;
use super::rules::{Rule, degree};
use super::values::{Entry, range};
use crate::transfer;

/// The evidence between the entities of two lists; a row for each left one, a column for each right one.
pub struct Between<'a> {
    evidence: &'a Evidence,
    left: &'a [u32],
    right: &'a [u32],
    /// For each right column of the evidence the values of the listed entities, ascending, with their place in the list.
    values: Vec<Vec<(f64, u32)>>,
}

impl<'a> Between<'a> {
    pub(super) fn new(evidence: &'a Evidence, left: &'a [u32], right: &'a [u32]) -> Self {
        let mut values = vec![Vec::new(); evidence.right.columns.len()];
        for (place, id) in right.iter().enumerate() {
            for entry in evidence.right.of_entity((id - evidence.first_right) as usize).flatten() {
                values[entry.column as usize].push((entry.value, place as u32));
            }
        }
        for column in &mut values {
            column.sort_unstable_by(|(a, one), (b, other)| a.total_cmp(b).then(one.cmp(other)));
        }
        Self { evidence, left, right, values }
    }

    /// Adds the evidence of the rows from `start` on to their scores `[rows, m]`, in place.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn add_to(&self, scores: &Tensor, start: i64) -> Result<(), TchError> {
        self.add_in_pieces(scores, start, TOGETHER)
    }

    /// The same, `together` entries or a row's at a time.
    pub(super) fn add_in_pieces(&self, scores: &Tensor, start: i64, together: usize) -> Result<(), TchError> {
        let (rows, columns) = scores.size2()?;
        let (mut found, mut row) = (Found::default(), Row::of(self.right.len()));
        for at in 0..rows {
            self.add_row((start + at) as usize, &mut row);
            for (place, worth) in row.drain() {
                found.places.push(at * columns + i64::from(place));
                found.nats.push(worth * self.evidence.weight);
            }
            if found.places.len() >= together {
                found.move_to(scores)?;
            }
        }
        found.move_to(scores)
    }

    /// `[n]`, the evidence of each link; row i of one list belongs to row i of the other.
    pub fn of_links(&self, device: Device) -> Tensor {
        let each: Vec<f32> =
            self.left.iter().zip(self.right).map(|(left, right)| self.of_link(*left, *right)).collect();
        transfer::slice(&each, device)
    }

    fn of_link(&self, left: u32, right: u32) -> f32 {
        let right = (right - self.evidence.first_right) as usize;
        let worth = |values: &[Entry]| {
            let rules = self.evidence.rules[values[0].column as usize].iter();
            rules.map(|rule| self.of_values(values, rule, right)).fold(0.0, f32::max)
        };
        self.evidence.left.of_entity(left as usize).map(worth).sum::<f32>() * self.evidence.weight
    }

    /// What some values of a left attribute are worth, under a rule, for a right entity.
    fn of_values(&self, values: &[Entry], rule: &Rule, right: usize) -> f32 {
        let column = &self.evidence.right.columns[rule.right as usize];
        let others = self.evidence.right.of_entity(right).find(|others| others[0].column == rule.right);
        let mut most = 0.0_f32;
        for value in values.iter().map(|entry| entry.value * rule.scale) {
            let worth = rule.weights(value, values.len(), column);
            for other in others.unwrap_or_default() {
                most = degree(column.axis, value, other.value).map_or(most, |degree| most.max(worth[degree]));
            }
        }
        most
    }

    /// What the left entity at a place of its list has in common with each right one.
    fn add_row(&self, at: usize, row: &mut Row) {
        for values in self.evidence.left.of_entity(self.left[at] as usize) {
            for rule in &self.evidence.rules[values[0].column as usize] {
                for entry in values {
                    self.add_value(entry.value * rule.scale, values.len(), rule, row);
                }
            }
            row.settle();
        }
    }

    /// The right entities whose value under a rule agrees with this one of `tries`.
    fn add_value(&self, value: f64, tries: usize, rule: &Rule, row: &mut Row) {
        let column = &self.evidence.right.columns[rule.right as usize];
        let listed = &self.values[rule.right as usize];
        for (tolerance, nats) in column.axis.tolerances(value).into_iter().zip(rule.weights(value, tries, column)) {
            if nats > 0.0 {
                for (_, place) in &listed[range(listed, value, tolerance, |(other, _)| *other)] {
                    row.at_least(*place, nats);
                }
            }
        }
    }
}

/// Entries of evidence that are added to the scores at a time: a block of a hundred thousand columns may have tens of millions.
const TOGETHER: usize = 1 << 22;

/// Evidence on its way to the scores: places in these, row after row, and what is added there.
#[derive(Default)]
struct Found {
    places: Vec<i64>,
    nats: Vec<f32>,
}

impl Found {
    fn move_to(&mut self, scores: &Tensor) -> Result<(), TchError> {
        let places = transfer::slice(&self.places, scores.device());
        let nats = transfer::slice(&self.nats, scores.device());
        let _ = scores.f_view([-1])?.f_index_add_(0, &places, &nats)?;
        self.places.clear();
        self.nats.clear();
        Ok(())
    }
}

/// One row of evidence, as far as it is not zero.
struct Row {
    /// What the attributes so far are worth together, and the one under way alone.
    worth: Vec<[f32; 2]>,
    touched: Vec<u32>,
    under_way: Vec<u32>,
}

impl Row {
    fn of(columns: usize) -> Self {
        Self { worth: vec![[0.0; 2]; columns], touched: Vec::new(), under_way: Vec::new() }
    }

    /// The attribute under way is worth at least so much there.
    fn at_least(&mut self, place: u32, worth: f32) {
        let now = &mut self.worth[place as usize][1];
        if *now == 0.0 {
            self.under_way.push(place);
        }
        *now = now.max(worth);
    }

    /// The attribute is done.
    fn settle(&mut self) {
        for place in self.under_way.drain(..) {
            let [sum, now] = &mut self.worth[place as usize];
            if *sum == 0.0 {
                self.touched.push(place);
            }
            *sum += std::mem::take(now);
        }
    }

    /// What is not zero, leaving the row empty.
    fn drain(&mut self) -> impl Iterator<Item = (u32, f32)> {
        let worth = &mut self.worth;
        self.touched.drain(..).map(|place| (place, std::mem::take(&mut worth[place as usize][0])))
    }
}
