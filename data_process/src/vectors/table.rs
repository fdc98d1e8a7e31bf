//! What every reader of an outside format returns: keys and a float32 matrix that is known to be whole and finite.

use std::path::{Path, PathBuf};

use super::element::Element;
use super::error::VectorError;
use super::pickle::value::elements;
pub(crate) use crate::store::allowance;

/// The keys of a table's rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Entity identifiers or image names.
    Names(Vec<Box<str>>),
    /// Integer ids.
    Ids(Vec<i64>),
    /// None: the rows of a matrix that comes without keys are known by their number, from 0.
    Rows(usize),
}

impl Keys {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Names(names) => names.len(),
            Self::Ids(ids) => ids.len(),
            Self::Rows(rows) => *rows,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A key as a message shows it; empty past the end.
    pub fn show(&self, row: usize) -> String {
        match self {
            Self::Names(names) => names.get(row).map(|name| format!("{name:?}")).unwrap_or_default(),
            Self::Ids(ids) => ids.get(row).map(i64::to_string).unwrap_or_default(),
            Self::Rows(rows) if row < *rows => row.to_string(),
            Self::Rows(_) => String::new(),
        }
    }
}

/// Vectors with keys, `[keys.len(), width]` row-major; every float is finite.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorTable {
    width: usize,
    keys: Keys,
    values: Vec<f32>,
}

impl VectorTable {
    /// A table, refused unless every row is `width ≥ 1` finite floats.
    ///
    /// # Errors
    /// If there is no vector, the sizes do not agree, or a float is NaN or infinite. `path` is for messages.
    pub fn new(path: &Path, keys: Keys, width: usize, values: Vec<f32>) -> Result<Self, VectorError> {
        if keys.is_empty() || width == 0 {
            return Err(VectorError::Empty { path: path.to_owned() });
        }
        if keys.len().checked_mul(width) != Some(values.len()) {
            let vectors = values.len() / width;
            return Err(VectorError::KeyCount { path: path.to_owned(), keys: keys.len(), vectors });
        }
        if let Some(place) = values.iter().position(|value| !value.is_finite()) {
            let (key, value) = (keys.show(place / width), values[place]);
            return Err(VectorError::NotFinite { path: path.to_owned(), key, position: place % width, value });
        }
        Ok(Self { width, keys, values })
    }

    /// Floats per vector.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The keys of the rows, in file order; a key may occur more than once.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// All floats, row-major.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The vector of one row.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.width..(row + 1) * self.width]
    }
}

/// One key, borrowed from the file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Key<'a> {
    Id(i64),
    Name(&'a str),
}

/// Collects rows one by one, checking that they agree.
#[derive(Debug)]
pub(crate) struct TableBuilder {
    path: PathBuf,
    /// Floats that may be held in all.
    allowed: u64,
    width: usize,
    names: Vec<Box<str>>,
    /// Bytes of all names: a pickle may give one long name to many rows.
    name_bytes: u64,
    ids: Vec<i64>,
    /// Rows of a matrix without keys.
    rows: usize,
    values: Vec<f32>,
}

impl TableBuilder {
    pub(crate) fn new(path: &Path, allowed: u64) -> Self {
        let path = path.to_owned();
        let (names, ids, values) = (Vec::new(), Vec::new(), Vec::new());
        Self { path, allowed, width: 0, names, name_bytes: 0, ids, rows: 0, values }
    }

    /// Adds one row; `fill` appends its floats.
    pub(crate) fn push(
        &mut self,
        key: Key<'_>,
        fill: impl FnOnce(&mut Vec<f32>) -> Result<(), VectorError>,
    ) -> Result<(), VectorError> {
        let before = self.values.len();
        if let Key::Name(name) = key {
            self.name_bytes += name.len() as u64;
        }
        self.grant((self.width as u64).max(1))?;
        fill(&mut self.values)?;
        self.agree(key, self.values.len() - before)?;
        match key {
            Key::Id(id) => self.ids.push(id),
            Key::Name(name) => self.names.push(name.into()),
        }
        Ok(())
    }

    /// Refuses to hold `more` floats than the file may unfold to; four bytes of a name count as one.
    pub(crate) fn grant(&self, more: u64) -> Result<(), VectorError> {
        let claimed = (self.values.len() as u64 + self.name_bytes / 4).saturating_add(more);
        if claimed > self.allowed {
            return Err(VectorError::TooLarge { path: self.path.clone(), claimed, allowed: self.allowed });
        }
        Ok(())
    }

    fn agree(&mut self, key: Key<'_>, found: usize) -> Result<(), VectorError> {
        let first = self.names.is_empty() && self.ids.is_empty();
        if first {
            self.width = found;
        }
        let shown = || match key {
            Key::Id(id) => id.to_string(),
            Key::Name(name) => format!("{name:?}"),
        };
        if found != self.width || found == 0 {
            let (path, expected) = (self.path.clone(), self.width);
            return Err(VectorError::Width { path, key: shown(), found, expected });
        }
        let mixed = match key {
            Key::Id(_) => !self.names.is_empty(),
            Key::Name(_) => !self.ids.is_empty(),
        };
        if mixed { Err(VectorError::MixedKeys { path: self.path.clone(), key: shown() }) } else { Ok(()) }
    }

