//! Checkpoints: a model's parameters, everything else a run needs to go on (but in the best one, which none goes on from),
//! and its state as JSON, in one safetensors file written whole.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use data_process::{aside, safetensors_file};
use safetensors::tensor::{Dtype, Metadata, TensorView, View};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::RunError;
use crate::eval::Figures;
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
    /// Its figures, the means of both directions; one of them chooses.
    pub figures: Figures,
}

/// A checkpoint in memory. The best one is there to be judged and used: it has no links and no moments.
#[derive(Debug, Default)]
pub struct Checkpoint {
    /// Where the run stands.
    pub state: State,
    /// Training links as they stand: replayed pairs included, pseudo-labels not.
    pub training: Vec<Link>,
    /// Pseudo-labels, which are trained on as well.
    pub pseudo: Vec<Link>,
    /// Parameters and the optimisers' moments by name.
    pub tensors: BTreeMap<String, Tensor>,
}

const STATE: &str = "humea.state";
const TRAINING: &str = "humea.training_links";
const PSEUDO: &str = "humea.pseudo_links";

impl Checkpoint {
    /// The same on tensors of its own, on the same device: training goes on in the memory of the others.
    #[must_use]
    pub fn copied(mut self) -> Self {
        for tensor in self.tensors.values_mut() {
            *tensor = tensor.detach().copy();
        }
        self
    }

    /// Writes the checkpoint; a kill at any moment leaves the old one or the new one.
    ///
    /// # Errors
    /// If a tensor cannot be read, or the disk refuses.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let metadata = [(STATE.to_owned(), serde_json::to_string(&self.state)?)];
        let links = [(TRAINING, &self.training), (PSEUDO, &self.pseudo)];
        let mut entries: Vec<(&str, Entry<'_>)> = links.map(|(name, links)| (name, Entry::of_links(links))).into();
        for (name, tensor) in &self.tensors {
            let entry = Entry::of(tensor).map_err(|error| io::Error::other(format!("{name}: {error}")))?;
            entries.push((name, entry));
        }
        aside::replace_with(path, |file| safetensors_file::write(file, entries, Some(metadata.into())))
    }

    /// Reads a checkpoint.
    ///
    /// # Errors
    /// If it is missing, or not a checkpoint of a run.
    pub fn load(path: &Path, device: Device) -> Result<Self, RunError> {
        Self::load_some(path, device, |_| true)
    }

