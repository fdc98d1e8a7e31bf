//! `humea inspect`: what a store or a run holds.

use std::path::PathBuf;

use data_process::pair::GraphPair;
use data_process::store::Store;
use data_process::texts::{Template, sample};

use super::exit::Failure;
use super::store::{self, Show};
use crate::progress::Bars;

/// Show what a store or a run folder holds
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: humea inspect data/fb_db.parquet --texts 3")]
pub struct Args {
    /// A store (a Parquet file or a folder of parts) or a run folder
    path: PathBuf,
    #[command(flatten)]
    show: Show,
    /// Show the texts a language model reads of N relations and N entities of each graph
    #[arg(long, value_name = "N")]
    texts: Option<usize>,
    /// How names and values become text: `sentence` or `published`
    #[arg(long, default_value_t)]
    template: Template,
}

/// Runs it.
///
/// # Errors
/// If it is neither, or damaged.
pub fn run(args: &Args, _bars: &Bars) -> Result<(), Failure> {
    #[cfg(feature = "torch")]
    if args.path.join("config.toml").exists() {
        return show_run(&args.path, args.show.json);
    }
    let store = Store::open(&args.path)?;
    match args.texts {
        Some(count) => texts(&store.pair()?, args.template, count, args.show.json),
        None => store::show(&store, args.show)?,
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "results of a command go to standard output")]
fn texts(pair: &GraphPair, template: Template, count: usize, json: bool) {
    let [relations, attributes] = [sample::relations, sample::attributes].map(|samples| samples(pair, template, count));
    if json {
        let template = template.to_string();
        let texts = serde_json::json!({ "template": template, "relations": relations, "attributes": attributes });
        return println!("{texts:#}");
    }
    for (kind, samples) in [("relations", relations), ("attributes", attributes)] {
        println!("{kind}, template {template}");
        for sample in samples {
            println!("  {sample}");
        }
    }
}

#[cfg(feature = "torch")]
#[expect(clippy::print_stdout, reason = "what the run holds is the subcommand's result")]
fn show_run(path: &std::path::Path, json: bool) -> Result<(), Failure> {
    use crate::run::{described, folder::RunFolder};

    let run = RunFolder::open(path)?;
    if json {
        println!("{:#}", described::json(&run)?);
    } else {
        print!("{}", described::describe(&run)?);
    }
    Ok(())
}