    /// The whole table is a matrix `[n, …]` without keys.
    pub(crate) fn matrix(
        &mut self,
        shape: &[usize],
        element: Element,
        fill: impl FnOnce(&mut Vec<f32>),
    ) -> Result<(), VectorError> {
        if !element.is_float() {
            return Err(VectorError::NotFloats { path: self.path.clone(), name: "the matrix".to_owned() });
        }
        // Without rows, the other axes may claim more than can be counted.
        let (rows, width) = (shape[0], elements(&shape[1..]).unwrap_or(0));
        self.grant((rows as u64).saturating_mul(width as u64))?;
        if width == 0 {
            return Err(VectorError::Empty { path: self.path.clone() });
        }
        fill(&mut self.values);
        self.width = width;
        self.rows = rows;
        Ok(())
    }

    /// The ids so far were the numbers of rows and no keys.
    pub(crate) fn forget_keys(&mut self) {
        self.rows = std::mem::take(&mut self.ids).len();
    }

    /// The table.
    pub(crate) fn finish(self) -> Result<VectorTable, VectorError> {
        let keys = match (self.rows, self.names.is_empty()) {
            (0, true) => Keys::Ids(self.ids),
            (0, false) => Keys::Names(self.names),
            (rows, _) => Keys::Rows(rows),
        };
        VectorTable::new(&self.path, keys, self.width, self.values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builder(allowed: u64) -> TableBuilder {
        TableBuilder::new(Path::new("v.pkl"), allowed)
    }

    fn push(table: &mut TableBuilder, key: Key<'_>, floats: &[f32]) -> Result<(), VectorError> {
        table.push(key, |out| {
            out.extend(floats);
            Ok(())
        })
    }

    #[test]
    fn rows_of_different_widths_are_refused_with_the_key() {
        let mut table = builder(100);
        push(&mut table, Key::Id(3), &[1.0, 2.0]).unwrap();
        let error = push(&mut table, Key::Id(4), &[1.0]).unwrap_err();
        assert!(matches!(&error, VectorError::Width { key, found: 1, expected: 2, .. } if key == "4"), "{error}");
        assert!(push(&mut builder(9), Key::Id(1), &[]).is_err(), "an empty vector is no vector");
    }

    #[test]
    fn names_and_ids_do_not_mix() {
        let mut table = builder(100);
        push(&mut table, Key::Name("a"), &[1.0]).unwrap();
        let error = push(&mut table, Key::Id(4), &[1.0]).unwrap_err();
        assert!(matches!(error, VectorError::MixedKeys { .. }), "{error}");
    }

    #[test]
    fn what_is_not_finite_is_named_by_key_and_position() {
        let keys = Keys::Names(vec!["a".into(), "b".into()]);
        let error = VectorTable::new(Path::new("v"), keys, 2, vec![0.0, 1.0, 2.0, f32::NAN]).unwrap_err();
        assert!(matches!(&error, VectorError::NotFinite { key, position: 1, .. } if key == "\"b\""), "{error}");
    }

    #[test]
    fn a_table_without_vectors_is_refused() {
        assert!(matches!(builder(9).finish(), Err(VectorError::Empty { .. })));
    }

    #[test]
    fn a_matrix_without_rows_may_claim_anything_of_its_other_axes() {
        let error = builder(9).matrix(&[0, 1 << 40, 1 << 40], Element::F32, |_| ()).unwrap_err();
        assert!(matches!(error, VectorError::Empty { .. }), "{error}");
    }

    #[test]
    fn a_file_may_not_unfold_without_bound() {
        let mut table = builder(3);
        push(&mut table, Key::Id(0), &[1.0, 2.0]).unwrap();
        let error = push(&mut table, Key::Id(1), &[1.0, 2.0]).unwrap_err();
        assert!(matches!(error, VectorError::TooLarge { claimed: 4, allowed: 3, .. }), "{error}");
        let mut table = builder(9);
        push(&mut table, Key::Name("a name of 20 letters"), &[1.0]).unwrap();
        let error = push(&mut table, Key::Name("a name of 20 letters"), &[1.0]).unwrap_err();
        assert!(matches!(error, VectorError::TooLarge { claimed: 12, allowed: 9, .. }), "{error}");
    }

    #[test]
    fn keys_and_vectors_must_be_as_many() {
        let error = VectorTable::new(Path::new("v"), Keys::Ids(vec![1, 2]), 2, vec![0.0; 6]).unwrap_err();
        assert!(matches!(error, VectorError::KeyCount { keys: 2, vectors: 3, .. }), "{error}");
    }
}
