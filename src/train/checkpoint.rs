//! Checkpoints: every tensor a run needs to go on, and its state as JSON, in one safetensors file written whole.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::TrainError;
use super::run_folder::replace_file;
use crate::inputs::links::Link;

/// Where a run stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Epochs done.
    pub epochs: usize,
    /// The best evaluation so far, if any.
    pub best: Option<Best>,
    /// Seconds of training so far.
    pub seconds: f64,
}

/// The best evaluation of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Epochs done at that evaluation.
    pub epochs: usize,
    /// Hits@1, the mean of both directions; the figure that chooses.
    pub hits_at_1: f64,
}

/// A checkpoint in memory.
#[derive(Debug, Default)]
pub struct Checkpoint {
    /// Where the run stands.
    pub state: State,
    /// Training links as they stand: replayed pairs and pseudo-labels included.
    pub training: Vec<Link>,
    /// The part of them that is pseudo-labels.
    pub pseudo: Vec<Link>,
    /// Parameters and the optimisers' moments by name.
    pub tensors: BTreeMap<String, Tensor>,
}

const STATE: &str = "humea.state";
const TRAINING: &str = "humea.training_links";
const PSEUDO: &str = "humea.pseudo_links";

impl Checkpoint {
    /// Writes the checkpoint; a kill at any moment leaves the old one or the new one.
    ///
    /// # Errors
    /// If a tensor cannot be read, or the disk refuses.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let state = serde_json::to_string(&self.state)?;
        let links = [(TRAINING, &self.training), (PSEUDO, &self.pseudo)];
        let mut raw: Vec<(String, Raw)> = links.map(|(name, links)| (name.to_owned(), Raw::of_links(links))).into();
        for (name, tensor) in &self.tensors {
            raw.push((name.clone(), Raw::of(tensor).map_err(|error| io::Error::other(format!("{name}: {error}")))?));
        }
        let views = raw.iter().map(|(name, raw)| raw.view().map(|view| (name.as_str(), view)));
        let views = views.collect::<Result<Vec<_>, _>>().map_err(io::Error::other)?;
        let metadata = [(STATE.to_owned(), state)].into();
        replace_file(path, &safetensors::serialize(views, Some(metadata)).map_err(io::Error::other)?)
    }

    /// Reads a checkpoint.
    ///
    /// # Errors
    /// If it is missing, or not a checkpoint of a run.
    pub fn load(path: &Path, device: Device) -> Result<Self, TrainError> {
        let bytes = std::fs::read(path).map_err(|source| TrainError::Read { path: path.to_owned(), source })?;
        let damaged = |message: String| TrainError::Damaged { path: path.to_owned(), message };
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|error| damaged(error.to_string()))?;
        let state = metadata.metadata().as_ref().and_then(|map| map.get(STATE));
        let state = state.ok_or_else(|| damaged("it holds no state of a run".to_owned()))?;
        let state = serde_json::from_str(state).map_err(|error| damaged(error.to_string()))?;
        let mut checkpoint = Self { state, ..Self::default() };
        for (name, view) in SafeTensors::deserialize(&bytes).map_err(|error| damaged(error.to_string()))?.tensors() {
            let wrong = |message: String| damaged(format!("{name}: {message}"));
            match name.as_str() {
                TRAINING => checkpoint.training = links_of(&view).map_err(wrong)?,
                PSEUDO => checkpoint.pseudo = links_of(&view).map_err(wrong)?,
                _ => {
                    let tensor = tensor_of(&view).map_err(wrong)?.to_device(device);
                    checkpoint.tensors.insert(name, tensor);
                }
            }
        }
        Ok(checkpoint)
    }
}

