//! `humea prep rdf`: N-Triples, N-Quads, Turtle and RDF/XML.

use std::path::PathBuf;

use data_process::sources::rdf::{self, Source};

use super::output::Place;
use crate::cli::exit::Failure;
use crate::progress::Bars;

/// Two RDF graphs: N-Triples, N-Quads, Turtle or RDF/XML by the file's name, plain, .gz or .zst
///
/// Objects that are entities become edges, literals become attribute values; owl:sameAs and skos:exactMatch between the
/// two graphs become links; labels are kept apart.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: humea prep rdf --left a.nt.gz --right b.ttl --links same_as.nt --out data/ab.parquet")]
pub(super) struct Args {
    /// The left graph
    #[arg(long, value_name = "FILE")]
    left: PathBuf,
    /// The right graph
    #[arg(long, value_name = "FILE")]
    right: PathBuf,
    /// Links: N-Triples or N-Quads, MMKB's `left <SameAs> right .`, or two columns separated by TAB
    #[arg(long, value_name = "FILE")]
    links: Option<PathBuf>,
    /// Keep labels (`rdfs:label`, `skos:prefLabel`, `foaf:name`) as values, too; on most benchmarks names give the answer away
    #[arg(long)]
    use_labels: bool,
    /// The store to write
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
    /// Replace the store if there is one; without this an existing file is left alone
    #[arg(long)]
    force: bool,
}

/// Reads the graphs and writes the store.
pub(super) fn run(args: Args, bars: &Bars) -> Result<(), Failure> {
    let place = Place::claim(args.out, args.force)?;
    let source = Source { left: args.left, right: args.right, links: args.links, use_labels: args.use_labels };
    place.write(&rdf::read(&source, bars)?, "humea prep rdf")
}
