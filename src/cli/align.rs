//! `humea align`: predicted links as a file.

use std::path::PathBuf;

use super::exit::Failure;
use super::stdout;
use crate::align::{Decoding, Wanted};
use crate::progress::Bars;
use crate::run::predict;

/// Predict the links of entities without one
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Scores are CSLS and what attribute values add to it; the confidence is learnt from the held-out seeds of \
    protocol `validation` and empty without them, or with fewer than 20 pairs of theirs. It takes a held-out seed's entities to have no other \
    counterpart, and entities without any link to have one as often as those have: where many have none at all it is too high.\n\nExample: humea align --run runs/fb15k_db15k --out pairs.csv --decoding one-to-one"
)]
pub struct Args {
    /// The run folder
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// Where the pairs go; the ending (.parquet, .csv or .nt) chooses the format
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The store, if it has moved since training
    #[arg(long, value_name = "PATH")]
    store: Option<PathBuf>,
    /// Which pairs are believed; as configured in the run if not given
    #[arg(long, value_enum)]
    decoding: Option<Decoding>,
    /// Which entities are given a counterpart; as configured in the run if not given
    #[arg(long, value_enum)]
    entities: Option<Wanted>,
}

/// Runs the subcommand.
///
/// # Errors
/// Whatever stopped it.
pub fn run(args: &Args, bars: &Bars) -> Result<(), Failure> {
    let wish = predict::Wish { decoding: args.decoding, entities: args.entities };
    let pairs = predict::predict(&args.run, args.store.as_deref(), &args.out, wish, bars)?;
    Ok(stdout::line(format_args!("{pairs} pairs: {}", args.out.display()))?)
}
