//! `humea prep`: raw files become a store.

mod id_files;
mod mmkb;
mod output;
mod rdf;
mod synthetic;

use clap::Subcommand;

use super::exit::Failure;
use crate::progress::Bars;

/// Make a store from raw files, or from nothing
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: humea prep mmkb --raw data/mmkb --pair fb15k-db15k")]
pub(super) struct Args {
    #[command(subcommand)]
    source: Source,
}

#[derive(Debug, Subcommand)]
enum Source {
    Mmkb(mmkb::Args),
    IdFiles(id_files::Args),
    Rdf(rdf::Args),
    Synthetic(synthetic::Args),
}

/// Reads the source and writes the store.
pub(super) fn run(args: Args, bars: &Bars) -> Result<(), Failure> {
    match args.source {
        Source::Mmkb(args) => mmkb::run(args, bars),
        Source::IdFiles(args) => id_files::run(args, bars),
        Source::Rdf(args) => rdf::run(args, bars),
        Source::Synthetic(args) => synthetic::run(args, bars),
    }
}
