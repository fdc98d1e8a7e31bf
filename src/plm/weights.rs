//! Named tensors of a pretrained model: safetensors, one file or several, mapped and never copied unless cast or moved;
//! or `.bin` files as torch writes them, by a reader that runs no code.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use data_process::fault::{Fault, Kind as FaultKind};
use data_process::vectors::element::Element;
use data_process::vectors::torch_file::{TorchFile, TorchFileError};
use safetensors::{Dtype, SafeTensors};
use tch::{Device, Kind, Tensor};

use super::mapping::{Mapping, tensor_over};

/// What can be wrong with weights.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// A weight file cannot be opened.
    #[error("cannot read the weights {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A weight file is not what its name says.
    #[error("{path} is not a valid weight file ({reason}); fetch it again")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A torch file that is damaged or would run code.
    #[error(transparent)]
    Torch(#[from] TorchFileError),
    /// The index of a sharded model cannot be understood.
    #[error("{path} is not a valid index of weight files: {reason}")]
    Index {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A tensor the architecture needs is not there.
    #[error("the weights {model} have no tensor {name:?}; is config.json of another model?")]
    Missing {
        /// The first weight file.
        model: String,
        /// The tensor.
        name: String,
    },
    /// A tensor the architecture needs is of a kind that is not read.
    #[error(
        "the tensor {name:?} of {model} is stored as {stored}, which is not read; fetch float32, bfloat16 or float16 weights"
    )]
    Stored {
        /// The first weight file.
        model: String,
        /// The tensor.
        name: String,
        /// How its numbers are stored.
        stored: String,
    },
    /// A tensor has another shape than config.json says.
    #[error("the tensor {name:?} of {model} is {found:?} where config.json asks for {expected:?}")]
    Shape {
        /// The first weight file.
        model: String,
        /// The tensor.
        name: String,
        /// Its shape.
        found: Vec<i64>,
        /// The shape the configuration asks for.
        expected: Vec<i64>,
    },
}

impl Fault for WeightsError {
    fn kind(&self) -> FaultKind {
        match self {
            Self::Read { .. } => FaultKind::Input,
            Self::Torch(error) => error.kind(),
            _ => FaultKind::Data,
        }
    }
}

/// Endings of files that `torch.save` writes.
const TORCH_FILES: [&str; 3] = ["bin", "pt", "pth"];

/// The tensors of a model by name, given out in one kind on one device.
#[derive(Debug)]
pub struct Weights {
    model: String,
    device: Device,
    kind: Kind,
    /// Tensors as stored until first asked for, as given out from then on.
    tensors: RefCell<HashMap<String, Tensor>>,
    /// Tensors of a kind that is not read, and that kind.
    unread: HashMap<String, String>,
}

impl Weights {
    /// Maps the tensors of all `files`; those of a `.bin` file are read into memory, and nothing in it is run.
    pub fn open(files: &[PathBuf], device: Device, kind: Kind) -> Result<Self, WeightsError> {
        let mut all = Stored::default();
        for file in files {
            let torch = file.extension().is_some_and(|extension| TORCH_FILES.iter().any(|known| extension == *known));
            let stored = if torch { read_torch(file)? } else { read_safetensors(file)? };
            all.tensors.extend(stored.tensors);
            all.unread.extend(stored.unread);
        }
        Ok(Self { unread: all.unread, ..Self::from_tensors(first_name(files), all.tensors, device, kind) })
    }

    /// Weights that are in memory already.
    pub fn from_tensors(model: String, tensors: HashMap<String, Tensor>, device: Device, kind: Kind) -> Self {
        Self { model, device, kind, tensors: RefCell::new(tensors), unread: HashMap::new() }
    }

    /// Whether there is such a tensor.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.borrow().contains_key(name)
    }

    /// The tensors below the first of the `prefixes` under which there is a tensor `probe`; the first prefix if none.
    pub fn below(&self, prefixes: &[&str], probe: &str) -> Scope<'_> {
        let prefix = prefixes.iter().find(|prefix| self.has(&format!("{prefix}{probe}"))).or(prefixes.first());
        Scope { weights: self, prefix: prefix.map_or_else(String::new, |&prefix| prefix.to_owned()) }
    }

    /// A tensor of known shape.
    pub fn tensor(&self, name: &str, shape: &[i64]) -> Result<Tensor, WeightsError> {
        let mut tensors = self.tensors.borrow_mut();
        let Some(tensor) = tensors.get_mut(name) else {
            return Err(self.missing(name));
        };
        if tensor.size() != shape {
            let (found, expected) = (tensor.size(), shape.to_vec());
            return Err(WeightsError::Shape { model: self.model.clone(), name: name.to_owned(), found, expected });
        }
        Ok(self.give_out(tensor))
    }

    /// A tensor of whatever shape it has.
    pub fn any_shape(&self, name: &str) -> Result<Tensor, WeightsError> {
        match self.tensors.borrow_mut().get_mut(name) {
            Some(tensor) => Ok(self.give_out(tensor)),
            None => Err(self.missing(name)),
        }
    }

    fn missing(&self, name: &str) -> WeightsError {
        let (model, name) = (self.model.clone(), name.to_owned());
        match self.unread.get(&name) {
            Some(stored) => WeightsError::Stored { model, name, stored: stored.clone() },
            None => WeightsError::Missing { model, name },
        }
    }

    fn give_out(&self, tensor: &mut Tensor) -> Tensor {
        // `to_device` and `to_kind` give the same tensor back when there is nothing to do: a float32 file stays mapped.
        let given = tensor.to_device(self.device).to_kind(self.kind);
        *tensor = given.shallow_clone();
        given
    }

    /// The names of all tensors, in no order.
    pub fn names(&self) -> Vec<String> {
        self.tensors.borrow().keys().cloned().collect()
    }
}

