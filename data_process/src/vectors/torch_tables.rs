//! Vectors from what `torch.save` wrote: a dictionary of one tensor per entity, or a matrix with its keys.

use std::path::Path;

use super::arrays::{self, Choice, Content, Layout, Named};
use super::element::{Dtype, Element, Number};
use super::error::VectorError;
use super::table::{Key, Keys, TableBuilder, VectorTable, allowance};
use super::torch_file::{TorchFile, TorchTensor};

/// Reads the vectors in a torch file.
///
/// # Errors
/// If the file cannot be read, would run code, or it is not clear which tensors are meant.
pub(super) fn read(path: &Path, choice: &Choice) -> Result<VectorTable, VectorError> {
    let size = std::fs::metadata(path).map_err(|source| VectorError::Open { path: path.to_owned(), source })?.len();
    let file = TorchFile::open(path).map_err(VectorError::Torch)?;
    let names = file.names();
    let outlines: Vec<Named> = names.iter().filter_map(|name| Some(outline(name, file.outline(name)?))).collect();
    let tensor = |at: usize| file.tensor(&names[at]).map_err(VectorError::Torch);
    match arrays::layout(path, &outlines, choice)? {
        Layout::PerEntity(vectors) => {
            let mut table = TableBuilder::new(path, allowance(size));
            for at in vectors {
                table.push(Key::Name(&names[at]), |out| {
                    floats(&tensor(at)?, out);
                    Ok(())
                })?;
            }
            table.finish()
        }
        Layout::Matrix { vectors, keys } => {
            let shape = &outlines[vectors].shape;
            let mut values = Vec::new();
            floats(&tensor(vectors)?, &mut values);
            if values.is_empty() {
                return Err(VectorError::Empty { path: path.to_owned() });
            }
            let keys = match keys {
                Some(keys) => integers(&tensor(keys)?),
                None => (0..shape[0] as i64).collect(),
            };
            VectorTable::new(path, Keys::Ids(keys), shape[1..].iter().product(), values)
        }
    }
}

fn outline(name: &str, (element, shape): (Element, &[usize])) -> Named {
    let content = match element {
        element if element.is_float() => Content::Floats,
        Element::Bool => Content::Other,
        _ => Content::Keys,
    };
    Named { name: name.to_owned(), shape: shape.to_vec(), content }
}

fn floats(tensor: &TorchTensor, out: &mut Vec<f32>) {
    Dtype::little(tensor.element).floats(&tensor.bytes, out);
}

fn integers(tensor: &TorchTensor) -> Vec<i64> {
    let cells = tensor.bytes.chunks_exact(tensor.element.size());
    let numbers = cells.map(|cell| Dtype::little(tensor.element).number(cell));
    numbers.map(|number| if let Number::Int(id) = number { id as i64 } else { -1 }).collect()
}
