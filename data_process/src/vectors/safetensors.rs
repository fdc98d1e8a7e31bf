//! Vectors from safetensors files: one tensor per entity, or a matrix with its keys.
//!
//! A format without strings: keys beside a matrix are integers; names are the tensors' own.

use std::path::Path;

use safetensors::{Dtype as Stored, SafeTensors};

use super::arrays::{self, Choice, Content, Layout, Named};
use super::element::{Dtype, Element, Number};
use super::error::VectorError;
use super::table::{Key, Keys, TableBuilder, VectorTable, allowance};

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
    let tensors: Vec<Tensor<'_>> = file
        .iter()
        .map(|(name, view)| Tensor {
            name,
            element: element(view.dtype()),
            shape: view.shape().to_vec(),
            bytes: view.data(),
        })
        .collect();
    let outlines: Vec<Named> = tensors.iter().map(Tensor::outline).collect();
    match arrays::layout(path, &outlines, choice)? {
        Layout::PerEntity(vectors) => {
            let mut table = TableBuilder::new(path, allowance(bytes.len() as u64));
            for at in vectors {
                table.push(Key::Name(tensors[at].name), |out| {
                    tensors[at].floats(out);
                    Ok(())
                })?;
            }
            table.finish()
        }
        Layout::Matrix { vectors, keys } => {
            let mut values = Vec::new();
            tensors[vectors].floats(&mut values);
            let rows = tensors[vectors].shape[0];
            let width = values.len().checked_div(rows).unwrap_or(0);
            if width == 0 {
                return Err(VectorError::Empty { path: path.to_owned() });
            }
            let keys = keys.map_or_else(|| (0..rows as i64).collect(), |keys| tensors[keys].integers());
            VectorTable::new(path, Keys::Ids(keys), width, values)
        }
    }
}

struct Tensor<'a> {
    name: &'a str,
    element: Option<Element>,
    shape: Vec<usize>,
    bytes: &'a [u8],
}

impl Tensor<'_> {
    fn outline(&self) -> Named {
        let content = match self.element {
            Some(element) if element.is_float() => Content::Floats,
            Some(Element::Bool) | None => Content::Other,
            Some(_) => Content::Keys,
        };
        Named { name: self.name.to_owned(), shape: self.shape.clone(), content }
    }

    fn floats(&self, out: &mut Vec<f32>) {
        if let Some(element) = self.element {
            Dtype::little(element).floats(self.bytes, out);
        }
    }

    fn integers(&self) -> Vec<i64> {
        let Some(element) = self.element else { return Vec::new() };
        let numbers = self.bytes.chunks_exact(element.size()).map(|cell| Dtype::little(element).number(cell));
        numbers.map(|number| if let Number::Int(id) = number { id as i64 } else { -1 }).collect()
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
