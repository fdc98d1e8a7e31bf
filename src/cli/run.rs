//! `humea run`: everything a pipeline file stands for.

use std::path::PathBuf;

use super::exit::Failure;
use crate::pipeline::{Jobs, sweep};
use crate::progress::Bars;

/// Prepare, embed, train and evaluate what pipeline files describe
#[derive(Debug, clap::Args)]
#[command(
    after_help = "What is there already is skipped: a store that exists, text columns made by the same model, a \
    run of the same configuration on the same store. A store that cannot be prepared stops everything. Each run is a \
    process of its own: one that fails or is killed leaves the others alone. The same command goes on where it stopped. Ends in one table of ours against \
    published: <out>/table.md, .csv and .parquet.\n\nExample: humea run pipelines/paper/ablation_*.toml --jobs 2"
)]
pub struct Args {
    /// Pipeline files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// One key of every file's configuration; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Show what would be done, and what would be skipped
    #[arg(long)]
    dry_run: bool,
    /// Runs at once
    #[arg(long, value_name = "N", default_value = "1")]
    jobs: std::num::NonZeroUsize,
    /// Wait until a GPU has nothing to do before each run, and give the run that GPU alone
    #[arg(long)]
    wait_for_gpu: bool,
    /// Where the run folders and the table go
    #[arg(long, value_name = "DIR", default_value = "runs")]
    out: PathBuf,
}

/// Runs the subcommand.
///
/// # Errors
/// Whatever stopped it, or [`crate::pipeline::SweepError::Failed`] if a run did not finish.
#[expect(clippy::print_stdout, reason = "the plan and the table are the subcommand's result")]
pub fn run(args: &Args, bars: &Bars) -> Result<(), Failure> {
    let plan = sweep::plan(&args.files, &args.sets, &args.out)?;
    if args.dry_run {
        print!("{plan}");
        return Ok(());
    }
    let jobs = Jobs { at_once: args.jobs, wait_for_gpu: args.wait_for_gpu };
    let ended = sweep::run(&plan, &args.out, jobs, bars)?;
    print!("{}", ended.table.markdown());
    Ok(ended.check()?)
}
