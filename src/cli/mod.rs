//! The command line: one file per subcommand, each `Args` and `run`.

#[cfg(feature = "torch")]
pub mod align;
#[cfg(feature = "torch")]
pub mod embed_image;
#[cfg(feature = "torch")]
pub mod embed_text;
#[cfg(feature = "torch")]
pub mod evaluate;
pub mod exit;
pub mod import_vectors;
pub mod inspect;
mod prep;
#[cfg(feature = "torch")]
pub mod run;
mod stdout;
pub mod store;
#[cfg(feature = "torch")]
pub mod train;

use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::interrupt;
use crate::progress::Bars;
use crate::refusal;
use exit::Failure;

/// Multi-modal entity alignment: raw knowledge graphs → Parquet feature store → trained HUMEA → aligned pairs
#[derive(Debug, Parser)]
#[command(name = "humea", version, after_help = exit_codes(), propagate_version = true)]
pub struct Cli {
    /// No progress or notes; results and errors only
    #[arg(long, short, global = true)]
    quiet: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Prep(prep::Args),
    ImportVectors(import_vectors::Args),
    #[cfg(feature = "torch")]
    EmbedImage(Box<embed_image::Args>),
    #[cfg(feature = "torch")]
    EmbedText(Box<embed_text::Args>),
    Inspect(inspect::Args),
    Store(store::Args),
    #[cfg(feature = "torch")]
    Train(Box<train::Args>),
    #[cfg(feature = "torch")]
    Evaluate(evaluate::Args),
    #[cfg(feature = "torch")]
    Align(align::Args),
    #[cfg(feature = "torch")]
    Run(run::Args),
}

fn exit_codes() -> String {
    let lines = exit::CODES.map(|(code, _, meaning)| format!("\n  {code:>3}  {meaning}"));
    format!("Exit codes:{}\n\nExample: humea train --store data/fb_db.parquet --rate 0.2", lines.concat())
}

/// Parses the command line, runs the subcommand, prints the error chain if it fails.
#[expect(clippy::print_stderr, reason = "the command line prints errors")]
pub fn main() -> ExitCode {
    // `humea inspect … | head` ends quietly once `head` has read enough.
    sigpipe::reset();
    env_logger::Builder::from_env(env_logger::Env::new().filter_or("HUMEA_LOG", "warn")).init();
    let cli = Cli::parse();
    if interrupt::install(i32::from(exit::code(data_process::fault::Kind::Interrupted))).is_err() {
        log::debug!("no Ctrl-C handler: one is installed already");
    }
    match guarded(|| dispatch(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {}", failure.chain());
            ExitCode::from(failure.code())
        }
    }
}

/// Makes a failure of a panic in which libtorch refused: few of the binding's calls can be asked to do so in a result.
fn guarded(action: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |about| {
        let ours = about.payload_as_str().is_none_or(|words| refusal::of_panic(&words.to_owned()).is_none());
        if ours {
            report(about);
        }
    }));
    panic::catch_unwind(AssertUnwindSafe(action)).unwrap_or_else(|panic| match Failure::of_panic(&*panic) {
        Some(failure) => Err(failure),
        None => panic::resume_unwind(panic),
    })
}

#[allow(clippy::needless_pass_by_value, reason = "each subcommand takes its own arguments out of it")]
fn dispatch(cli: Cli) -> Result<(), Failure> {
    let bars = Bars::new(cli.quiet);
    match cli.command {
        Command::Prep(args) => prep::run(args, &bars),
        Command::ImportVectors(args) => import_vectors::run(args, &bars),
        #[cfg(feature = "torch")]
        Command::EmbedImage(args) => embed_image::run(*args, &bars),
        #[cfg(feature = "torch")]
        Command::EmbedText(args) => embed_text::run(&args, &bars),
        Command::Inspect(args) => inspect::run(&args, &bars),
        Command::Store(args) => store::run(&args, &bars),
        #[cfg(feature = "torch")]
        Command::Train(args) => train::run(&args, &bars),
        #[cfg(feature = "torch")]
        Command::Evaluate(args) => evaluate::run(&args, &bars),
        #[cfg(feature = "torch")]
        Command::Align(args) => align::run(&args, &bars),
        #[cfg(feature = "torch")]
        Command::Run(args) => run::run(&args, &bars),
    }
}
