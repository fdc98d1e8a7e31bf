//! A file of named arrays (npz, safetensors, HDF5): which of them are the vectors, and which one is the keys.
//!
//! Two layouts are in use: one small array per entity, named after it, and one matrix with its keys beside it.

use std::path::Path;

use super::error::VectorError;
use super::pickle::value::elements;
use super::table::{Key, Keys, TableBuilder, VectorTable, allowance};

/// What an array is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Floats,
    /// Integers or strings: may be keys.
    Keys,
    Other,
}

/// The outside of a named array.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) content: Content,
}

impl Named {
    /// One vector: every axis but the last has length 1, and it is not a mere number.
    fn is_vector(&self) -> bool {
        let Some((_, outer)) = self.shape.split_last() else { return false };
        self.content == Content::Floats && outer.iter().all(|axis| *axis == 1)
    }

    fn is_matrix(&self) -> bool {
        self.content == Content::Floats && self.shape.len() >= 2
    }

    /// One key for each of `rows` vectors.
    fn is_keys(&self, rows: usize) -> bool {
        self.content == Content::Keys && self.shape.first() == Some(&rows) && elements(&self.shape) == Some(rows)
    }
}

/// What the user said about a file that could be read in more than one way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// The array, tensor or column that holds the vectors.
    pub column: Option<String>,
    /// The array, tensor or column that holds the keys.
    pub key: Option<String>,
}

/// How the arrays of a file are to be read; the numbers are positions in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Layout {
    /// One array per entity, named after it.
    PerEntity(Vec<usize>),
    /// One matrix, with the array of its keys, or without.
    Matrix { vectors: usize, keys: Option<usize> },
}

/// A file of named arrays, which are known by their position.
pub(crate) trait Arrays {
    /// The outsides of all arrays.
    fn outlines(&self) -> &[Named];

    /// Appends the floats of an array to `out`, row-major.
    fn floats(&mut self, at: usize, out: &mut Vec<f32>) -> Result<(), VectorError>;

    /// An array as keys.
    fn keys(&mut self, at: usize) -> Result<Keys, VectorError>;
}

/// Reads the vectors among the arrays of a file of so many bytes. Nothing is set aside for floats that such a file is not
/// granted.
pub(crate) fn read(
    path: &Path,
    size: u64,
    arrays: &mut impl Arrays,
    choice: &Choice,
) -> Result<VectorTable, VectorError> {
    let mut table = TableBuilder::new(path, allowance(size));
    let outlines = arrays.outlines().to_vec();
    let count = |at: usize| elements(&outlines[at].shape).map_or(u64::MAX, |count| count as u64);
    match layout(path, &outlines, choice)? {
        Layout::PerEntity(vectors) => {
            for at in vectors {
                table.grant(count(at))?;
                table.push(Key::Name(&outlines[at].name), |out| arrays.floats(at, out))?;
            }
            table.finish()
        }
        Layout::Matrix { vectors, keys } => {
            table.grant(count(vectors))?;
            // A matrix without floats may claim any number of rows; they are not counted out.
            if count(vectors) == 0 {
                return Err(VectorError::Empty { path: path.to_owned() });
            }
            let shape = &outlines[vectors].shape;
            let keys = keys.map_or(Ok(Keys::Rows(shape[0])), |keys| arrays.keys(keys))?;
            let mut values = Vec::new();
            arrays.floats(vectors, &mut values)?;
            VectorTable::new(path, keys, shape[1..].iter().product(), values)
        }
    }
}

/// Decides the layout.
fn layout(path: &Path, arrays: &[Named], choice: &Choice) -> Result<Layout, VectorError> {
    if let Some(column) = &choice.column {
        let vectors = position(path, arrays, column)?;
        if !arrays[vectors].is_matrix() {
            return Err(VectorError::NotFloats { path: path.to_owned(), name: column.clone() });
        }
        return Ok(Layout::Matrix { vectors, keys: keys(path, arrays, vectors, choice)? });
    }
    let floats: Vec<usize> = (0..arrays.len()).filter(|at| arrays[*at].content == Content::Floats).collect();
    let matrices: Vec<usize> = floats.iter().copied().filter(|at| arrays[*at].is_matrix()).collect();
    let has_keys = choice.key.is_some() || arrays.iter().any(|array| array.content == Content::Keys);
    if !floats.is_empty() && !has_keys && floats.iter().all(|at| arrays[*at].is_vector()) {
        return Ok(Layout::PerEntity(floats));
    }
    match matrices.as_slice() {
        [vectors] => Ok(Layout::Matrix { vectors: *vectors, keys: keys(path, arrays, *vectors, choice)? }),
        [] => Err(VectorError::NoCandidate { path: path.to_owned(), what: "vectors", known: names(arrays) }),
        several => Err(VectorError::Ambiguous {
            path: path.to_owned(),
            what: "vectors",
            known: several.iter().map(|at| arrays[*at].name.clone()).take(8).collect(),
            option: "--column",
        }),
    }
}

