//! What the writer asks of a vector column.

use std::borrow::Cow;
use std::ops::Range;

use super::{NewVectors, Provenance};

/// A vector column on its way into a new store: its floats are at hand ([`NewVectors`]), or made when their row group is
/// written, so that a column may be larger than memory.
pub trait Column {
    /// Column name.
    fn name(&self) -> &str;
    /// Floats per vector, at least one.
    fn width(&self) -> usize;
    /// The store ids that have a vector, strictly increasing.
    fn rows(&self) -> &[u32];
    /// Floats in all: one vector for each row.
    fn total(&self) -> usize;
    /// The vectors at some positions of [`Self::rows`], one after another. Each is asked for once.
    fn floats(&self, positions: Range<usize>) -> Cow<'_, [f32]>;
    /// Where the vectors come from.
    fn provenance(&self) -> &Provenance;
}

impl Column for NewVectors<'_> {
    fn name(&self) -> &str {
        self.name
    }

    fn width(&self) -> usize {
        self.width
    }

    fn rows(&self) -> &[u32] {
        self.rows
    }

    fn total(&self) -> usize {
        self.values.len()
    }

    fn floats(&self, positions: Range<usize>) -> Cow<'_, [f32]> {
        Cow::Borrowed(&self.values[positions.start * self.width..positions.end * self.width])
    }

    fn provenance(&self) -> &Provenance {
        self.provenance
    }
}
