//! Vectors from what `torch.save` wrote: a dictionary of one tensor per entity, or a matrix with its keys.

use std::path::Path;

use super::arrays::{self, Arrays, Choice, Content, Named};
use super::element::{Dtype, Element};
use super::error::VectorError;
use super::table::{Keys, VectorTable};
use super::torch_file::{TorchFile, TorchTensor};

/// Reads the vectors in a torch file.
///
/// # Errors
/// If the file cannot be read, would run code, or it is not clear which tensors are meant.
pub(super) fn read(path: &Path, choice: &Choice) -> Result<VectorTable, VectorError> {
    let size = std::fs::metadata(path).map_err(|source| VectorError::Open { path: path.to_owned(), source })?.len();
    let file = TorchFile::open(path).map_err(VectorError::Torch)?;
    let outlines = file.names().iter().filter_map(|name| Some(outline(name, file.outline(name)?))).collect();
    arrays::read(path, size, &mut Tensors { file, outlines }, choice)
}

fn outline(name: &str, (element, shape): (Element, &[usize])) -> Named {
    let content = match element {
        element if element.is_float() => Content::Floats,
        Element::Bool => Content::Other,
        _ => Content::Keys,
    };
    Named { name: name.to_owned(), shape: shape.to_vec(), content }
}

struct Tensors {
    file: TorchFile,
    outlines: Vec<Named>,
}

impl Tensors {
    fn tensor(&self, at: usize) -> Result<TorchTensor, VectorError> {
        self.file.tensor(&self.outlines[at].name).map_err(VectorError::Torch)
    }
}

impl Arrays for Tensors {
    fn outlines(&self) -> &[Named] {
        &self.outlines
    }

    fn floats(&mut self, at: usize, out: &mut Vec<f32>) -> Result<(), VectorError> {
        let tensor = self.tensor(at)?;
        Dtype::little(tensor.element).floats(&tensor.bytes, out);
        Ok(())
    }

    fn keys(&mut self, at: usize) -> Result<Keys, VectorError> {
        let tensor = self.tensor(at)?;
        Ok(Keys::Ids(Dtype::little(tensor.element).integers(&tensor.bytes)))
    }
}
