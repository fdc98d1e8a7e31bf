//! Fetches MMKB's text files from the public repository, at the commit whose files are known.
//!
//! Each file grows in a `.part` beside its place, is checked against its git blob hash and then moved there; a part left
//! by an earlier run is continued. Proxies are taken from the environment (`https_proxy`, `no_proxy`, …).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha1::{Digest, Sha1};
use ureq::http::{Response, StatusCode, header};
use ureq::{Agent, Body};

use super::mmkb::{COMMIT, Pair, REPOSITORY};
use crate::aside;
use crate::digest;
use crate::event::{Event, Observer, Unit};
use crate::fault::{Fault, Kind};

/// How long a connection may stand still.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a broken connection is taken up again without a single byte gained.
const FRUITLESS_TRIES: usize = 3;
/// The most bytes a file may have; the largest published one has 47 million.
const LARGEST: u64 = 1 << 30;

/// The published files and the git blob hash of each.
pub const PUBLISHED: [(&str, &str); 11] = [
    ("FB15K/FB15K_EntityTriples.txt", "65bbf8d6433e3bf0d00a981fb118b0ea03b954ae"),
    ("FB15K/FB15K_NumericalTriples.txt", "680b58009186be23c37e7e7778a726198323dd4e"),
    ("FB15K/FB15K_ImageIndex.txt", "80f43f4b953101bc05ffbc22ca4089cd78e83d5c"),
    ("DB15K/DB15K_EntityTriples.txt", "2d978cb54078bea4b8cc08baba05e29215c3664e"),
    ("DB15K/DB15K_NumericalTriples.txt", "82cbb27d5dbeedbc6b6d78a4a1ad9ef0b993949d"),
    ("DB15K/DB15K_SameAsLink.txt", "e0e122e7b1f4d78a1885f97854b9affaf0b16816"),
    ("DB15K/DB15K_ImageIndex.txt", "74bacef4ddff6f53b061bd390319baa1f8cd5519"),
    ("YAGO15K/YAGO15K_EntityTriples.txt", "1ed08e7d11081bb46b12a26cc04d978928bf46eb"),
    ("YAGO15K/YAGO15K_NumericalTriples.txt", "c38fe5192d04ec472091218f7510fac2a406baa7"),
    ("YAGO15K/YAGO15K_SameAsLink.txt", "eeca1ba3d03ea339e4e740799f8c25c94d0d1554"),
    ("YAGO15K/YAGO15K_ImageIndex.txt", "f1daf9d76144283847cc22bbfa9b8661fa4035d0"),
];

/// Where the repository's files are served.
pub fn default_url() -> String {
    format!("https://raw.githubusercontent.com/{REPOSITORY}/{COMMIT}")
}

/// Why a file was not fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DownloadError {
    /// The server cannot be reached, or the connection breaks again and again.
    #[error("cannot fetch {url}: {source}; what has arrived is kept, and the same command goes on from there")]
    Connection {
        /// What was asked for.
        url: String,
        /// Why.
        source: io::Error,
    },
    /// The server answers with something other than the file.
    #[error("{url} answers {status}; is the address right, and the file still published?")]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// Nothing arrives any more.
    #[error("{url}: nothing arrived for {seconds} s, after {received} bytes; the same command goes on from there")]
    Stalled {
        /// What was asked for.
        url: String,
        /// How long nothing arrived.
        seconds: u64,
        /// The bytes that are there.
        received: u64,
    },
    /// The server ends the file early each time.
    #[error("{url} ends after {received} of {expected} bytes, {FRUITLESS_TRIES} times in a row; try again later")]
    Truncated {
        /// What was asked for.
        url: String,
        /// The bytes the server promised.
        expected: u64,
        /// The bytes that are there.
        received: u64,
    },
    /// The file is not the published one.
    #[error(
        "{url} has the git blob hash {found}, not {expected}: it is not the published file; what arrived was removed"
    )]
    WrongHash {
        /// What was asked for.
        url: String,
        /// The published hash.
        expected: String,
        /// The hash of what arrived.
        found: String,
    },
    /// The server sends more than any of the files can have.
    #[error("{url} is larger than {LARGEST} bytes; this cannot be a file of MMKB")]
    TooLarge {
        /// What was asked for.
        url: String,
    },
    /// The file cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The user stopped the work.
    #[error("stopped while fetching {url}; what has arrived is kept, and the same command goes on from there")]
    Interrupted {
        /// What was asked for.
        url: String,
    },
}

