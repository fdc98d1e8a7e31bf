//! The typed values of one graph, by entity and by attribute.

use std::collections::BTreeMap;

use data_process::pair::Graph;
use data_process::values::{Value, typed};

/// How many degrees of agreement are told apart: the same, near, and roughly.
pub(super) const DEGREES: usize = 3;

/// The axis a value lies on. Only values of one axis are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Axis {
    /// Years; what is not known of a date is taken as its middle.
    Time,
    /// Degrees north.
    Latitude,
    /// Degrees east.
    Longitude,
    /// A number, or a quantity in the base unit of its dimension.
    Magnitude,
}

impl Axis {
    /// How far from `value` the same, a near and a roughly agreeing value may lie.
    pub(super) fn tolerances(self, value: f64) -> [f64; DEGREES] {
        match self {
            // The day, the month, the year; the last two leave room for a middle taken for what is not known.
            Self::Time => [0.002, 0.05, 0.55],
            Self::Latitude | Self::Longitude => [0.02, 0.1, 0.5],
            Self::Magnitude => [1e-4, 0.01, 0.1].map(|part| part * value.abs()),
        }
    }
}

/// A value of an entity: which column, and where on its axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) column: u32,
    pub(super) value: f64,
}

/// All values of an attribute on one axis, ascending.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) attribute: Box<str>,
    pub(super) axis: Axis,
    pub(super) sorted: Vec<f64>,
    /// How many entities have any of them.
    pub(super) entities: usize,
}

impl Column {
    /// Values no farther than `tolerance` from `value`.
    pub(super) fn within(&self, value: f64, tolerance: f64) -> usize {
        let range = range(&self.sorted, value, tolerance, |other| *other);
        range.end - range.start
    }
}

/// The positions of an ascending list that lie no farther than `tolerance` from `value`.
pub(super) fn range<T>(sorted: &[T], value: f64, tolerance: f64, of: impl Fn(&T) -> f64) -> std::ops::Range<usize> {
    let first = sorted.partition_point(|other| of(other) < value - tolerance);
    let after = sorted[first..].partition_point(|other| of(other) <= value + tolerance);
    first..first + after
}

/// The typed values of a graph.
#[derive(Debug)]
pub(super) struct Values {
    pub(super) columns: Vec<Column>,
    /// By entity, then by column.
    entries: Vec<Entry>,
    /// Where each entity's entries begin; one more than there are entities.
    starts: Vec<usize>,
}

impl Values {
    pub(super) fn of(graph: &Graph) -> Self {
        let typed = typed(graph);
        let mut numbers: BTreeMap<(u32, Axis), u32> = BTreeMap::new();
        let mut columns: Vec<Column> = Vec::new();
        let mut entries: Vec<(u32, Entry)> = Vec::new();
        for (fact, value) in graph.facts.iter().zip(typed.values) {
            for (axis, value) in positions(value) {
                let column = *numbers.entry((fact.attribute, axis)).or_insert_with(|| {
                    let attribute = graph.attributes[fact.attribute as usize].clone();
                    columns.push(Column { attribute, axis, sorted: Vec::new(), entities: 0 });
                    columns.len() as u32 - 1
                });
                columns[column as usize].sorted.push(value);
                entries.push((fact.entity, Entry { column, value }));
            }
        }
        for column in &mut columns {
            column.sorted.sort_unstable_by(f64::total_cmp);
        }
        entries.sort_by(|(a, one), (b, other)| (a, one.column).cmp(&(b, other.column)));
        for of_entity in entries.chunk_by(|(a, one), (b, other)| (a, one.column) == (b, other.column)) {
            columns[of_entity[0].1.column as usize].entities += 1;
        }
        let starts =
            (0..=graph.entities.len()).map(|id| entries.partition_point(|(entity, _)| (*entity as usize) < id));
        Self { columns, starts: starts.collect(), entries: entries.into_iter().map(|(_, entry)| entry).collect() }
    }

    /// An entity's values, one slice for each column it has any in.
    pub(super) fn of_entity(&self, entity: usize) -> impl Iterator<Item = &[Entry]> {
        self.entries[self.starts[entity]..self.starts[entity + 1]].chunk_by(|a, b| a.column == b.column)
    }
}

/// Where a value lies on which axes; text lies on none.
fn positions(value: Value) -> impl Iterator<Item = (Axis, f64)> {
    let [first, second] = match value {
        Value::Number(number) => [Some((Axis::Magnitude, number)), None],
        Value::Quantity(quantity) => [Some((Axis::Magnitude, quantity.in_base_unit())), None],
        Value::Date(date) => [Some((Axis::Time, date.years())), None],
        Value::Coordinate(place) => {
            [place.latitude.map(|at| (Axis::Latitude, at)), place.longitude.map(|at| (Axis::Longitude, at))]
        }
        Value::Text => [None, None],
    };
    first.into_iter().chain(second)
}