fn keys(path: &Path, arrays: &[Named], vectors: usize, choice: &Choice) -> Result<Option<usize>, VectorError> {
    let rows = arrays[vectors].shape[0];
    if let Some(key) = &choice.key {
        let at = position(path, arrays, key)?;
        let fits = arrays[at].is_keys(rows);
        return if fits {
            Ok(Some(at))
        } else {
            Err(VectorError::NotKeys { path: path.to_owned(), name: key.clone() })
        };
    }
    // As `humea store export` names them, of which there may be several in one file.
    let own = format!("{}.rows", arrays[vectors].name);
    if let Some(own) = arrays.iter().position(|array| array.name == own && array.is_keys(rows)) {
        return Ok(Some(own));
    }
    let fitting: Vec<usize> = (0..arrays.len()).filter(|at| arrays[*at].is_keys(rows)).collect();
    match fitting.as_slice() {
        [] => Ok(None),
        [only] => Ok(Some(*only)),
        several => Err(VectorError::Ambiguous {
            path: path.to_owned(),
            what: "keys",
            known: several.iter().map(|at| arrays[*at].name.clone()).take(8).collect(),
            option: "--key",
        }),
    }
}

fn position(path: &Path, arrays: &[Named], wanted: &str) -> Result<usize, VectorError> {
    arrays.iter().position(|array| array.name == wanted).ok_or_else(|| VectorError::Missing {
        path: path.to_owned(),
        wanted: wanted.to_owned(),
        known: names(arrays),
    })
}

fn names(arrays: &[Named]) -> Vec<String> {
    arrays.iter().take(8).map(|array| format!("{} {:?}", array.name, array.shape)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, shape: &[usize], content: Content) -> Named {
        Named { name: name.to_owned(), shape: shape.to_vec(), content }
    }

    fn decide(arrays: &[Named], column: Option<&str>, key: Option<&str>) -> Result<Layout, VectorError> {
        let choice = Choice { column: column.map(str::to_owned), key: key.map(str::to_owned) };
        layout(Path::new("v.npz"), arrays, &choice)
    }

    #[test]
    fn one_array_per_entity_is_recognised() {
        let arrays = [named("a", &[1, 4], Content::Floats), named("b", &[4], Content::Floats)];
        assert_eq!(decide(&arrays, None, None).unwrap(), Layout::PerEntity(vec![0, 1]));
    }

    #[test]
    fn one_matrix_finds_its_keys() {
        let arrays = [named("ids", &[3], Content::Keys), named("x", &[3, 4], Content::Floats)];
        assert_eq!(decide(&arrays, None, None).unwrap(), Layout::Matrix { vectors: 1, keys: Some(0) });
        assert_eq!(decide(&arrays[1..], None, None).unwrap(), Layout::Matrix { vectors: 0, keys: None });
        let uncountable = [arrays[1].clone(), named("ids", &[3, 1 << 40, 1 << 40], Content::Keys)];
        assert_eq!(decide(&uncountable, None, None).unwrap(), Layout::Matrix { vectors: 0, keys: None });
    }

    #[test]
    fn what_could_be_several_things_is_asked_about() {
        let two = [named("x", &[3, 4], Content::Floats), named("y", &[3, 4], Content::Floats)];
        assert!(matches!(decide(&two, None, None), Err(VectorError::Ambiguous { option: "--column", .. })));
        assert_eq!(decide(&two, Some("y"), None).unwrap(), Layout::Matrix { vectors: 1, keys: None });
        let keys = [named("i", &[3], Content::Keys), named("j", &[3], Content::Keys), two[0].clone()];
        assert!(matches!(decide(&keys, None, None), Err(VectorError::Ambiguous { option: "--key", .. })));
        assert_eq!(decide(&keys, None, Some("j")).unwrap(), Layout::Matrix { vectors: 2, keys: Some(1) });
        let own = [keys[0].clone(), named("x.rows", &[3], Content::Keys), two[0].clone()];
        assert_eq!(decide(&own, None, None).unwrap(), Layout::Matrix { vectors: 2, keys: Some(1) });
    }

    #[test]
    fn a_wrong_choice_is_told_what_there_is() {
        let arrays = [named("i", &[2], Content::Keys), named("x", &[3, 4], Content::Floats)];
        assert!(matches!(decide(&arrays, Some("z"), None), Err(VectorError::Missing { .. })));
        assert!(matches!(decide(&arrays, Some("i"), None), Err(VectorError::NotFloats { .. })));
        assert!(matches!(decide(&arrays, None, Some("i")), Err(VectorError::NotKeys { .. })));
        assert!(matches!(decide(&arrays[..1], None, None), Err(VectorError::NoCandidate { .. })));
    }
}
