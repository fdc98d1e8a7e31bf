//! `humea prep synthetic`: two graphs grown from one hidden world.

use std::path::PathBuf;

use data_process::sources::Loaded;
use data_process::sources::synthetic::{Images, Knobs, World, generate};
use data_process::store::{Column, Origin};

use super::output::Place;
use crate::cli::exit::Failure;
use crate::progress::Bars;

/// Two graphs grown from one hidden world, with noise and all modalities; shares are between 0 and 1
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: humea prep synthetic --entities 1000 --seed 7 --out data/world.parquet")]
pub(super) struct Args {
    /// Entities in each graph, 100 to 10,000,000
    #[arg(long, value_name = "N")]
    entities: usize,
    /// The seed of every choice; the same seed and knobs give the same store on any machine
    #[arg(long, value_name = "S", default_value_t = Knobs::default().seed)]
    seed: u64,
    /// The store to write
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
    /// Replace the store if there is one; without this an existing file is left alone
    #[arg(long)]
    force: bool,
    /// Share of each graph's entities that the other graph does not have
    #[arg(long, value_name = "SHARE", default_value_t = Knobs::default().unlinked)]
    unlinked: f64,
    /// Different relations of the world
    #[arg(long, value_name = "N", default_value_t = Knobs::default().relations)]
    relations: usize,
    /// Different attributes of the world
    #[arg(long, value_name = "N", default_value_t = Knobs::default().attributes)]
    attributes: usize,
    /// Mean number of triples an entity of the world begins; the number follows a power law
    #[arg(long, value_name = "MEAN", default_value_t = Knobs::default().degree)]
    degree: f64,
    /// Share of the world's triples that each graph knows, independently of the other
    #[arg(long, value_name = "SHARE", default_value_t = Knobs::default().kept_triples)]
    kept_triples: f64,
    /// Share of a graph's triples that end at a wrong entity
    #[arg(long, value_name = "SHARE", default_value_t = Knobs::default().wrong_triples)]
    wrong_triples: f64,
    /// Share of the world's values that each graph knows, independently of the other
    #[arg(long, value_name = "SHARE", default_value_t = Knobs::default().kept_facts)]
    kept_facts: f64,
    /// Share of a graph's values that are wrong
    #[arg(long, value_name = "SHARE", default_value_t = Knobs::default().wrong_facts)]
    wrong_facts: f64,
    /// Share of the relations and attributes whose names have words in common
    #[arg(long, value_name = "SHARE", default_value_t = Knobs::default().named_alike)]
    named_alike: f64,
    /// Share of the relations and attributes that only one of the graphs uses
    #[arg(long, value_name = "SHARE", default_value_t = Knobs::default().one_sided)]
    one_sided: f64,
    /// Floats of an image vector; 0 leaves images out
    #[arg(long, value_name = "N", default_value_t = Knobs::default().image_width)]
    image_width: usize,
    /// Share of each graph's entities without an image
    #[arg(long, value_name = "SHARE", default_value_t = Knobs::default().image_missing)]
    image_missing: f64,
    /// Standard deviation of the noise on an image, beside a signal of standard deviation 1
    #[arg(long, value_name = "NOISE", default_value_t = Knobs::default().image_noise)]
    image_noise: f64,
}

impl Args {
    fn knobs(&self) -> Knobs {
        Knobs {
            entities: self.entities,
            seed: self.seed,
            unlinked: self.unlinked,
            relations: self.relations,
            attributes: self.attributes,
            degree: self.degree,
            kept_triples: self.kept_triples,
            wrong_triples: self.wrong_triples,
            kept_facts: self.kept_facts,
            wrong_facts: self.wrong_facts,
            named_alike: self.named_alike,
            one_sided: self.one_sided,
            image_width: self.image_width,
            image_missing: self.image_missing,
            image_noise: self.image_noise,
        }
    }
}

/// Grows the world and writes the store, the knobs among its metadata.
pub(super) fn run(args: Args, bars: &Bars) -> Result<(), Failure> {
    let knobs = args.knobs();
    knobs.check()?;
    let place = Place::claim(args.out, args.force)?;
    let World { pair, image } = generate(&knobs, bars)?;
    let mut origin = Origin { maker: "humea prep synthetic".to_owned(), ..Origin::default() };
    origin.details.insert("knobs".to_owned(), serde_json::json!(knobs));
    let columns: &[Images] = if image.rows().is_empty() { &[] } else { &[image] };
    place.write_with(&Loaded { pair, ..Loaded::default() }, columns, &origin)
}
