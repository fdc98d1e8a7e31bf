//! `humea prep id-files`: the layouts of DBP15K and OpenEA.

use std::path::PathBuf;

use clap::ValueEnum;
use data_process::sources::{id_files, openea};

use super::output::Place;
use crate::cli::exit::Failure;
use crate::progress::Bars;

/// A folder in the layout of DBP15K (`ent_ids_1`, `triples_1`, …) or OpenEA
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: humea prep id-files data/dbp15k/zh_en --out data/zh_en.parquet")]
pub(super) struct Args {
    /// Folder that holds the files
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// How the files are laid out
    #[arg(long, value_enum, default_value_t = Layout::Dbp15k)]
    layout: Layout,
    /// Keep names (`rdfs:label`, `skos:prefLabel`, `foaf:name`) as values, too; on most benchmarks they give the answer away. Only
    /// OpenEA's layout has values
    #[arg(long)]
    use_labels: bool,
    /// The store to write
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
    /// Replace the store if there is one; without this an existing file is left alone
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Layout {
    /// `ent_ids_1/2`, `triples_1/2`, `ill_ent_ids`, `training_attrs_1/2`; also the converted MMKB folders of other projects
    Dbp15k,
    /// `rel_triples_1/2`, `attr_triples_1/2`, `ent_links`
    Openea,
}

/// Reads the folder and writes the store.
pub(super) fn run(args: Args, bars: &Bars) -> Result<(), Failure> {
    let place = Place::claim(args.out, args.force)?;
    let loaded = match args.layout {
        Layout::Dbp15k => id_files::read(&args.folder, bars)?,
        Layout::Openea => openea::read(&args.folder, args.use_labels, bars)?,
    };
    place.write(&loaded, "humea prep id-files")
}
