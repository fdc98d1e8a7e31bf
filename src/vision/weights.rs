//! The named tensors of a convolutional network: a safetensors file or one that `torch.save` wrote, without running
//! anything in it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use data_process::fault::{Fault, Kind as FaultKind};
use data_process::vectors::element::Element;
use data_process::vectors::torch_file::{TorchFile, TorchFileError};
use safetensors::{Dtype, SafeTensors};
use tch::{Kind, Tensor};

/// What can be wrong with a weight file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightError {
    /// The file cannot be read.
    #[error("cannot read the weights {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is neither safetensors nor torch's.
    #[error("{}: neither a safetensors file ({message}) nor one that torch.save wrote", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What the safetensors reader said.
        message: String,
    },
    /// A torch file that is damaged or would run code.
    #[error(transparent)]
    Torch(#[from] TorchFileError),
    /// libtorch refused a tensor.
    #[error("{}: libtorch refuses the tensor {name}: {source}", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// What it said.
        source: tch::TchError,
    },
}

impl Fault for WeightError {
    fn kind(&self) -> FaultKind {
        match self {
            Self::Read { .. } => FaultKind::Input,
            Self::Torch(error) => error.kind(),
            _ => FaultKind::Data,
        }
    }
}

/// Reads every floating-point tensor of a file as float32.
///
/// # Errors
/// If the file cannot be read, is of another format, or would run code.
pub fn read(path: &Path) -> Result<HashMap<String, Tensor>, WeightError> {
    let torch = path.extension().is_some_and(|extension| ["bin", "pt", "pth"].iter().any(|known| extension == *known));
    if torch { read_torch(path) } else { read_safetensors(path) }
}

fn read_safetensors(path: &Path) -> Result<HashMap<String, Tensor>, WeightError> {
    let bytes = std::fs::read(path).map_err(|source| WeightError::Read { path: path.to_owned(), source })?;
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|error| WeightError::Format { path: path.to_owned(), message: error.to_string() })?;
    let mut tensors = HashMap::new();
    for (name, view) in file.iter() {
        let kind = match view.dtype() {
            Dtype::F16 => Kind::Half,
            Dtype::BF16 => Kind::BFloat16,
            Dtype::F32 => Kind::Float,
            Dtype::F64 => Kind::Double,
            _ => continue,
        };
        tensors.insert(name.to_owned(), tensor(path, name, view.data(), view.shape(), kind)?);
    }
    Ok(tensors)
}

fn read_torch(path: &Path) -> Result<HashMap<String, Tensor>, WeightError> {
    let file = TorchFile::open(path)?;
    let mut tensors = HashMap::new();
    for name in file.names() {
        let stored = file.tensor(name)?;
        let kind = match stored.element {
            Element::F16 => Kind::Half,
            Element::Bf16 => Kind::BFloat16,
            Element::F32 => Kind::Float,
            Element::F64 => Kind::Double,
            _ => continue,
        };
        // Training scripts wrap the model: {"state_dict": {…}}.
        let plain = name.strip_prefix("state_dict.").unwrap_or(name);
        tensors.insert(plain.to_owned(), tensor(path, name, &stored.bytes, &stored.shape, kind)?);
    }
    Ok(tensors)
}

fn tensor(path: &Path, name: &str, bytes: &[u8], shape: &[usize], kind: Kind) -> Result<Tensor, WeightError> {
    let shape: Vec<i64> = shape.iter().map(|axis| *axis as i64).collect();
    Tensor::f_from_data_size(bytes, &shape, kind)
        .and_then(|tensor| tensor.f_to_kind(Kind::Float))
        .map_err(|source| WeightError::Tensor { path: path.to_owned(), name: name.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_files_are_refused() {
        let file = tempfile::Builder::new().suffix(".safetensors").tempfile().unwrap();
        std::fs::write(file.path(), b"hello").unwrap();
        assert!(matches!(read(file.path()), Err(WeightError::Format { .. })));
        assert!(matches!(read(Path::new("/no/such.safetensors")), Err(WeightError::Read { .. })));
        assert!(matches!(read(Path::new("/no/such.bin")), Err(WeightError::Torch(TorchFileError::Read { .. }))));
    }

    #[test]
    fn weights_that_would_run_code_are_refused() {
        let evil = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/vectors/evil.bin");
        let error = read(&evil).unwrap_err();
        assert!(error.to_string().contains("system") && error.to_string().contains("was not run"), "{error}");
    }
}
