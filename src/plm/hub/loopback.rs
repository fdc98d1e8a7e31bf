//! A tiny server that speaks the Hub's paths, for tests: listings, files with ranges, large files behind a redirect,
//! refusals, and connections that break off.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use data_process::digest::hex;
use sha2::{Digest, Sha256};

pub(super) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
pub(super) const LATER: &str = "89abcdef0123456789abcdef0123456789abcdef";

/// What the server has and how it behaves.
#[derive(Clone, Debug, Default)]
pub(super) struct Site {
    /// Content of the files of `owner/model` at [`COMMIT`], where main stands.
    pub(super) files: BTreeMap<&'static str, Vec<u8>>,
    /// Content of the files at [`LATER`], where main stands if there are any.
    pub(super) later: BTreeMap<&'static str, Vec<u8>>,
    /// Only requests with this token are answered.
    pub(super) token: Option<&'static str>,
    /// Every request is answered with this status.
    pub(super) status: Option<u16>,
    /// Files that stand under the wrong hash.
    pub(super) damaged: bool,
    /// So many bodies break off half-way.
    pub(super) breaks: usize,
}

impl Site {
    /// The commit of a revision, and its files.
    fn at(&self, revision: &str) -> Option<(&'static str, &BTreeMap<&'static str, Vec<u8>>)> {
        match revision {
            "main" if self.later.is_empty() => Some((COMMIT, &self.files)),
            COMMIT => Some((COMMIT, &self.files)),
            "main" | LATER => Some((LATER, &self.later)).filter(|(_, files)| !files.is_empty()),
            _ => None,
        }
    }
}

/// A running server; its thread ends with the process.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) endpoint: String,
    /// What it has, which may change.
    pub(super) site: Arc<Mutex<Site>>,
    /// The requests so far: path and `Range`.
    pub(super) log: Arc<Mutex<Vec<(String, String)>>>,
}

impl Server {
    pub(super) fn start(site: Site) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let log = Arc::new(Mutex::new(Vec::new()));
        let site = Arc::new(Mutex::new(site));
        let (kept, shown) = (Arc::clone(&log), Arc::clone(&site));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(stream, &mut shown.lock().unwrap(), &kept);
            }
        });
        Self { endpoint, site, log }
    }

    pub(super) fn requests(&self) -> Vec<(String, String)> {
        self.log.lock().unwrap().clone()
    }
}

fn answer(stream: TcpStream, site: &mut Site, log: &Mutex<Vec<(String, String)>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(request) = lines.next() else { return };
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let headers: HashMap<String, String> = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned())))
        .collect();
    let range = headers.get("range").cloned().unwrap_or_default();
    log.lock().unwrap().push((path.clone(), range.clone()));
    let sent = headers.get("authorization").cloned().unwrap_or_default();
    if let Some(status) = site.status {
        return plain(stream, status, "");
    }
    if site.token.is_some_and(|token| sent != format!("Bearer {token}")) {
        return plain(stream, 401, "");
    }
    if let Some(revision) = path.strip_prefix("/api/models/owner/model/revision/") {
        let (status, body) = site.at(revision).map_or((404, String::new()), |(at, files)| (200, listing(at, files)));
        return plain(stream, status, &body);
    }
    let asked = path.strip_prefix("/owner/model/resolve/").or_else(|| path.strip_prefix("/cdn/"));
    let (revision, name) = asked.and_then(|asked| asked.split_once('/')).unwrap_or_default();
    let found = site.at(revision).and_then(|(commit, files)| Some((commit, files.get(name)?.clone())));
    match found {
        Some((commit, content)) => file(stream, site, &path, (commit, name, &content), &range),
        None => plain(stream, 404, ""),
    }
}

fn listing(commit: &str, files: &BTreeMap<&'static str, Vec<u8>>) -> String {
    let names: Vec<String> = files.keys().map(|name| format!(r#"{{"rfilename": "{name}"}}"#)).collect();
    format!(r#"{{"sha": "{commit}", "siblings": [{}]}}"#, names.join(", "))
}

fn plain(mut stream: TcpStream, status: u16, body: &str) {
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let _ = stream.write_all((head + body).as_bytes());
}

/// Weights are large files: named by their SHA-256 and fetched from another path, as the Hub does.
fn file(mut stream: TcpStream, site: &mut Site, path: &str, found: (&str, &str, &[u8]), range: &str) {
    let (commit, name, content) = found;
    let large = name.ends_with(".safetensors");
    let hash = if site.damaged { "ab".repeat(32) } else { hex(&Sha256::digest(content)) };
    let etag = if large { hash } else { hex(&Sha256::digest(content)[..20]) };
    if large && !path.starts_with("/cdn/") {
        let head = format!(
            "HTTP/1.1 302 X\r\nlocation: http://{}/cdn/{commit}/{name}\r\nx-linked-etag: \"{etag}\"\r\n\
             x-repo-commit: {commit}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            stream.local_addr().unwrap()
        );
        let _ = stream.write_all(head.as_bytes());
        return;
    }
    let bounds = range.trim_start_matches("bytes=").split_once('-').unwrap_or(("0", ""));
    let from: usize = bounds.0.parse().unwrap();
    let to = bounds.1.parse().map_or(content.len(), |last: usize| (last + 1).min(content.len()));
    let head = format!(
        "HTTP/1.1 206 X\r\ncontent-length: {}\r\ncontent-range: bytes {from}-{}/{}\r\netag: \"{etag}\"\r\n\
         x-repo-commit: {commit}\r\nconnection: close\r\n\r\n",
        to - from,
        to.saturating_sub(1),
        content.len()
    );
    let _ = stream.write_all(head.as_bytes());
    let whole = to - from > 1;
    let end = if whole && site.breaks > 0 { from + (to - from) / 2 } else { to };
    site.breaks -= usize::from(whole && site.breaks > 0);
    let _ = stream.write_all(&content[from..end]);
}
