//! `humea run`: everything a pipeline file stands for.

use std::path::PathBuf;

use clap::Parser;
use data_process::fault::{Fault, Kind};

use super::exit::Failure;
use super::{Cli, stdout};
use crate::pipeline::stages::Stage;
use crate::pipeline::{Jobs, SweepError, sweep};
use crate::progress::Bars;

/// Prepare, embed, train and evaluate what pipeline files describe
#[derive(Debug, clap::Args)]
#[command(
    after_help = "What is there already is skipped: a store that exists, text columns made by the same model, a \
    run of the same configuration on the same store. A store that cannot be prepared stops everything. Each run is a \
    process of its own: one that fails or is killed leaves the others alone. Ctrl-C or SIGTERM stops them all where they can go on. The same \
    command goes on where it stopped. Ends in one table of ours against \
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

/// A stage of a plan that this program would not take.
#[derive(Debug, thiserror::Error)]
#[error("`{key}`: {reason} (humea {name} --help)")]
struct WrongStage {
    key: &'static str,
    reason: String,
    name: &'static str,
}

impl Fault for WrongStage {
    fn kind(&self) -> Kind {
        Kind::Configuration
    }
}

/// Finds what is wrong with a stage before any is begun.
fn check(stage: &Stage) -> Result<(), WrongStage> {
    let words = std::iter::once("humea".into()).chain(stage.arguments.iter().cloned());
    let Err(error) = Cli::try_parse_from(words) else { return Ok(()) };
    let said = error.to_string();
    let first: Vec<&str> = said.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    let reason = first.join(" ").trim_start_matches("error: ").to_owned();
    Err(WrongStage { key: if stage.name == "prep" { "data.prep" } else { "data.plm" }, reason, name: stage.name })
}

fn passed_on(error: SweepError) -> Failure {
    let code = error.code();
    Failure::passing_on(error, code)
}

/// Runs the subcommand.
///
/// # Errors
/// Whatever stopped it, or [`crate::pipeline::SweepError::Failed`] if a run did not finish.
pub fn run(args: &Args, bars: &Bars) -> Result<(), Failure> {
    let plan = sweep::plan(&args.files, &args.sets, &args.out)?;
    plan.preparation.iter().try_for_each(check)?;
    if args.dry_run {
        return Ok(stdout::lines(format_args!("{plan}"))?);
    }
    let jobs = Jobs { at_once: args.jobs, wait_for_gpu: args.wait_for_gpu };
    let ended = sweep::run(&plan, &args.out, jobs, bars).map_err(passed_on)?;
    stdout::lines(format_args!("{}", ended.table.markdown()))?;
    ended.check().map_err(passed_on)
}