/// The tensors whose names begin with a prefix.
#[derive(Clone, Debug)]
pub struct Scope<'a> {
    weights: &'a Weights,
    prefix: String,
}

impl<'a> Scope<'a> {
    /// The tensors one name further down.
    #[must_use]
    pub fn at(&self, name: impl std::fmt::Display) -> Scope<'a> {
        Scope { weights: self.weights, prefix: format!("{}{name}.", self.prefix) }
    }

    /// A tensor of known shape.
    pub fn tensor(&self, name: &str, shape: &[i64]) -> Result<Tensor, WeightsError> {
        self.weights.tensor(&format!("{}{name}", self.prefix), shape)
    }

    /// The same under the first of its names that there is.
    pub fn first_of(&self, names: &[&str], shape: &[i64]) -> Result<Tensor, WeightsError> {
        let known = names.iter().find(|name| self.has(name)).or(names.first());
        self.tensor(known.copied().unwrap_or_default(), shape)
    }

    /// Whether there is such a tensor.
    pub fn has(&self, name: &str) -> bool {
        self.weights.has(&format!("{}{name}", self.prefix))
    }

    /// The tensor if there is one of that name.
    pub fn optional(&self, name: &str, shape: &[i64]) -> Result<Option<Tensor>, WeightsError> {
        if self.has(name) { self.tensor(name, shape).map(Some) } else { Ok(None) }
    }
}

/// The files a sharded model's index names, in order, beside the index.
pub fn shards(index: &Path) -> Result<Vec<String>, WeightsError> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: HashMap<String, String>,
    }
    let text = std::fs::read(index).map_err(|source| WeightsError::Read { path: index.to_owned(), source })?;
    let wrong = |reason: String| WeightsError::Index { path: index.to_owned(), reason };
    let parsed: Index = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
    let names: BTreeSet<String> = parsed.weight_map.into_values().collect();
    match names.iter().find(|name| name.contains(['/', '\\']) || name.as_str() == "..") {
        Some(name) => Err(wrong(format!("it names {name:?}, which is not a file beside it"))),
        None if names.is_empty() => Err(wrong("it names no file".to_owned())),
        None => Ok(names.into_iter().collect()),
    }
}

fn first_name(files: &[PathBuf]) -> String {
    files.first().map_or_else(|| "(no files)".to_owned(), |path| path.display().to_string())
}

/// What a weight file holds.
#[derive(Default)]
struct Stored {
    /// The tensors by name.
    tensors: HashMap<String, Tensor>,
    /// Those of a kind that is not read, and that kind.
    unread: HashMap<String, String>,
}

fn read_safetensors(path: &Path) -> Result<Stored, WeightsError> {
    let mapping = Mapping::open(path).map_err(|source| WeightsError::Read { path: path.to_owned(), source })?;
    let wrong = |reason: String| WeightsError::Format { path: path.to_owned(), reason };
    let file = SafeTensors::deserialize(mapping.bytes()).map_err(|error| wrong(error.to_string()))?;
    let mut stored = Stored::default();
    for (name, view) in file.iter() {
        let Some(kind) = kind_of(view.dtype()) else {
            stored.unread.insert(name.to_owned(), format!("{:?}", view.dtype()));
            continue;
        };
        let shape: Vec<i64> = view.shape().iter().map(|&n| n as i64).collect();
        let tensor = tensor_over(view.data(), &shape, kind)
            .ok_or_else(|| wrong(format!("tensor {name:?} does not fill its shape {shape:?}")))?;
        stored.tensors.insert(name.to_owned(), tensor);
    }
    Ok(stored)
}

fn read_torch(path: &Path) -> Result<Stored, WeightsError> {
    let file = TorchFile::open(path)?;
    let mut stored = Stored::default();
    for name in file.names() {
        let array = file.tensor(name)?;
        // Training scripts wrap the model: {"state_dict": {…}}.
        let name = name.strip_prefix("state_dict.").unwrap_or(name).to_owned();
        let kind = match array.element {
            Element::F64 => Kind::Double,
            Element::F32 => Kind::Float,
            Element::F16 => Kind::Half,
            Element::Bf16 => Kind::BFloat16,
            other => {
                stored.unread.insert(name, format!("{other:?}"));
                continue;
            }
        };
        let shape: Vec<i64> = array.shape.iter().map(|&n| n as i64).collect();
        let tensor = Tensor::f_from_data_size(&array.bytes, &shape, kind)
            .map_err(|error| WeightsError::Format { path: path.to_owned(), reason: error.to_string() })?;
        stored.tensors.insert(name, tensor);
    }
    Ok(stored)
}

