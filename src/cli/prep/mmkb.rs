//! `humea prep mmkb`: FB15K with DB15K or YAGO15K.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use data_process::sources::download;
use data_process::sources::mmkb::{self, Pair};

use super::output::Place;
use crate::cli::exit::Failure;
use crate::interrupt;
use crate::progress::Bars;

/// FB15K with DB15K or YAGO15K, as their authors publish them
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: humea prep mmkb --download --pair fb15k-yago15k")]
pub(super) struct Args {
    /// Folder that holds FB15K/, DB15K/ and YAGO15K/
    #[arg(long, value_name = "DIR", default_value = "data/mmkb")]
    raw: PathBuf,
    /// Which two graphs
    #[arg(long, default_value = Pair::Fb15kDb15k.name(),
          value_parser = PossibleValuesParser::new(Pair::ALL.map(Pair::name)).try_map(|name| name.parse::<Pair>()))]
    pair: Pair,
    /// The store to write [default: `data/fb_db.parquet` or `data/fb_yg.parquet`, by the pair]
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// Replace the store if there is one; without this an existing file is left alone
    #[arg(long)]
    force: bool,
    /// First fetch the raw files that are missing from the public repository, each checked against its published hash
    #[arg(long)]
    download: bool,
    /// Fetch from a mirror laid out like the repository
    #[arg(long, value_name = "URL", env = "HUMEA_MMKB_URL", default_value_t = download::default_url())]
    url: String,
}

/// Fetches what is missing if asked to, reads the pair and writes the store.
pub(super) fn run(args: Args, bars: &Bars) -> Result<(), Failure> {
    let place = Place::claim(args.out.unwrap_or_else(|| args.pair.default_store().into()), args.force)?;
    if args.download {
        let _heeding = interrupt::heed();
        download::fetch(&args.raw, args.pair, &args.url, bars)?;
    }
    place.write(&mmkb::read(&args.raw, args.pair, bars)?, "humea prep mmkb")
}
