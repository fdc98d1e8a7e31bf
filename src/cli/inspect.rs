//! `humea inspect`: what a store or a run holds.

use std::path::PathBuf;

use data_process::store::Store;

use super::exit::Failure;
use super::store::{self, Show};
use crate::progress::Bars;

/// Show what a store or a run folder holds
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A store (a Parquet file or a folder of parts) or a run folder
    path: PathBuf,
    #[command(flatten)]
    show: Show,
}

/// Runs it.
pub fn run(args: &Args, _bars: &Bars) -> Result<(), Failure> {
    store::show(&Store::open(&args.path)?, args.show)
}
