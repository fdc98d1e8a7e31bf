//! `humea store`: look at a store, check it, and change its columns and its files.
#![expect(clippy::print_stdout, reason = "results of a command go to standard output")]

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use data_process::event::{Event, Observer};
use data_process::fault::{Fault, Kind};
use data_process::sources::rdf;
use data_process::store::{self, Format, NewVectors, Provenance, Store, StoreError};

use super::exit::Failure;
use crate::progress::Bars;

/// Look at a store, check it, change its columns and its files
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what a store holds: counts, coverage per side, provenance
    Inspect {
        /// The store to write
        path: PathBuf,
        #[command(flatten)]
        show: Show,
    },
    /// Check every value: ids and links in range, links kept on both sides, floats finite, digests
    Validate {
        /// The store to write
        path: PathBuf,
    },
    /// Add a vector column, or replace the one of this name
    AddColumn {
        /// The store to write
        path: PathBuf,
        /// The column's name, such as image
        name: String,
        /// Where the vectors come from: a NumPy file with one row per entity in id order (a row of NaN: no vector), or
        /// another store with a column of this name, matched by side and uri
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
    },
    /// Remove a vector column
    DropColumn {
        /// The store to write
        path: PathBuf,
        /// The column
        name: String,
    },
    /// Write a store as a folder of several files
    Split {
        /// The store to write
        path: PathBuf,
        /// How many files
        #[arg(long)]
        parts: NonZeroUsize,
        /// The folder [default: the store itself becomes one]
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Write a folder of parts as one file, or join the shards that `embed-text --shard` wrote
    Merge {
        /// The folder; or all shards, whose columns are added to the store named by --out
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        /// The file to write
        #[arg(long)]
        out: PathBuf,
    },
    /// Turn a foreign Parquet file with at least `side` and `uri` into a store
    Convert {
        /// The foreign file
        path: PathBuf,
        /// The store to write
        #[arg(long)]
        out: PathBuf,
    },
    /// Write the vectors or the graphs for programs that do not read Parquet
    Export {
        /// The store to write
        path: PathBuf,
        /// What to write
        #[arg(long)]
        format: ExportFormat,
        /// The folder to write to
        #[arg(long)]
        out: PathBuf,
    },
}

/// How to show a store.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Show {
    /// Print JSON instead of text
    #[arg(long)]
    pub(super) json: bool,
    /// A picture of how the columns lie in the file
    #[arg(long)]
    layout: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ExportFormat {
    /// NAME.npy and NAME.rows.npy for each vector column
    Npy,
    /// One vectors.safetensors
    Safetensors,
    /// NAME.csv for each vector column
    Csv,
    /// The graphs in the id-file layout of DBP15K
    IdFiles,
    /// The graphs and their links as N-Triples, one file each
    Nt,
}

/// Runs it.
pub fn run(args: &Args, bars: &Bars) -> Result<(), Failure> {
    match &args.command {
        Command::Inspect { path, show: how } => show(&Store::open(path)?, *how),
        Command::Validate { path } => validate(path),
        Command::AddColumn { path, name, from } => add_column(path, name, from),
        Command::DropColumn { path, name } => Ok(store::drop_vectors(path, name)?),
        Command::Split { path, parts, out } => Ok(store::split(path, out.as_ref().unwrap_or(path), *parts)?),
        Command::Merge { paths, out } => match paths.as_slice() {
            [folder] if folder.is_dir() => Ok(store::merge(folder, out)?),
            shards => Ok(store::join_shards(shards, out)?),
        },
        Command::Convert { path, out } => convert(path, out, bars),
        Command::Export { path, format, out } => format.write(&Store::open(path)?, out),
    }
}

impl ExportFormat {
    fn write(self, store: &Store, folder: &Path) -> Result<(), Failure> {
        let format = match self {
            Self::Nt => return Ok(rdf::export(&store.pair()?, folder).map(drop)?),
            Self::Npy => Format::Npy,
            Self::Safetensors => Format::Safetensors,
            Self::Csv => Format::Csv,
            Self::IdFiles => Format::IdFiles,
        };
        Ok(store::export(store, format, folder)?)
    }
}

/// Prints what a store holds.
pub fn show(store: &Store, how: Show) -> Result<(), Failure> {
    let summary = store.summary()?;
    if how.json {
        let mut value = serde_json::json!(summary);
        if how.layout {
            value["layout"] = serde_json::json!(store.chunks());
        }
        println!("{value:#}");
        return Ok(());
    }
    for line in summary.lines() {
        println!("{line}");
    }
    if how.layout {
        let total = summary.bytes / summary.parts.max(1) as u64;
        for chunk in store.chunks() {
            println!("{}", chunk.line(total, 40));
        }
    }
    Ok(())
}

/// A store in which not all is well.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {}; write the store anew from its sources", findings.join("; "))]
struct Invalid {
    path: String,
    findings: Vec<String>,
}

impl Fault for Invalid {
    fn kind(&self) -> Kind {
        Kind::Data
    }
}

fn validate(path: &Path) -> Result<(), Failure> {
    let findings = Store::open(path)?.validate()?;
    if findings.is_empty() {
        println!("{}: every value is as it must be", path.display());
        return Ok(());
    }
    let findings = findings.iter().map(ToString::to_string).collect();
    Err(Invalid { path: path.display().to_string(), findings }.into())
}

fn add_column(path: &Path, name: &str, from: &Path) -> Result<(), Failure> {
    let provenance = Provenance { source: from.display().to_string(), ..Provenance::default() };
    if from.extension().is_some_and(|extension| extension == "npy") {
        let read = |source| StoreError::Read { path: from.to_owned(), source };
        let (width, matrix) = store::read_matrix(from).map_err(read)?;
        let (rows, values) = store::present_rows(width, &matrix);
        let given = matrix.len() / width.max(1);
        let entities = Store::open(path)?.entities();
        if given != entities {
            return Err(StoreError::Shape { name: name.to_owned(), rows: entities, width, values: matrix.len() }.into());
        }
        return Ok(store::put_vectors(
            path,
            &[NewVectors { name, width, rows: &rows, values: &values, provenance: &provenance }],
        )?);
    }
    Ok(store::copy_vectors(path, name, from)?)
}

fn convert(path: &Path, out: &Path, bars: &Bars) -> Result<(), Failure> {
    let done = store::convert(path, out)?;
    for (what, columns) in [("made up", &done.filled), ("left out", &done.left_out), ("vectors", &done.vectors)] {
        if !columns.is_empty() {
            bars.on(Event::Note(&format!("{what}: {}", columns.join(", "))));
        }
    }
    Ok(())
}
