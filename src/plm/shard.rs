//! A share of the work, for any scheduler: `--shard 2/5` is the second of five.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// One of several equal shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// From 1.
    number: usize,
    of: usize,
}

impl Shard {
    /// Whether the `i`-th piece of work is this shard's.
    pub fn owns(self, i: usize) -> bool {
        i % self.of == self.number - 1
    }

    /// Where this shard of a store is written: `fb_db.parquet` → `fb_db.shard-2-of-5.parquet`.
    pub fn part_of(self, store: &Path) -> PathBuf {
        let stem = store.file_stem().unwrap_or_default().to_string_lossy();
        store.with_file_name(format!("{stem}.shard-{}-of-{}.parquet", self.number, self.of))
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

/// What is not a shard.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a shard; write i/n with 1 ≤ i ≤ n, such as 2/5")]
pub struct NoShard(String);

impl FromStr for Shard {
    type Err = NoShard;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match parsed {
            Some((number, of)) if (1..=of).contains(&number) => Ok(Self { number, of }),
            _ => Err(NoShard(text.to_owned())),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn shards_share_out_everything_once() {
        let shards: Vec<Shard> = (1..=3).map(|i| format!("{i}/3").parse().unwrap()).collect();
        for i in 0..10 {
            assert_eq!(shards.iter().filter(|shard| shard.owns(i)).count(), 1);
        }
        let part = shards[1].part_of(Path::new("data/fb_db.parquet"));
        assert_eq!(part, Path::new("data/fb_db.shard-2-of-3.parquet"));
    }

    #[test]
    fn what_is_no_shard_is_refused() {
        for text in ["0/3", "4/3", "1", "1/0", "a/b", "-1/2", ""] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}
