//! `humea embed-image`.
#![allow(clippy::doc_markdown, reason = "the help prints these texts as they stand")]

use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use data_process::fault::{Fault, Kind};
use data_process::store::Store;

use super::exit::Failure;
use super::stdout;
use crate::device::{self, Wanted};
use crate::interrupt;
use crate::plm::hub::{Hub, HubError};
use crate::progress::Bars;
use crate::vision::pictures::PictureError;
use crate::vision::run::{Request, embed_images};
use crate::vision::vgg::Layer;

/// The repository that `vgg16` stands for: torchvision's ImageNet weights as safetensors.
const VGG16: &str = "timm/vgg16.tv_in1k";

/// Look at images with VGG16; adds a vector column, `image`, to a store
///
/// Images are matched to entities by an index file, or by the name of the file or its folder (`m.01abc.jpg` for
/// `/m/01abc`, `Ada_Lovelace.png` for an IRI that ends so). One that cannot be decoded is named and counted, and the run
/// goes on.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example: humea embed-image --store data/fb_db.parquet --images images/FB15K images/DB15K")]
pub struct Args {
    /// The store
    #[arg(long)]
    store: PathBuf,
    /// Folders of images, searched with the folders in them; of two with an index each, the left graph's comes first
    #[arg(long, required = true, num_args = 1.., value_name = "DIR")]
    images: Vec<PathBuf>,
    /// Index files with lines `entity TAB image`, such as FB15K_ImageIndex.txt
    #[arg(long, num_args = 1.., value_name = "FILE")]
    index: Vec<PathBuf>,
    /// The weights: vgg16 (timm/vgg16.tv_in1k on the Hub), another repository, a folder, or a safetensors or .bin file
    #[arg(long, default_value = "vgg16", value_name = "vgg16|NAME|DIR|FILE")]
    model: String,
    /// Branch, tag or commit of the repository [default: main]
    #[arg(long)]
    revision: Option<String>,
    /// What is taken from the network: fc6, fc7 (both after ReLU) or logits
    #[arg(long, default_value_t)]
    layer: Layer,
    /// The column to write
    #[arg(long, default_value = "image", value_name = "COLUMN")]
    modality: String,
    /// Where to compute: auto, cpu or cuda
    #[arg(long, default_value = "auto")]
    device: Wanted,
    /// Images per batch [default: 8 on the CPU, 64 on CUDA]
    #[arg(long, value_name = "IMAGES", value_parser = clap::value_parser!(u16).range(1..))]
    batch_size: Option<u16>,
}

/// Weights that are not there.
#[derive(Debug, thiserror::Error)]
#[error("there is no {0}; name vgg16, a safetensors or .bin file, a folder with one, or a repository of the Hub")]
struct NoWeights(String);

impl Fault for NoWeights {
    fn kind(&self) -> Kind {
        Kind::Input
    }
}

/// Looks at what is named on this machine, before weights are fetched for nothing.
fn check(args: &Args) -> Result<(), Failure> {
    Store::open(&args.store)?;
    for path in &args.images {
        path.read_dir().map_err(|source| PictureError::Folder { path: path.clone(), source })?;
    }
    Ok(())
}

/// The weight file, and the model's name and revision for the store.
fn weights(args: &Args, bars: &Bars) -> Result<(PathBuf, [Option<String>; 2]), Failure> {
    if Path::new(&args.model).is_file() {
        return Ok((PathBuf::from(&args.model), [Some(args.model.clone()), None]));
    }
    let name = if args.model == "vgg16" { VGG16 } else { &args.model };
    let repository = Hub::from_env()?.repository(name, args.revision.as_deref()).map_err(|error| match error {
        HubError::NoFolder(name) => NoWeights(name).into(),
        error => Failure::from(error),
    })?;
    let file = match repository.find_first(&["model.safetensors", "pytorch_model.bin"], bars)?.found() {
        Some(file) => file,
        None => repository.get("model.safetensors", bars)?,
    };
    Ok((file, [Some(name.to_owned()), repository.commit()]))
}

/// Runs the subcommand.
pub fn run(args: Args, bars: &Bars) -> Result<(), Failure> {
    let device = device::choose(args.device)?;
    check(&args)?;
    let (weights, model) = weights(&args, bars)?;
    let request = Request {
        store: args.store,
        column: args.modality,
        folders: args.images,
        indexes: args.index,
        weights,
        model,
        layer: args.layer,
        batch: args.batch_size.map_or(if device.is_cuda() { 64 } else { 8 }, usize::from),
        device,
    };
    let _heeding = interrupt::heed();
    let embedded = embed_images(&request, bars, &interrupt::requested)?;
    let coverage = embedded.coverage.report(&embedded.graphs);
    stdout::line(format_args!("{}: {} floats each\n{coverage}", request.column, embedded.width))?;
    Ok(stdout::line(format_args!("{} images could not be decoded", embedded.failed))?)
}