impl Fault for DownloadError {
    fn kind(&self) -> Kind {
        match self {
            Self::Write { .. } => Kind::Output,
            Self::Interrupted { .. } => Kind::Interrupted,
            _ => Kind::Network,
        }
    }
}

/// Fetches those files of a pair that are not in the raw folder yet, from `base` (see [`default_url`]). A file that is
/// there is left alone; if it is not the published one, a note says so.
///
/// # Errors
/// At the first file that cannot be had; files fetched before it stay.
pub fn fetch(raw: &Path, pair: Pair, base: &str, observer: &dyn Observer) -> Result<(), DownloadError> {
    let client = Client { agent: agent(PATIENCE, ureq::Proxy::try_from_env()), patience: PATIENCE, observer };
    client.fetch_all(raw, pair, base)
}

fn agent(patience: Duration, proxy: Option<ureq::Proxy>) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(patience))
        .timeout_recv_response(Some(patience))
        .timeout_per_read(Some(patience))
        .user_agent(concat!("humea/", env!("CARGO_PKG_VERSION")))
        .proxy(proxy);
    config.build().new_agent()
}

/// What became of one connection.
enum Reached {
    /// The whole file has arrived.
    End,
    /// The connection broke; so many bytes the server had promised in all.
    Break { expected: Option<u64>, source: io::Error },
}

struct Client<'a> {
    agent: Agent,
    patience: Duration,
    observer: &'a dyn Observer,
}

