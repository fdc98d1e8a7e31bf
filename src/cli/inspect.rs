//! `humea inspect`: what a store or a run holds.

use std::path::PathBuf;

#[cfg(feature = "torch")]
use data_process::fault::{Fault, Kind};
use data_process::pair::GraphPair;
use data_process::store::Store;
use data_process::texts::{Template, sample};

use super::exit::Failure;
use super::stdout::{self, Unprinted};
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
    #[arg(long, value_name = "N", conflicts_with = "layout")]
    texts: Option<usize>,
    /// How names and values become text: `sentence` or `published`
    #[arg(long, default_value_t, requires = "texts")]
    template: Template,
}

/// Runs it.
///
/// # Errors
/// If it is neither, or damaged.
pub fn run(args: &Args, _bars: &Bars) -> Result<(), Failure> {
    #[cfg(feature = "torch")]
    if args.path.join("config.toml").exists() {
        return show_run(args);
    }
    let store = Store::open(&args.path)?;
    match args.texts {
        Some(count) => Ok(texts(&store.pair()?, args.template, count, args.show.json)?),
        None => store::show(&store, args.show),
    }
}

fn texts(pair: &GraphPair, template: Template, count: usize, json: bool) -> Result<(), Unprinted> {
    let [relations, attributes] = [sample::relations, sample::attributes].map(|samples| samples(pair, template, count));
    if json {
        let template = template.to_string();
        let texts = serde_json::json!({ "template": template, "relations": relations, "attributes": attributes });
        return stdout::line(format_args!("{texts:#}"));
    }
    for (kind, samples) in [("relations", relations), ("attributes", attributes)] {
        stdout::line(format_args!("{kind}, template {template}"))?;
        for sample in samples {
            stdout::line(format_args!("  {sample}"))?;
        }
    }
    Ok(())
}

/// A flag that says nothing of a run.
#[cfg(feature = "torch")]
#[derive(Debug, thiserror::Error)]
#[error("{path} is a run folder: {flag} is for stores", path = path.display())]
struct NotOfARun {
    path: PathBuf,
    flag: &'static str,
}

#[cfg(feature = "torch")]
impl Fault for NotOfARun {
    fn kind(&self) -> Kind {
        Kind::Configuration
    }
}

#[cfg(feature = "torch")]
fn show_run(args: &Args) -> Result<(), Failure> {
    use crate::run::{described, folder::RunFolder};

    let given = [("--texts", args.texts.is_some()), ("--layout", args.show.layout)];
    if let Some((flag, _)) = given.into_iter().find(|(_, given)| *given) {
        return Err(NotOfARun { path: args.path.clone(), flag }.into());
    }
    let run = RunFolder::open(&args.path)?;
    let words = if args.show.json { format!("{:#}\n", described::json(&run)?) } else { described::describe(&run)? };
    Ok(stdout::lines(format_args!("{words}"))?)
}