/// The kinds of numbers that models are made of; tensors of any other are passed over.
fn kind_of(dtype: Dtype) -> Option<Kind> {
    Some(match dtype {
        Dtype::F64 => Kind::Double,
        Dtype::F32 => Kind::Float,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::I64 => Kind::Int64,
        _ => return None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn saved(folder: &Path, name: &str, tensors: &[(&str, Tensor)]) -> PathBuf {
        let path = folder.join(name);
        Tensor::write_safetensors(tensors, &path).unwrap();
        path
    }

    #[test]
    fn tensors_come_mapped_or_cast_from_several_files() {
        let folder = tempfile::tempdir().unwrap();
        let a = saved(folder.path(), "a.safetensors", &[("x.w", Tensor::from_slice(&[1.0_f32, 2.0]))]);
        let b = saved(folder.path(), "b.safetensors", &[("y", Tensor::from_slice(&[3.0_f32]))]);
        let weights = Weights::open(&[a.clone(), b], Device::Cpu, Kind::Float).unwrap();
        let scope = weights.below(&["z.", "x."], "w");
        let first = scope.tensor("w", &[2]).unwrap();
        assert_eq!(first.data_ptr(), scope.tensor("w", &[2]).unwrap().data_ptr(), "no copies");
        assert_eq!(first.data_ptr(), scope.first_of(&["v", "w"], &[2]).unwrap().data_ptr());
        assert_eq!(Vec::<f32>::try_from(weights.tensor("y", &[1]).unwrap()).unwrap(), [3.0]);
        let cast = Weights::open(&[a], Device::Cpu, Kind::BFloat16).unwrap();
        assert_eq!(cast.tensor("x.w", &[2]).unwrap().kind(), Kind::BFloat16);
    }

    #[test]
    fn a_missing_tensor_and_a_wrong_shape_are_named() {
        let weights = Weights::from_tensors(
            "m.safetensors".to_owned(),
            HashMap::from([("w".to_owned(), Tensor::from_slice(&[1.0_f32]))]),
            Device::Cpu,
            Kind::Float,
        );
        assert!(matches!(weights.tensor("v", &[1]), Err(WeightsError::Missing { .. })));
        assert!(matches!(weights.any_shape("v"), Err(WeightsError::Missing { .. })));
        assert!(matches!(weights.tensor("w", &[2]), Err(WeightsError::Shape { .. })));
        let neither = weights.below(&["a."], "").first_of(&["v", "u"], &[1]).unwrap_err();
        assert!(matches!(&neither, WeightsError::Missing { name, .. } if name == "a.v"), "{neither}");
        let error = weights.tensor("w", &[2]).unwrap_err();
        assert_eq!(error.to_string(), "the tensor \"w\" of m.safetensors is [1] where config.json asks for [2]");
    }

    #[test]
    fn a_tensor_of_a_kind_that_is_not_read_is_named_with_its_kind() {
        let folder = tempfile::tempdir().unwrap();
        let numbers = Tensor::from_slice(&[1_i8, 2]);
        let path = saved(folder.path(), "quantised.safetensors", &[("w", numbers)]);
        let weights = Weights::open(&[path], Device::Cpu, Kind::Float).unwrap();
        let error = weights.tensor("w", &[2]).unwrap_err();
        assert!(matches!(&error, WeightsError::Stored { stored, .. } if stored == "I8"), "{error}");
    }

    #[test]
    fn files_that_are_not_weights_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let open = || Weights::open(std::slice::from_ref(&path), Device::Cpu, Kind::Float);
        assert!(matches!(open(), Err(WeightsError::Read { .. })));
        for bytes in [&b""[..], b"garbage", b"\xff\xff\xff\xff\xff\xff\xff\xff{}", b"\x80\x02cos\nsystem\n"] {
            std::fs::write(&path, bytes).unwrap();
            assert!(matches!(open(), Err(WeightsError::Format { .. })), "{bytes:?}");
        }
    }

    #[test]
    fn a_hostile_pickle_is_refused_and_not_run() {
        let evil = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/vectors/evil.bin");
        let error = Weights::open(&[evil], Device::Cpu, Kind::Float).unwrap_err();
        assert!(matches!(error, WeightsError::Torch(_)), "{error:?}");
        assert!(error.to_string().contains("was not run"), "{error}");
    }

    #[test]
    fn an_index_names_each_file_once_and_only_beside_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors.index.json");
        std::fs::write(&path, r#"{"weight_map": {"a": "2.safetensors", "b": "1.safetensors", "c": "2.safetensors"}}"#)
            .unwrap();
        assert_eq!(shards(&path).unwrap(), ["1.safetensors", "2.safetensors"]);
        for text in [r#"{"weight_map": {"a": "../x"}}"#, r#"{"weight_map": {}}"#, "{}", "["] {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(shards(&path), Err(WeightsError::Index { .. })), "{text}");
        }
    }
}
