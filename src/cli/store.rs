//! `humea store`: look at a store, check it, and change its columns and its files.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use data_process::event::{Event, Observer};
use data_process::fault::{Fault, Kind};
use data_process::sources::rdf;
use data_process::store::{self, Format, NewVectors, Provenance, Store};
use data_process::vectors::npy;

use super::exit::Failure;
use super::stdout;
use crate::progress::Bars;

/// Look at a store, check it, change its columns and its files
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: humea store validate data/fb_db.parquet")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what a store holds: counts, coverage per side, provenance
    #[command(after_help = "Example: humea store inspect data/fb_db.parquet --layout")]
    Inspect {
        /// The store to look at
        path: PathBuf,
        #[command(flatten)]
        show: Show,
    },
    /// Check every value: ids and links in range, links kept on both sides, floats finite, digests
    #[command(after_help = "Example: humea store validate data/fb_db.parquet")]
    Validate {
        /// The store to check
        path: PathBuf,
    },
    /// Add a vector column, or replace the one of this name
    #[command(after_help = "Example: humea store add-column data/fb_db.parquet image --from image.npy")]
    AddColumn {
        /// The store to change
        path: PathBuf,
        /// The column's name, such as image
        name: String,
        /// Where the vectors come from: a NumPy file of floats with one row per entity in id order (a row of NaN alone: no
        /// vector), or another store with a column of this name, matched by side and uri
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
    },
    /// Remove a vector column
    #[command(after_help = "Example: humea store drop-column data/fb_db.parquet relation_text")]
    DropColumn {
        /// The store to change
        path: PathBuf,
        /// The column to remove
        name: String,
    },
    /// Write a store as a folder of several files
    #[command(after_help = "Example: humea store split data/fb_db.parquet --parts 8 --out data/fb_db")]
    Split {
        /// The store to read
        path: PathBuf,
        /// How many files
        #[arg(long, value_name = "N")]
        parts: NonZeroUsize,
        /// The folder to write [default: the store itself becomes one]
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Write a folder of parts as one file, or join the shards that `embed-text --shard` wrote
    #[command(after_help = "Example: humea store merge data/fb_db.shard-*.parquet --out data/fb_db.parquet")]
    Merge {
        /// The folder; or all shards: their columns are added to the store named by --out, or, where there is none yet, written to
        /// it with the graphs and no other vectors
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// The file to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Turn a foreign Parquet file, or a folder of parts, with at least `side` and `uri` into a store
    #[command(after_help = "Example: humea store convert theirs.parquet --out ours.parquet")]
    Convert {
        /// The foreign file, or the folder that holds its part-*.parquet
        path: PathBuf,
        /// The store to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Write the vectors or the graphs for programs that do not read Parquet
    #[command(after_help = "Example: humea store export data/fb_db.parquet --format npy --out exported")]
    Export {
        /// The store to read
        path: PathBuf,
        /// What to write
        #[arg(long)]
        format: ExportFormat,
        /// The folder to write to
        #[arg(long, value_name = "DIR")]
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
    pub(super) layout: bool,
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
        Command::Split { path, parts, out } => {
            out.as_deref().map_or(Ok(()), still_free)?;
            Ok(store::split(path, out.as_ref().unwrap_or(path), *parts)?)
        }
        Command::Merge { paths, out } => match paths.as_slice() {
            [folder] if folder.is_dir() => {
                still_free(out)?;
                Ok(store::merge(folder, out)?)
            }
            shards => Ok(store::join_shards(shards, out)?),
        },
        Command::Convert { path, out } => convert(path, out, bars),
        Command::Export { path, format, out } => format.write(&Store::open(path)?, out, bars),
    }
}

impl ExportFormat {
    fn write(self, store: &Store, folder: &Path, bars: &Bars) -> Result<(), Failure> {
        let write = |format| store::export(store, format, folder);
        let remarks = match self {
            Self::Nt => rdf::export(&store.pair()?, folder)?.lost,
            Self::Npy => write(Format::Npy)?,
            Self::Safetensors => write(Format::Safetensors)?,
            Self::Csv => write(Format::Csv)?,
            Self::IdFiles => write(Format::IdFiles)?,
        };
        for remark in &remarks {
            bars.on(Event::Note(remark));
        }
        Ok(())
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
        return Ok(stdout::line(format_args!("{value:#}"))?);
    }
    for line in summary.lines() {
        stdout::line(format_args!("{line}"))?;
    }
    if how.layout {
        let total = summary.bytes / summary.parts.max(1) as u64;
        for chunk in store.chunks() {
            stdout::line(format_args!("{}", chunk.line(total, 40)))?;
        }
    }
    Ok(())
}

/// A place for a new store where something lies already.
#[derive(Debug, thiserror::Error)]
#[error("{0} exists already; remove it, or name another place with --out")]
struct Taken(String);

impl Fault for Taken {
    fn kind(&self) -> Kind {
        Kind::Output
    }
}

fn still_free(out: &Path) -> Result<(), Taken> {
    if out.exists() { Err(Taken(out.display().to_string())) } else { Ok(()) }
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
        return Ok(stdout::line(format_args!("{}: every value is as it must be", path.display()))?);
    }
    let findings = findings.iter().map(ToString::to_string).collect();
    Err(Invalid { path: path.display().to_string(), findings }.into())
}

fn add_column(path: &Path, name: &str, from: &Path) -> Result<(), Failure> {
    let provenance = Provenance { source: from.display().to_string(), ..Provenance::default() };
    if from.extension().is_some_and(|extension| extension == "npy") {
        let opened = Store::open(path)?;
        let (width, matrix) = npy::read_matrix(from, opened.entities())?;
        let (rows, values) = store::present_rows(width, &matrix);
        let column = NewVectors { name, width, rows: &rows, values: &values, provenance: &provenance };
        return Ok(opened.put_vectors(&[column])?);
    }
    Ok(store::copy_vectors(path, name, from)?)
}

fn convert(path: &Path, out: &Path, bars: &Bars) -> Result<(), Failure> {
    still_free(out)?;
    let done = store::convert(path, out)?;
    for (what, columns) in [("made up", &done.filled), ("left out", &done.left_out), ("vectors", &done.vectors)] {
        if !columns.is_empty() {
            bars.on(Event::Note(&format!("{what}: {}", columns.join(", "))));
        }
    }
    Ok(())
}
