//! Vectors from safetensors files: one tensor per entity, or a matrix with its keys.
//!
//! A format without strings: keys beside a matrix are integers; names are the tensors' own.

use std::path::Path;

use safetensors::{Dtype as Stored, SafeTensors};

use super::arrays::{self, Arrays, Choice, Content, Named};
use super::element::{Dtype, Element};
use super::error::VectorError;
use super::table::{Keys, VectorTable};

/// Reads the vectors in a safetensors file.
///
/// # Errors
/// If the file cannot be read, is damaged, or it is not clear which tensors are meant.
pub fn read(path: &Path, choice: &Choice) -> Result<VectorTable, VectorError> {
    let bytes = std::fs::read(path).map_err(|source| VectorError::Open { path: path.to_owned(), source })?;
    parse(path, &bytes, choice)
}

/// Reads the bytes of a safetensors file; `path` is for messages.
///
/// # Errors
/// As [`read`].
pub fn parse(path: &Path, bytes: &[u8], choice: &Choice) -> Result<VectorTable, VectorError> {
    let library = |error: safetensors::SafeTensorError| VectorError::Library {
        path: path.to_owned(),
        format: "safetensors",
        message: error.to_string(),
    };
    let file = SafeTensors::deserialize(bytes).map_err(library)?;
    let tensors = file.iter().map(|(_, view)| (element(view.dtype()), view.data())).collect();
    let outlines = file.iter().map(|(name, view)| outline(name, element(view.dtype()), view.shape())).collect();
    arrays::read(path, bytes.len() as u64, &mut Tensors { tensors, outlines }, choice)
}

fn outline(name: &str, element: Option<Element>, shape: &[usize]) -> Named {
    let content = match element {
        Some(element) if element.is_float() => Content::Floats,
        Some(Element::Bool) | None => Content::Other,
        Some(_) => Content::Keys,
    };
    Named { name: name.to_owned(), shape: shape.to_vec(), content }
}

/// The bytes of each tensor, and what they are where we know the type.
struct Tensors<'a> {
    tensors: Vec<(Option<Element>, &'a [u8])>,
    outlines: Vec<Named>,
}

impl Arrays for Tensors<'_> {
    fn outlines(&self) -> &[Named] {
        &self.outlines
    }

    fn floats(&mut self, at: usize, out: &mut Vec<f32>) -> Result<(), VectorError> {
        if let (Some(element), bytes) = self.tensors[at] {
            Dtype::little(element).floats(bytes, out);
        }
        Ok(())
    }

    fn keys(&mut self, at: usize) -> Result<Keys, VectorError> {
        let (element, bytes) = self.tensors[at];
        Ok(Keys::Ids(element.map(|element| Dtype::little(element).integers(bytes)).unwrap_or_default()))
    }
}

fn element(stored: Stored) -> Option<Element> {
    Some(match stored {
        Stored::BOOL => Element::Bool,
        Stored::U8 => Element::U8,
        Stored::U16 => Element::U16,
        Stored::U32 => Element::U32,
        Stored::U64 => Element::U64,
        Stored::I8 => Element::I8,
        Stored::I16 => Element::I16,
        Stored::I32 => Element::I32,
        Stored::I64 => Element::I64,
        Stored::F16 => Element::F16,
        Stored::BF16 => Element::Bf16,
        Stored::F32 => Element::F32,
        Stored::F64 => Element::F64,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::tensor::TensorView;

    fn file(tensors: &[(&str, Stored, Vec<usize>, Vec<u8>)]) -> Vec<u8> {
        let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
            (name.to_string(), TensorView::new(*dtype, shape.clone(), bytes).unwrap())
        });
        safetensors::serialize(views, None).unwrap()
    }

    fn bytes(floats: &[f32]) -> Vec<u8> {
        floats.iter().flat_map(|float| float.to_le_bytes()).collect()
    }

    #[test]
    fn one_tensor_per_entity() {
        let file = file(&[
            ("/m/0a", Stored::F32, vec![2], bytes(&[1.0, 2.0])),
            (
                "/m/0b",
                Stored::F16,
                vec![1, 2],
                half::vec::HalfFloatVecExt::reinterpret_into(vec![half::f16::ONE; 2])
                    .into_iter()
                    .flat_map(|word: u16| word.to_le_bytes())
                    .collect(),
            ),
        ]);
        let table = parse(Path::new("v.safetensors"), &file, &Choice::default()).unwrap();
        assert_eq!(table.width(), 2);
        let Keys::Names(names) = table.keys() else { panic!("names expected") };
        let first = names.iter().position(|name| &**name == "/m/0a").unwrap();
        assert_eq!(table.row(first), [1.0, 2.0]);
        assert_eq!(table.row(1 - first), [1.0, 1.0]);
    }

    #[test]
    fn a_matrix_with_its_ids() {
        let file = file(&[
            ("vectors", Stored::F32, vec![2, 2], bytes(&[1.0, 2.0, 3.0, 4.0])),
            ("ids", Stored::I32, vec![2], [7_i32.to_le_bytes(), 3_i32.to_le_bytes()].concat()),
        ]);
        let table = parse(Path::new("v.safetensors"), &file, &Choice::default()).unwrap();
        assert_eq!(table.keys(), &Keys::Ids(vec![7, 3]));
        assert_eq!(table.row(1), [3.0, 4.0]);
    }

    #[test]
    fn every_truncation_is_an_error_and_no_panic() {
        let file = file(&[("vectors", Stored::F32, vec![2, 2], bytes(&[1.0, 2.0, 3.0, 4.0]))]);
        for length in 0..file.len() {
            let error = parse(Path::new("v.safetensors"), &file[..length], &Choice::default()).unwrap_err();
            assert!(matches!(error, VectorError::Library { format: "safetensors", .. }), "{length}: {error}");
        }
    }
}