impl Client<'_> {
    fn fetch_all(&self, raw: &Path, pair: Pair, base: &str) -> Result<(), DownloadError> {
        let graphs = pair.graphs();
        let wanted = PUBLISHED.iter().filter(|(name, _)| graphs.iter().any(|graph| name.starts_with(graph)));
        for (name, hash) in wanted {
            let target = raw.join(name);
            if target.is_file() {
                self.compare(&target, hash)?;
            } else {
                self.fetch_one(&format!("{}/{name}", base.trim_end_matches('/')), &target, hash)?;
            }
        }
        Ok(())
    }

    fn compare(&self, target: &Path, hash: &str) -> Result<(), DownloadError> {
        let found = blob_hash(target).map_err(|source| DownloadError::Write { path: target.to_owned(), source })?;
        if found != hash {
            let note = format!("{} is not the published file (git blob {found}, not {hash}); kept", target.display());
            self.observer.on(Event::Note(&note));
        }
        Ok(())
    }

    fn fetch_one(&self, url: &str, target: &Path, hash: &str) -> Result<(), DownloadError> {
        let part = part_of(target);
        let unwritable = |source| DownloadError::Write { path: part.clone(), source };
        fs::create_dir_all(aside::folder(target)).map_err(unwritable)?;
        let outcome = self.until_whole(url, &part);
        self.observer.on(Event::Finished);
        outcome?;
        let found = blob_hash(&part).map_err(unwritable)?;
        if found != hash {
            fs::remove_file(&part).map_err(unwritable)?;
            return Err(DownloadError::WrongHash { url: url.to_owned(), expected: hash.to_owned(), found });
        }
        // What has the published name is whole, even after a power cut.
        let publish = || {
            File::open(&part)?.sync_all()?;
            fs::rename(&part, target)?;
            aside::sync_folder(aside::folder(target))
        };
        publish().map_err(unwritable)
    }

    /// Connects again after each break, as long as breaks are not all that comes.
    fn until_whole(&self, url: &str, part: &Path) -> Result<(), DownloadError> {
        let mut fruitless = 0;
        loop {
            let before = size(part);
            let Reached::Break { expected, source } = self.connect(url, part)? else { return Ok(()) };
            let received = size(part);
            let url = url.to_owned();
            if is_timeout(&source) {
                return Err(DownloadError::Stalled { url, seconds: self.patience.as_secs(), received });
            }
            fruitless = if received > before { 0 } else { fruitless + 1 };
            if fruitless >= FRUITLESS_TRIES {
                return Err(match expected {
                    Some(expected) => DownloadError::Truncated { url, expected, received },
                    None => DownloadError::Connection { url, source },
                });
            }
        }
    }

    fn connect(&self, url: &str, part: &Path) -> Result<Reached, DownloadError> {
        let have = size(part);
        let mut request = self.agent.get(url).header(header::ACCEPT_ENCODING, "identity");
        if have > 0 {
            request = request.header(header::RANGE, format!("bytes={have}-"));
        }
        match request.call() {
            Ok(response) => self.receive(url, part, have, response),
            Err(error) => Ok(Reached::Break { expected: None, source: error.into_io() }),
        }
    }

    fn receive(&self, url: &str, part: &Path, have: u64, response: Response<Body>) -> Result<Reached, DownloadError> {
        let status = response.status();
        if status == StatusCode::RANGE_NOT_SATISFIABLE && have > 0 {
            // All of it is there already; the hash will tell.
            return Ok(Reached::End);
        }
        let resumed = status == StatusCode::PARTIAL_CONTENT && starts_at(&response) == Some(have);
        if status != StatusCode::OK && !resumed {
            return Err(DownloadError::Status { url: url.to_owned(), status: status.as_u16() });
        }
        let have = if resumed { have } else { 0 };
        let expected = content_length(&response).map(|length| length + have);
        if expected.is_some_and(|bytes| bytes > LARGEST) {
            return Err(DownloadError::TooLarge { url: url.to_owned() });
        }
        let file = OpenOptions::new().create(true).write(true).append(resumed).truncate(!resumed).open(part);
        let file = file.map_err(|source| DownloadError::Write { path: part.to_owned(), source })?;
        self.observer.on(Event::Started { task: &format!("fetching {url}"), total: expected, unit: Unit::Bytes });
        self.observer.on(Event::Advanced(have));
        let arriving = Arriving { url, part, received: have, expected };
        self.copy(arriving, response.into_body().into_reader(), file)
    }

    fn copy(&self, mut arriving: Arriving<'_>, mut body: impl Read, mut file: File) -> Result<Reached, DownloadError> {
        let mut buffer = vec![0; 1 << 16];
        loop {
            if self.observer.stopped() {
                return Err(DownloadError::Interrupted { url: arriving.url.to_owned() });
            }
            let read = match body.read(&mut buffer) {
                Ok(0) => return Ok(arriving.ended()),
                Ok(read) => read,
                Err(source) => return Ok(Reached::Break { expected: arriving.expected, source }),
            };
            arriving.received += read as u64;
            if arriving.received > LARGEST {
                return Err(DownloadError::TooLarge { url: arriving.url.to_owned() });
            }
            file.write_all(&buffer[..read])
                .map_err(|source| DownloadError::Write { path: arriving.part.to_owned(), source })?;
            self.observer.on(Event::Advanced(read as u64));
        }
    }
}

/// A file on its way.
struct Arriving<'a> {
    url: &'a str,
    part: &'a Path,
    received: u64,
    expected: Option<u64>,
}

impl Arriving<'_> {
    fn ended(&self) -> Reached {
        if self.expected.is_some_and(|expected| self.received < expected) {
            return Reached::Break { expected: self.expected, source: io::ErrorKind::UnexpectedEof.into() };
        }
        Reached::End
    }
}

fn part_of(target: &Path) -> PathBuf {
    let mut part = target.as_os_str().to_owned();
    part.push(".part");
    part.into()
}

fn size(part: &Path) -> u64 {
    part.metadata().map_or(0, |file| file.len())
}

fn is_timeout(error: &io::Error) -> bool {
    let within = error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>());
    error.kind() == io::ErrorKind::TimedOut || matches!(within, Some(ureq::Error::Timeout(_)))
}

fn content_length(response: &Response<Body>) -> Option<u64> {
    response.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The first byte of a partial answer: `Content-Range: bytes 100-199/200`.
fn starts_at(response: &Response<Body>) -> Option<u64> {
    let range = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}

/// The name git gives a file's content: SHA-1 of `blob <size>\0<content>`, in hexadecimal.
pub fn blob_hash(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    let mut hash = Sha1::new();
    hash.update(format!("blob {}\0", file.metadata()?.len()));
    digest::feed(&mut hash, file)?;
    Ok(digest::hex(&hash.finalize()))
}

#[cfg(test)]
mod tests;
