//! The learnt tensors by name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tch::{Device, Tensor};

/// What can be wrong with the parameters of a file.
#[derive(Debug, thiserror::Error)]
pub enum ParametersError {
    /// The file lacks a parameter of the model.
    #[error(
        "{path} has no parameter {name:?}; it was written by a model with other modalities or options, or by another \
         version of humea"
    )]
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    const OPTIONS: (tch::Kind, Device) = (tch::Kind::Float, Device::Cpu);

    fn one(shape: &[i64]) -> Parameters {
        let mut parameters = Parameters::default();
        let value = Tensor::ones(shape, OPTIONS);
        let _ = parameters.add("weight".to_owned(), &value, Device::Cpu);
        parameters
    }

    #[test]
    fn only_the_same_names_and_shapes_are_assigned() {
        let path = Path::new("state");
        let of = |value: f64| BTreeMap::from([("weight".to_owned(), Tensor::full([2, 3], value, OPTIONS))]);
        let mut parameters = one(&[2, 3]);
        parameters.assign(&of(7.0), path).unwrap();
        assert_eq!(parameters.iter().next().unwrap().1.detach(), of(7.0)["weight"]);
        assert!(matches!(one(&[3, 3]).assign(&of(7.0), path), Err(ParametersError::Shape { .. })));
        assert!(matches!(one(&[3, 3]).assign(&BTreeMap::new(), path), Err(ParametersError::Missing { .. })));
    }
}
