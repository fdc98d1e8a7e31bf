//! Finished vectors, kept beside the store, so that an interrupted run goes on where it stopped.
//!
//! `embed-text.cache/<key>/<name>.vec`, one folder for each content of a model's files and set of options, one file for each
//! piece of finished work: vectors with the SHA-256 of their texts. A file is written aside and renamed, so a killed run leaves
//! whole files only; one that is damaged all the same is passed over, and its texts are computed again. The folder may be
//! removed at any time.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use data_process::aside;
use data_process::digest::hex;
use sha2::{Digest, Sha256};

use super::mapping::Mapping;

/// The folder beside the stores; stores that lie side by side share it.
const FOLDER: &str = "embed-text.cache";

/// The SHA-256 of a text.
pub type TextHash = [u8; 32];

/// First bytes of a file of vectors; then rows and width as u32, the hashes, the floats, and the CRC-32C of it all.
const MAGIC: [u8; 8] = *b"humeavec";
const HEADER: usize = 16;

/// The hash a text is kept under.
pub fn text_hash(text: &str) -> TextHash {
    Sha256::digest(text).into()
}

/// Vectors of one width, by the hash of their texts.
#[derive(Debug)]
pub struct VectorCache {
    folder: PathBuf,
    width: usize,
    finished: HashMap<TextHash, &'static [f32]>,
    /// What has been added and not yet written.
    hashes: Vec<TextHash>,
    values: Vec<f32>,
}

impl VectorCache {
    /// The cache of one model and set of options, which `key` names, beside a store.
    pub fn open(store: &Path, key: &str, width: usize) -> io::Result<Self> {
        let short = hex(&Sha256::digest(key)[..8]);
        let folder = store.with_file_name(FOLDER).join(short);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("key.txt"), key)?;
        let mut cache = Self { folder, width, finished: HashMap::new(), hashes: Vec::new(), values: Vec::new() };
        cache.read_all()?;
        Ok(cache)
    }

    fn read_all(&mut self) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "vec") && self.read(&path).is_none() {
                log::warn!("{} is damaged and passed over; its texts are computed again", path.display());
            }
        }
        Ok(())
    }

    /// Takes in a file; `None` if it is damaged.
    fn read(&mut self, path: &Path) -> Option<()> {
        let mapping = Mapping::open(path).ok()?;
        let bytes = mapping.bytes();
        let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
        let number = |at: usize| Some(u32::from_le_bytes(body.get(at..at + 4)?.try_into().ok()?) as usize);
        let (rows, width) = (number(8)?, number(12)?);
        let whole = HEADER.checked_add(rows.checked_mul(32 + 4 * width)?)? == body.len();
        if !whole || body[..8] != MAGIC || width != self.width || crc32c::crc32c(body).to_le_bytes() != *sum {
            return None;
        }
        let floats = mapping.floats()?.get((HEADER + 32 * rows) / 4..)?;
        for row in 0..rows {
            let hash = body[HEADER + 32 * row..][..32].try_into().ok()?;
            self.finished.insert(hash, &floats[row * width..][..width]);
        }
        Some(())
    }

    /// The vector of a text, if it is finished and written.
    pub fn get(&self, text: &TextHash) -> Option<&'static [f32]> {
        self.finished.get(text).copied()
    }

    /// How many texts are finished and written.
    pub fn len(&self) -> usize {
        self.finished.len()
    }

    /// Whether nothing is finished.
    pub fn is_empty(&self) -> bool {
        self.finished.is_empty()
    }

    /// Adds vectors; they are kept from the next [`Self::write`] on.
    pub fn add(&mut self, texts: impl IntoIterator<Item = TextHash>, values: &[f32]) {
        self.hashes.extend(texts);
        self.values.extend_from_slice(values);
    }

    /// How many vectors wait to be written.
    pub fn waiting(&self) -> usize {
        self.hashes.len()
    }

    /// Writes what was added since the last time.
    pub fn write(&mut self) -> io::Result<()> {
        if self.hashes.is_empty() {
            return Ok(());
        }
        let mut bytes = MAGIC.to_vec();
        bytes.extend((self.hashes.len() as u32).to_le_bytes());
        bytes.extend((self.width as u32).to_le_bytes());
        bytes.extend(self.hashes.iter().flatten());
        bytes.extend(self.values.iter().flat_map(|value| value.to_ne_bytes()));
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        // Named by its content, so that several shards can write side by side.
        let name = hex(&Sha256::digest(&bytes)[..12]);
        let path = self.folder.join(format!("{name}.vec"));
        aside::replace(&path, &bytes)?;
        self.hashes.clear();
        self.values.clear();
        self.read(&path).ok_or_else(|| io::Error::other(format!("{} was written and cannot be read", path.display())))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn filled(store: &Path) -> VectorCache {
        let mut cache = VectorCache::open(store, "model a", 2).unwrap();
        cache.add([text_hash("x"), text_hash("y")], &[1.0, 2.0, 3.0, 4.0]);
        cache.write().unwrap();
        cache
    }

    fn the_file(cache: &VectorCache) -> PathBuf {
        let files = fs::read_dir(&cache.folder).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|e| e == "vec")).last().unwrap()
    }

    #[test]
    fn what_was_written_is_found_again_under_the_same_key_only() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("s.parquet");
        assert_eq!(filled(&store).get(&text_hash("y")), Some(&[3.0, 4.0][..]));
        let again = VectorCache::open(&store, "model a", 2).unwrap();
        assert_eq!(again.get(&text_hash("x")), Some(&[1.0, 2.0][..]));
        assert_eq!(again.get(&text_hash("z")), None);
        assert!(VectorCache::open(&store, "model b", 2).unwrap().is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn whoever_may_read_the_key_may_read_the_vectors() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let cache = filled(&folder.path().join("s"));
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
        assert_eq!(mode(&the_file(&cache)), mode(&cache.folder.join("key.txt")));
    }

    #[test]
    fn what_was_added_and_not_written_is_not_finished() {
        let folder = tempfile::tempdir().unwrap();
        let mut cache = filled(&folder.path().join("s"));
        cache.add([text_hash("z")], &[5.0, 6.0]);
        assert_eq!((cache.get(&text_hash("z")), cache.waiting(), cache.len()), (None, 1, 2));
    }

    #[test]
    fn a_damaged_file_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("s");
        let path = the_file(&filled(&store));
        let good = fs::read(&path).unwrap();
        let mut flipped = good.clone();
        flipped[HEADER + 70] ^= 1;
        for bad in [&good[..good.len() - 1], &good[..7], &flipped, b""] {
            fs::write(&path, bad).unwrap();
            assert!(VectorCache::open(&store, "model a", 2).unwrap().is_empty());
        }
        fs::write(&path, &good).unwrap();
        assert_eq!(VectorCache::open(&store, "model a", 2).unwrap().len(), 2);
    }
}
