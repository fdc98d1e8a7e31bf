//! Fetching one file: progress as events, and the SHA-256 that the Hub names checked once.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use data_process::digest::sha256;
use data_process::event::{Event, Observer, Unit};
use hf_hub::api::Progress;

use super::{HubError, Remote};

impl Remote {
    /// Fetches a file into the cache, taking up an earlier attempt where it broke off.
    pub(super) fn download(&self, file: &str, observer: &dyn Observer) -> Result<PathBuf, HubError> {
        let meter = Meter { observer, started: false, position: 0, reported: 0 };
        let commit = self.wanted();
        let fetched = self.at(commit).download_with_progress(file, meter);
        let path = fetched.map_err(|error| self.explain(error, file, false))?;
        // hf-hub notes which commit a commit stands for; Python notes that of branches and tags only.
        drop(fs::remove_file(self.reference(commit)));
        check(&path)?;
        Ok(path)
    }
}

/// Large files are stored under their SHA-256: compares, and removes what does not agree.
fn check(path: &Path) -> Result<(), HubError> {
    let unreadable = |source: io::Error| HubError::Cache { path: path.to_owned(), reason: source.to_string() };
    let blob = fs::canonicalize(path).map_err(unreadable)?;
    let Some(expected) = blob.file_name().and_then(|name| name.to_str()).filter(|name| is_sha256(name)) else {
        return Ok(());
    };
    let found = sha256(&blob).map_err(unreadable)?;
    if found == expected {
        return Ok(());
    }
    let expected = expected.to_owned();
    fs::remove_file(path).and_then(|()| fs::remove_file(&blob)).map_err(unreadable)?;
    Err(HubError::Damaged { path: blob, found, expected })
}

fn is_sha256(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Turns hf-hub's calls into events. It calls `init` more than once for a file and counts resumed bytes again after
/// each break, so what is reported is the furthest position reached.
struct Meter<'a> {
    observer: &'a dyn Observer,
    started: bool,
    position: u64,
    reported: u64,
}

impl Progress for Meter<'_> {
    fn init(&mut self, size: usize, filename: &str) {
        self.position = 0;
        if !self.started {
            self.started = true;
            let task = format!("fetching {filename}");
            self.observer.on(Event::Started { task: &task, total: Some(size as u64), unit: Unit::Bytes });
        }
    }

    fn update(&mut self, size: usize) {
        self.position += size as u64;
        if let Some(new) = self.position.checked_sub(self.reported).filter(|new| *new > 0) {
            self.reported = self.position;
            self.observer.on(Event::Advanced(new));
        }
    }

    fn finish(&mut self) {}
}

impl Drop for Meter<'_> {
    fn drop(&mut self) {
        if self.started {
            self.observer.on(Event::Finished);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Count(Mutex<Vec<u64>>);

    impl Observer for Count {
        fn on(&self, event: Event<'_>) {
            if let Event::Advanced(by) = event {
                self.0.lock().unwrap().push(by);
            }
        }
    }

    #[test]
    fn a_resumed_download_is_counted_once() {
        let count = Count::default();
        let mut meter = Meter { observer: &count, started: false, position: 0, reported: 0 };
        meter.init(10, "f");
        meter.init(10, "f");
        meter.update(0);
        meter.update(6);
        meter.init(10, "f");
        meter.update(6);
        meter.update(4);
        drop(meter);
        assert_eq!(*count.0.lock().unwrap(), [6, 4]);
    }

    #[test]
    fn only_a_blob_named_by_a_hash_is_checked() {
        let folder = tempfile::tempdir().unwrap();
        let small = folder.path().join("0123456789abcdef");
        let good = folder.path().join("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
        let bad = folder.path().join("a".repeat(64));
        for path in [&small, &good, &bad] {
            fs::write(path, "hello").unwrap();
        }
        check(&small).unwrap();
        check(&good).unwrap();
        let link = folder.path().join("model.safetensors");
        std::os::unix::fs::symlink(&bad, &link).unwrap();
        assert!(matches!(check(&link), Err(HubError::Damaged { .. })));
        assert!(!bad.exists() && !link.is_symlink(), "the damaged file is gone");
    }
}