/// A tensor as the bytes of a file.
struct Raw {
    kind: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Raw {
    fn of(tensor: &Tensor) -> Result<Self, String> {
        let kind = match tensor.kind() {
            Kind::Float => Dtype::F32,
            Kind::Double => Dtype::F64,
            Kind::Int64 => Dtype::I64,
            other => return Err(format!("{other:?} has no place in a checkpoint")),
        };
        let tensor = tensor.detach().to_device(Device::Cpu).contiguous();
        let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
        tensor.f_copy_data_u8(&mut bytes, tensor.numel()).map_err(|error| error.to_string())?;
        Ok(Self { kind, shape: tensor.size().into_iter().map(|size| size as usize).collect(), bytes })
    }

    fn of_links(links: &[Link]) -> Self {
        let bytes = links.iter().flatten().flat_map(|id| id.to_le_bytes()).collect();
        Self { kind: Dtype::U32, shape: vec![links.len(), 2], bytes }
    }

    fn view(&self) -> Result<TensorView<'_>, safetensors::SafeTensorError> {
        TensorView::new(self.kind, self.shape.clone(), &self.bytes)
    }
}

fn tensor_of(view: &TensorView<'_>) -> Result<Tensor, String> {
    let kind = match view.dtype() {
        Dtype::F32 => Kind::Float,
        Dtype::F64 => Kind::Double,
        Dtype::I64 => Kind::Int64,
        other => return Err(format!("{other:?} has no place in a checkpoint")),
    };
    let shape: Vec<i64> = view.shape().iter().map(|size| *size as i64).collect();
    Tensor::f_from_data_size(view.data(), &shape, kind).map_err(|error| error.to_string())
}

fn links_of(view: &TensorView<'_>) -> Result<Vec<Link>, String> {
    if (view.dtype(), view.shape().get(1)) != (Dtype::U32, Some(&2)) {
        return Err(format!("{:?} {:?} are no links", view.dtype(), view.shape()));
    }
    let id = |bytes: &[u8]| bytes.iter().rev().fold(0_u32, |id, byte| id << 8 | u32::from(*byte));
    Ok(view.data().chunks_exact(8).map(|pair| [id(&pair[..4]), id(&pair[4..])]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_comes_back_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("last.safetensors");
        let tensors = [
            ("a".to_owned(), Tensor::from_slice(&[0.1_f32, f32::MIN_POSITIVE, -0.0]).view([3, 1])),
            ("b".to_owned(), Tensor::from_slice(&[7_i64])),
            ("empty".to_owned(), Tensor::zeros([0, 4], (Kind::Float, Device::Cpu))),
        ];
        let best = Some(Best { epochs: 10, hits_at_1: 0.5 });
        let saved = Checkpoint {
            state: State { epochs: 12, best, seconds: 1.5 },
            training: vec![[1, 70_000], [2, 3]],
            pseudo: vec![[2, 3]],
            tensors: tensors.into(),
        };
        saved.save(&path).unwrap();
        let loaded = Checkpoint::load(&path, Device::Cpu).unwrap();
        assert_eq!((&loaded.state, &loaded.training, &loaded.pseudo), (&saved.state, &saved.training, &saved.pseudo));
        assert_eq!(loaded.tensors.len(), 3);
        for (name, tensor) in &saved.tensors {
            assert_eq!((tensor.size(), tensor), (loaded.tensors[name].size(), &loaded.tensors[name]), "{name}");
        }
    }

    #[test]
    fn what_is_no_checkpoint_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        assert!(matches!(Checkpoint::load(&path, Device::Cpu), Err(TrainError::Read { .. })));
        std::fs::write(&path, "garbage").unwrap();
        assert!(matches!(Checkpoint::load(&path, Device::Cpu), Err(TrainError::Damaged { .. })));
        Tensor::write_safetensors(&[("a", Tensor::from_slice(&[1.0_f32]))], &path).unwrap();
        assert!(matches!(Checkpoint::load(&path, Device::Cpu), Err(TrainError::Damaged { .. })));
        let nowhere = folder.path().join("no/such/folder/last.safetensors");
        assert_eq!(Checkpoint::default().save(&nowhere).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
