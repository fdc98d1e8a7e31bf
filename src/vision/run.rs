//! Folder of images → vector column of a store. Images are decoded on all cores while the network works on the batch
//! before; one that cannot be decoded is counted and named, and the run goes on.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use data_process::event::{Event, Observer, Unit};
use data_process::fault::{Fault, Kind as FaultKind};
use data_process::store::{NewVectors, Provenance, Store, StoreError};
use data_process::vectors::import::{coverage_json, entities_of, read_indexes};
use data_process::vectors::{Coverage, Entities, VectorError};
use rayon::prelude::*;
use serde_json::json;
use tch::{Device, Kind, Tensor};

use super::pictures::{self, PictureError, Pictures};
use super::pixels::{self, PixelError};
use super::vgg::{Layer, Vgg, VggError};
use crate::device::keep_freed_memory;
use crate::plm::weights::Weights;
use crate::transfer::{self, Arriving};

/// Files that are named one by one; beyond these they are only counted.
const MOST_NOTES: usize = 20;

/// What is to be embedded, and how.
#[derive(Clone, Debug)]
pub struct Request {
    /// The store.
    pub store: PathBuf,
    /// The column, usually `image`.
    pub column: String,
    /// Folders of images.
    pub folders: Vec<PathBuf>,
    /// Index files that connect entities with image names; none if files are named after entities.
    pub indexes: Vec<PathBuf>,
    /// The weights.
    pub weights: PathBuf,
    /// Name and revision of the model, for the store.
    pub model: [Option<String>; 2],
    /// What is taken from the network.
    pub layer: Layer,
    /// Images per batch.
    pub batch: usize,
    /// Where to compute.
    pub device: Device,
}

/// What was embedded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Embedded {
    /// Floats per vector.
    pub width: usize,
    /// The names of the graphs.
    pub graphs: [String; 2],
    /// How complete the column is.
    pub coverage: Coverage,
    /// Images that could not be decoded.
    pub failed: usize,
}

