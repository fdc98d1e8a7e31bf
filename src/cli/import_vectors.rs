//! `humea import-vectors`.
#![allow(clippy::doc_markdown, reason = "the help prints these texts as they stand")]

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum};
use data_process::vectors::import::{Request, import};
use data_process::vectors::{Choice, IdSpace};

use super::exit::Failure;
use super::stdout;
use crate::interrupt;
use crate::progress::Bars;

/// What integer keys count.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Ids {
    /// Ids of the store, over both graphs
    #[default]
    Store,
    /// Entities within a graph: the first file is of the left graph, the second of the right
    Sides,
}

/// Add vectors from files to a store: HDF5, pickle, torch, npy, npz, safetensors, Parquet or Arrow
///
/// A file's keys are entities, store ids, or names that an index file connects with entities. A matrix without keys must
/// have a row for each entity, in id order; the keys of NAME.npy may lie in NAME.rows.npy beside it, as `humea store export`
/// writes it. Where several vectors belong to one entity the first wins. Pickles are read without running
/// anything in them.
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Example: humea import-vectors --store data/fb_db.parquet --modality image \\\n    --from FB15K_ImageData.h5 DB15K_ImageData.h5 --index FB15K_ImageIndex.txt DB15K_ImageIndex.txt"
)]
pub struct Args {
    /// The store
    #[arg(long)]
    store: PathBuf,
    /// The column to write: image, relation_text, attribute_text or any other name
    #[arg(long, value_name = "COLUMN")]
    modality: String,
    /// Files of vectors: one for both graphs, or two, the left graph's first
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    from: Vec<PathBuf>,
    /// Index files with lines `entity TAB key`, such as FB15K_ImageIndex.txt: one for both graphs, or two, the left first
    #[arg(long, num_args = 1.., value_name = "FILE")]
    index: Vec<PathBuf>,
    /// The array, tensor or column that holds the vectors, where several could
    #[arg(long, value_name = "NAME")]
    column: Option<String>,
    /// The array, tensor or column that holds the keys, where several could
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
    /// What integer keys count
    #[arg(long, value_enum, default_value_t)]
    ids: Ids,
}

/// Runs the subcommand.
pub fn run(args: Args, bars: &Bars) -> Result<(), Failure> {
    let request = Request {
        store: args.store,
        column: args.modality,
        files: args.from,
        indexes: args.index,
        choice: Choice { column: args.column, key: args.key },
        ids: match args.ids {
            Ids::Store => IdSpace::Store,
            Ids::Sides => IdSpace::Sides,
        },
    };
    let imported = import(&request, bars, &interrupt::requested)?;
    let coverage = imported.coverage.report(&imported.graphs);
    Ok(stdout::line(format_args!("{}: {} floats each\n{coverage}", request.column, imported.width))?)
}