    /// Reads a checkpoint but for the tensors whose names are not `wanted`: the optimisers' are twice as large as the model.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_some(path: &Path, device: Device, wanted: impl Fn(&str) -> bool) -> Result<Self, RunError> {
        Self::read(path, device, wanted).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                RunError::Damaged { path: path.to_owned(), message: error.to_string() }
            }
            _ => RunError::Read { path: path.to_owned(), source: error },
        })
    }

    /// Tensor by tensor, so that never more than one is held twice.
    fn read(path: &Path, device: Device, wanted: impl Fn(&str) -> bool) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let header = read_header(&mut file)?;
        let state = header.metadata().as_ref().and_then(|map| map.get(STATE));
        let state = serde_json::from_str(state.ok_or_else(|| damaged("it holds no state of a run"))?)?;
        let mut checkpoint = Self { state, ..Self::default() };
        for name in header.offset_keys() {
            let Some(info) = header.info(&name) else { continue };
            let size = info.data_offsets.1 - info.data_offsets.0;
            let links = [TRAINING, PSEUDO].contains(&name.as_str());
            if !links && !wanted(&name) {
                file.seek(SeekFrom::Current(size as i64))?;
                continue;
            }
            let mut bytes = vec![0; size];
            file.read_exact(&mut bytes)?;
            let view = TensorView::new(info.dtype, info.shape.clone(), &bytes).map_err(damaged)?;
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

/// The names, kinds and places of a safetensors file's tensors, which fill the rest of it exactly.
fn read_header(file: &mut File) -> io::Result<Metadata> {
    let (mut size, length) = ([0; 8], file.metadata()?.len());
    file.read_exact(&mut size)?;
    let size = u64::from_le_bytes(size);
    let rest = length.checked_sub(8).and_then(|rest| rest.checked_sub(size));
    let rest = rest.ok_or_else(|| damaged(format!("a header of {size} bytes in a file of {length}")))?;
    let mut header = vec![0; size as usize];
    file.read_exact(&mut header)?;
    let header: Metadata = serde_json::from_slice(&header)?;
    if header.data_len() as u64 != rest {
        return Err(damaged(format!("{rest} bytes of tensors instead of {}", header.data_len())));
    }
    Ok(header)
}

fn damaged(error: impl Into<Box<dyn Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// A tensor on its way into a file; its bytes are copied when their turn comes, so that never more than one is held twice.
struct Entry<'a> {
    kind: Dtype,
    shape: Vec<usize>,
    values: Values<'a>,
}

enum Values<'a> {
    Tensor(&'a Tensor),
    Bytes(Vec<u8>),
}

impl<'a> Entry<'a> {
    fn of(tensor: &'a Tensor) -> Result<Self, String> {
        let kind = match tensor.kind() {
            Kind::Float => Dtype::F32,
            Kind::Double => Dtype::F64,
            Kind::Int64 => Dtype::I64,
            other => return Err(format!("{other:?} has no place in a checkpoint")),
        };
        let shape = tensor.size().into_iter().map(|size| size as usize).collect();
        Ok(Self { kind, shape, values: Values::Tensor(tensor) })
    }

    fn of_links(links: &[Link]) -> Self {
        let bytes = links.iter().flatten().flat_map(|id| id.to_le_bytes()).collect();
        Self { kind: Dtype::U32, shape: vec![links.len(), 2], values: Values::Bytes(bytes) }
    }
}

impl View for Entry<'_> {
    fn dtype(&self) -> Dtype {
        self.kind
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match &self.values {
            Values::Tensor(tensor) => {
                let mut bytes = vec![0; self.data_len()];
                tensor.detach().to_device(Device::Cpu).contiguous().copy_data_u8(&mut bytes, tensor.numel());
                bytes.into()
            }
            Values::Bytes(bytes) => bytes.into(),
        }
    }

    fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * self.kind.bitsize() / 8
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
        // Read with less care, this number changes its last bit.
        let figures = Figures { mrr: 0.202_594_533_562_660_22, ..Figures::default() };
        let best = Some(Best { epochs: 10, figures });
        let saved = Checkpoint {
            state: State { epochs: 12, best, seconds: 1.5 },
            training: vec![[1, 70_000], [2, 3]],
            pseudo: vec![[2, 3]],
            tensors: tensors.into(),
        };
        saved.save(&path).unwrap();
        assert_is_the_only_file(&path);
        let loaded = Checkpoint::load(&path, Device::Cpu).unwrap();
        let some = Checkpoint::load_some(&path, Device::Cpu, |name| name == "b").unwrap();
        assert_eq!((&some.training, &some.pseudo), (&loaded.training, &loaded.pseudo));
        assert!(some.tensors.len() == 1 && some.tensors["b"] == loaded.tensors["b"]);
        assert_eq!((&loaded.state, &loaded.training, &loaded.pseudo), (&saved.state, &saved.training, &saved.pseudo));
        assert_eq!(loaded.tensors.len(), 3);
        for (name, tensor) in &saved.tensors {
            assert_eq!((tensor.size(), tensor), (loaded.tensors[name].size(), &loaded.tensors[name]), "{name}");
        }
    }

    /// A file that whoever reads the run's other files may read, and nothing left beside it.
    #[cfg(unix)]
    fn assert_is_the_only_file(path: &Path) {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(path.parent().unwrap().read_dir().unwrap().count(), 1);
        let plain = path.with_extension("plain");
        std::fs::write(&plain, "").unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
        assert_eq!(mode(path), mode(&plain));
    }

    #[cfg(not(unix))]
    fn assert_is_the_only_file(_path: &Path) {}

    #[test]
    fn what_is_no_checkpoint_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        assert!(matches!(Checkpoint::load(&path, Device::Cpu), Err(RunError::Read { .. })));
        std::fs::write(&path, "garbage").unwrap();
        assert!(matches!(Checkpoint::load(&path, Device::Cpu), Err(RunError::Damaged { .. })));
        Tensor::write_safetensors(&[("a", Tensor::from_slice(&[1.0_f32]))], &path).unwrap();
        assert!(matches!(Checkpoint::load(&path, Device::Cpu), Err(RunError::Damaged { .. })));
        // Cut short at every length.
        Checkpoint { training: vec![[1, 2]], ..Checkpoint::default() }.save(&path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(matches!(Checkpoint::load(&path, Device::Cpu), Err(RunError::Damaged { .. })), "{length}");
        }
        let nowhere = folder.path().join("no/such/folder/last.safetensors");
        assert_eq!(Checkpoint::default().save(&nowhere).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