/// What can go wrong; a damaged image is none of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbedError {
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The folder or the index is wrong.
    #[error(transparent)]
    Pictures(#[from] PictureError),
    /// An index file is wrong.
    #[error(transparent)]
    Index(#[from] VectorError),
    /// The weights cannot be read or are not those of a VGG, or libtorch failed.
    #[error(transparent)]
    Vgg(#[from] VggError),
    /// Not one image could be decoded.
    #[error("none of the {0} images could be decoded; see the notes above")]
    AllFailed(usize),
    /// The network gave something that is not a number.
    #[error("the vector of {} holds NaN or an infinite number; are the weights damaged?", path.display())]
    NotFinite {
        /// The image.
        path: PathBuf,
    },
    /// The user stopped the run.
    #[error("stopped after {done} of {of} images; the store is as it was")]
    Interrupted {
        /// Images done.
        done: usize,
        /// Images in all.
        of: usize,
    },
}

impl Fault for EmbedError {
    fn kind(&self) -> FaultKind {
        match self {
            Self::Store(error) => error.kind(),
            Self::Pictures(error) => error.kind(),
            Self::Index(error) => error.kind(),
            Self::Vgg(error) => error.kind(),
            Self::AllFailed(_) | Self::NotFinite { .. } => FaultKind::Data,
            Self::Interrupted { .. } => FaultKind::Interrupted,
        }
    }
}

/// Embeds the images and writes the column.
///
/// # Errors
/// If the store, the folder, the index or the weights are wrong, or `stop` said so; the store is then as it was.
pub fn embed_images(
    request: &Request,
    observer: &dyn Observer,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Embedded, EmbedError> {
    let store = Store::open(&request.store)?;
    let entities = entities_of(&store)?;
    let indexes = read_indexes(&request.indexes, &entities)?;
    let pictures = pictures::find(&request.folders, &entities, &indexes)?;
    let vgg = network(request)?;
    let column = run(request, &vgg, &pictures, observer, stop)?;
    let coverage = Coverage { present: present(&column.rows, &entities), ..pictures.coverage };
    let provenance = provenance(request, &entities, &coverage, column.failed);
    let vectors = NewVectors {
        name: &request.column,
        width: column.width,
        rows: &column.rows,
        values: &column.values,
        provenance: &provenance,
    };
    store.put_vectors(&[vectors])?;
    Ok(Embedded { width: column.width, graphs: entities.graphs().clone(), coverage, failed: column.failed })
}

fn network(request: &Request) -> Result<Vgg, VggError> {
    let files = std::slice::from_ref(&request.weights);
    Vgg::new(&Weights::open(files, request.device, Kind::Float)?)
}

fn present(rows: &[u32], entities: &Entities) -> [usize; 2] {
    let left = rows.partition_point(|id| (*id as usize) < entities.sides()[0]);
    [left, rows.len() - left]
}

fn provenance(request: &Request, entities: &Entities, coverage: &Coverage, failed: usize) -> Provenance {
    let folders: Vec<String> = request.folders.iter().map(|folder| folder.display().to_string()).collect();
    let [model, revision] = request.model.clone();
    let mut provenance = Provenance { source: folders.join(", "), model, revision, ..Provenance::default() };
    provenance.details.insert("layer".to_owned(), json!(request.layer.name()));
    provenance.details.insert("undecodable".to_owned(), json!(failed));
    provenance.details.insert("coverage".to_owned(), coverage_json(entities.graphs(), coverage));
    provenance
}

/// The column as it grows.
#[derive(Debug, Default)]
struct Column {
    width: usize,
    rows: Vec<u32>,
    values: Vec<f32>,
    failed: usize,
}

/// One batch of images.
struct Decoded<'a> {
    /// Entities and files of those that could be decoded.
    good: Vec<&'a (u32, PathBuf)>,
    /// Their pixels, one after another.
    floats: Vec<f32>,
    /// The others, and why.
    damaged: Vec<(&'a Path, PixelError)>,
}

impl<'a> Decoded<'a> {
    fn of(files: &'a [(u32, PathBuf)]) -> Self {
        let read: Vec<_> = files.par_iter().map(|(_, path)| pixels::read(path)).collect();
        let mut decoded = Self { good: Vec::new(), floats: Vec::new(), damaged: Vec::new() };
        for (file, pixels) in files.iter().zip(read) {
            match pixels {
                Ok(pixels) => {
                    decoded.good.push(file);
                    decoded.floats.extend(pixels);
                }
                Err(error) => decoded.damaged.push((&file.1, error)),
            }
        }
        decoded
    }
}

/// A batch that the network has been given.
struct Underway<'a> {
    good: Vec<&'a (u32, PathBuf)>,
    vectors: Arriving,
}

fn run(
    request: &Request,
    vgg: &Vgg,
    pictures: &Pictures,
    observer: &dyn Observer,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Column, EmbedError> {
    let (files, batch) = (&pictures.files, request.batch.max(1));
    observer.on(Event::Started { task: "embedding images", total: Some(files.len() as u64), unit: Unit::Items });
    // Every batch needs the same room.
    keep_freed_memory();
    let (sender, receiver) = sync_channel(1);
    // The receiver goes with the closure, however that ends: a decoder that waits to send then gives up.
    let column = std::thread::scope(move |scope| {
        scope.spawn(move || decode(files, batch, &sender, stop));
        collect(request, vgg, files, &receiver, observer, stop)
    })?;
    observer.on(Event::Finished);
    if column.rows.is_empty() { Err(EmbedError::AllFailed(files.len())) } else { Ok(column) }
}

/// Decodes batch after batch, one ahead of the network; ends when nobody listens any more.
fn decode<'a>(
    files: &'a [(u32, PathBuf)],
    batch: usize,
    sender: &SyncSender<Decoded<'a>>,
    stop: &(dyn Fn() -> bool + Sync),
) {
    for part in files.chunks(batch) {
        let decoded = Decoded::of(part);
        if stop() || sender.send(decoded).is_err() {
            return;
        }
    }
}

fn collect(
    request: &Request,
    vgg: &Vgg,
    files: &[(u32, PathBuf)],
    receiver: &Receiver<Decoded>,
    observer: &dyn Observer,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Column, EmbedError> {
    let (mut column, mut done, mut underway) = (Column::default(), 0, None);
    for part in files.chunks(request.batch.max(1)) {
        let decoded = if stop() { None } else { receiver.recv().ok() };
        let Decoded { good, floats, damaged } = decoded.ok_or(EmbedError::Interrupted { done, of: files.len() })?;
        for (path, error) in damaged {
            column.note(path, &error, observer);
        }
        // A GPU has the next batch before the host waits for the one before.
        let next = if good.is_empty() {
            None
        } else {
            Some(Underway { vectors: forward(vgg, &floats, good.len(), request)?, good })
        };
        if let Some(before) = std::mem::replace(&mut underway, next) {
            column.add(before)?;
        }
        done += part.len();
        observer.on(Event::Advanced(part.len() as u64));
    }
    underway.map_or(Ok(()), |last| column.add(last))?;
    Ok(column)
}

impl Column {
    fn add(&mut self, Underway { good, vectors }: Underway) -> Result<(), EmbedError> {
        let vectors = vectors.wait();
        let width = vectors.size()[1] as usize;
        let start = self.values.len();
        self.values.resize(start + good.len() * width, 0.0);
        vectors.f_copy_data(&mut self.values[start..], good.len() * width).map_err(VggError::from)?;
        let broken = self.values[start..].iter().position(|value| !value.is_finite()).map(|place| place / width);
        if let Some(at) = broken {
            return Err(EmbedError::NotFinite { path: good[at].1.clone() });
        }
        self.width = width;
        self.rows.extend(good.iter().map(|(id, _)| *id));
        Ok(())
    }

    fn note(&mut self, path: &Path, error: &PixelError, observer: &dyn Observer) {
        self.failed += 1;
        if self.failed <= MOST_NOTES {
            observer.on(Event::Note(&format!("no vector from {}: {error}", path.display())));
        }
    }
}

fn forward(vgg: &Vgg, floats: &[f32], images: usize, request: &Request) -> Result<Arriving, VggError> {
    let side = pixels::SIDE as i64;
    let _no_grad = tch::no_grad_guard();
    let batch = Tensor::from_slice(floats).f_reshape([images as i64, 3, side, side])?;
    let batch = transfer::f_send(&batch, request.device)?;
    Ok(Arriving::begin(&vgg.forward(&batch, request.layer)?.f_to_kind(Kind::Float)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_process::event::{Notes, Silent};
    use data_process::pair::{Graph, GraphPair};
    use data_process::store;

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/vision").join(name)
    }

    fn request(batch: usize) -> Request {
        Request {
            store: PathBuf::new(),
            column: "image".to_owned(),
            folders: Vec::new(),
            indexes: Vec::new(),
            weights: fixture("timm.safetensors"),
            model: [None, None],
            layer: Layer::Fc7,
            batch,
            device: Device::Cpu,
        }
    }

    fn pictures(names: &[&str]) -> Pictures {
        let files = names.iter().enumerate().map(|(at, name)| (at as u32 * 2, fixture(name))).collect();
        Pictures { files, coverage: Coverage::default() }
    }

    fn vgg() -> Vgg {
        network(&request(1)).unwrap()
    }

    /// Weights whose vectors are not finite.
    fn broken(folder: &Path) -> PathBuf {
        let tensors = Tensor::read_safetensors(fixture("timm.safetensors")).unwrap();
        let path = folder.join("broken.safetensors");
        let nan = tensors
            .into_iter()
            .map(|(name, tensor)| if name.ends_with("bias") { (name, tensor * f64::NAN) } else { (name, tensor) });
        Tensor::write_safetensors(&nan.collect::<Vec<_>>(), &path).unwrap();
        path
    }

    /// A store with one entity, whose image is the picture.
    fn on_a_store(folder: &Path) -> Request {
        let graph =
            |name: &str| Graph { name: name.into(), entities: [name.into()].into_iter().collect(), ..Graph::default() };
        let (store, index) = (folder.join("pair.parquet"), folder.join("index.txt"));
        let pair = GraphPair { left: graph("left"), right: graph("right"), links: vec![(0, 0)] };
        store::write(&store, &pair, &[]).unwrap();
        std::fs::write(&index, "left\tpicture\n").unwrap();
        std::fs::create_dir(folder.join("images")).unwrap();
        std::fs::copy(fixture("picture.png"), folder.join("images/picture.png")).unwrap();
        Request { store, indexes: vec![index], folders: vec![folder.join("images")], ..request(1) }
    }

    #[test]
    fn whatever_is_wrong_has_its_own_error_and_the_store_stays_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let good = on_a_store(folder.path());
        let before = std::fs::read(&good.store).unwrap();
        let nowhere = || folder.path().join("nowhere.safetensors");
        let error = |request: &Request| embed_images(request, &Silent, &|| false).unwrap_err();
        assert!(matches!(error(&Request { store: nowhere(), ..good.clone() }), EmbedError::Store(_)));
        assert!(matches!(error(&Request { folders: vec![nowhere()], ..good.clone() }), EmbedError::Pictures(_)));
        assert!(matches!(error(&Request { indexes: vec![nowhere()], ..good.clone() }), EmbedError::Index(_)));
        assert!(matches!(
            error(&Request { weights: nowhere(), ..good.clone() }),
            EmbedError::Vgg(VggError::Weights(_))
        ));
        let not_finite = error(&Request { weights: broken(folder.path()), ..good.clone() });
        assert!(matches!(&not_finite, EmbedError::NotFinite { path } if path.ends_with("picture.png")), "{not_finite}");
        assert_eq!(before, std::fs::read(&good.store).unwrap());
        assert_eq!(embed_images(&good, &Silent, &|| false).unwrap().coverage.present, [1, 0]);
    }

    #[test]
    fn a_damaged_image_is_noted_and_the_others_are_embedded_whatever_the_batch() {
        let pictures = pictures(&["picture.png", "make.py", "grey.png", "palette.png"]);
        let notes = Notes::default();
        let column = run(&request(3), &vgg(), &pictures, &notes, &|| false).unwrap();
        assert_eq!((column.rows.as_slice(), column.failed, column.width), (&[0, 4, 6][..], 1, 16));
        assert!(notes.into_lines().iter().any(|note| note.contains("make.py")));
        let single = run(&request(1), &vgg(), &pictures, &Silent, &|| false).unwrap();
        let difference = column.values.iter().zip(&single.values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(difference < 1e-4 && single.rows == column.rows, "{difference}");
        assert!(column.values.iter().all(|value| *value >= 0.0), "after ReLU");
    }

    #[test]
    fn a_failure_in_the_middle_ends_the_decoding_of_what_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let request = Request { weights: broken(folder.path()), ..request(1) };
        let error = run(&request, &network(&request).unwrap(), &pictures(&["picture.png"; 9]), &Silent, &|| false);
        assert!(matches!(error.unwrap_err(), EmbedError::NotFinite { .. }));
    }

    #[test]
    fn a_run_can_be_stopped_and_can_fail_whole() {
        let error = run(&request(1), &vgg(), &pictures(&["picture.png"]), &Silent, &|| true).unwrap_err();
        assert!(matches!(error, EmbedError::Interrupted { done: 0, of: 1 }), "{error}");
        let error = run(&request(1), &vgg(), &pictures(&["make.py"]), &Silent, &|| false).unwrap_err();
        assert!(matches!(error, EmbedError::AllFailed(1)), "{error}");
    }
}
