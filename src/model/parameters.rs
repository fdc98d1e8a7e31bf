//! The learnt tensors by name: initialised from seeded streams, saved to and loaded from safetensors.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use data_process::fault::{Fault, Kind};
use tch::{Device, Tensor};

/// What can be wrong with a file of parameters.
#[derive(Debug, thiserror::Error)]
pub enum ParametersError {
    /// The file cannot be read as safetensors.
    #[error("cannot read parameters from {path}: {source}; it must be a safetensors file written by `humea train`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: tch::TchError,
    },
    /// The file cannot be written.
    #[error("cannot write parameters to {path}: {source}; is the disk full or the folder read-only?")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: tch::TchError,
    },
    /// The file lacks a parameter of the model.
    #[error("{path} has no parameter {name:?}; it was written by a model with other modalities or options")]
    Missing {
        /// The file.
        path: PathBuf,
        /// The parameter.
        name: String,
    },
    /// A parameter has another shape than the model's.
    #[error("{path}: parameter {name:?} has shape {found:?}, the model needs {expected:?}; configure the same widths")]
    Shape {
        /// The file.
        path: PathBuf,
        /// The parameter.
        name: String,
        /// The shape in the file.
        found: Vec<i64>,
        /// The shape of the model.
        expected: Vec<i64>,
    },
}

impl Fault for ParametersError {
    fn kind(&self) -> Kind {
        match self {
            Self::Read { .. } => Kind::Input,
            Self::Write { .. } => Kind::Output,
            Self::Missing { .. } | Self::Shape { .. } => Kind::Data,
        }
    }
}

/// Named leaf tensors, in name order. Those of one optimiser live in one `Parameters`.
#[derive(Debug, Default)]
pub struct Parameters {
    tensors: BTreeMap<String, Tensor>,
}

impl Parameters {
    /// Adds a parameter that starts at `value`, on `device`, and returns a handle that shares its memory.
    pub fn add(&mut self, name: String, value: &Tensor, device: Device) -> Tensor {
        let leaf = value.detach().to_device(device).copy().set_requires_grad(true);
        let handle = leaf.shallow_clone();
        self.tensors.insert(name, leaf);
        handle
    }

    /// Names and tensors, in name order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// Forgets all gradients.
    pub fn zero_grad(&mut self) {
        for tensor in self.tensors.values_mut() {
            tensor.zero_grad();
        }
    }

    /// Copies the values of `others` into the parameters of the same names.
    ///
    /// # Errors
    /// If a parameter is missing among them or has another shape; `path` is named in the message.
    pub fn assign(&mut self, others: &BTreeMap<String, Tensor>, path: &Path) -> Result<(), ParametersError> {
        for (name, tensor) in &mut self.tensors {
            let Some(other) = others.get(name) else {
                return Err(ParametersError::Missing { path: path.to_owned(), name: name.clone() });
            };
            if other.size() != tensor.size() {
                return Err(ParametersError::Shape {
                    path: path.to_owned(),
                    name: name.clone(),
                    found: other.size(),
                    expected: tensor.size(),
                });
            }
            tch::no_grad(|| tensor.copy_(other));
        }
        Ok(())
    }
}

/// Reads every tensor of a safetensors file.
///
/// # Errors
/// If the file cannot be read as one.
pub fn read(path: &Path) -> Result<BTreeMap<String, Tensor>, ParametersError> {
    Tensor::read_safetensors(path)
        .map(|tensors| tensors.into_iter().collect())
        .map_err(|source| ParametersError::Read { path: path.to_owned(), source })
}

/// Writes tensors to a safetensors file.
///
/// # Errors
/// If the file cannot be written.
pub fn write<'a>(tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>, path: &Path) -> Result<(), ParametersError> {
    let host: Vec<(&str, Tensor)> =
        tensors.into_iter().map(|(name, tensor)| (name, tensor.detach().to_device(Device::Cpu).contiguous())).collect();
    Tensor::write_safetensors(&host, path).map_err(|source| ParametersError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    fn one(shape: &[i64]) -> Parameters {
        let mut parameters = Parameters::default();
        let value = Tensor::ones(shape, (tch::Kind::Float, Device::Cpu));
        let _ = parameters.add("weight".to_owned(), &value, Device::Cpu);
        parameters
    }

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        write(one(&[2, 3]).iter(), &path).unwrap();
        one(&[2, 3]).assign(&read(&path).unwrap(), &path).unwrap();
    }

    #[test]
    fn each_way_of_being_wrong_has_its_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        assert!(matches!(read(&path), Err(ParametersError::Read { .. })));
        assert!(matches!(write(one(&[1]).iter(), Path::new("/none/x")), Err(ParametersError::Write { .. })));
        write(one(&[2, 3]).iter(), &path).unwrap();
        let found = one(&[3, 3]).assign(&read(&path).unwrap(), &path);
        assert!(matches!(found, Err(ParametersError::Shape { .. })));
        let found = one(&[3, 3]).assign(&BTreeMap::new(), &path);
        assert!(matches!(found, Err(ParametersError::Missing { .. })));
    }
}
