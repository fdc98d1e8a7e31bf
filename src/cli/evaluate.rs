//! `humea evaluate`: the figures of a run, from its saved model.

use std::path::PathBuf;

use super::exit::Failure;
use super::stdout;
use crate::progress::Bars;
use crate::run::finished::Reopened;

/// Rank the test links with a run's saved model
#[derive(Debug, clap::Args)]
#[command(after_help = "Needs nothing but the run folder and the store; result.json and report.html \
    in the folder are written anew, where it can be written to. Best and last checkpoint are shown side by \
    side; the protocol says which of them counts.\n\nExample: humea evaluate --run runs/fb15k_db15k --json")]
pub struct Args {
    /// The run folder
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// The store, if it has moved since training
    #[arg(long, value_name = "PATH")]
    store: Option<PathBuf>,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand.
///
/// # Errors
/// Whatever stopped it.
pub fn run(args: &Args, bars: &Bars) -> Result<(), Failure> {
    let summary = Reopened::open(&args.run, args.store.as_deref())?.evaluate(bars)?;
    let figures = if args.json { summary.json() + "\n" } else { summary.to_string() };
    Ok(stdout::lines(format_args!("{figures}"))?)
}
