//! The folder of one run: what is written before the first epoch, and where everything else goes.
//!
//! ```text
//!  runs/<pipeline>-<seed>-<config hash>/
//!    links/                   those that train, validate, test   ┐
//!    run.json                 versions, seed, store, fingerprint │ written before
//!    config.toml              the resolved configuration         ┘ the first epoch
//!    metrics.jsonl            one line per epoch and evaluation
//!    events.out.tfevents.…    the same for TensorBoard
//!    checkpoints/             best (parameters), last (and every n-th: all to go on from) .safetensors
//!    result.json, report.html written at the end
//! ```

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use data_process::aside;
use data_process::tables::TableError;
use serde::{Deserialize, Serialize};

use super::RunError;
use crate::config::{Config, Layers};
use crate::inputs::Links;

/// What a run is: written before its first epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// The pipeline's name.
    pub name: String,
    /// Seed of every random draw but the split.
    pub seed: u64,
    /// Hash of the configuration.
    pub config_hash: String,
    /// SHA-256 of the files besides the store that the run is made from, by the key that names them.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// Version of this program.
    pub humea: String,
    /// Device the run began on.
    pub device: String,
    /// The store, as a path that holds from anywhere.
    pub store: PathBuf,
    /// The store's fingerprint.
    pub fingerprint: String,
    /// Names of the left and the right graph.
    pub graphs: [String; 2],
    /// When the run began, in seconds since 1970.
    pub started: u64,
}

impl Identity {
    /// The key of a file that is no longer what it was when the run began, if one of those there are `now` is such.
    pub fn other_file<'a>(&self, now: &'a BTreeMap<String, String>) -> Option<&'a str> {
        now.iter().find(|(key, digest)| self.files.get(*key) != Some(*digest)).map(|(key, _)| key.as_str())
    }
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A run's folder.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
}

/// What to do with a run folder that holds a run already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// An error: nothing is lost by accident.
    Refuse,
    /// Go on from its last checkpoint.
    Resume,
    /// Begin anew.
    Replace,
}

impl RunFolder {
    /// The run in a folder that is to go on; none where a new one is to begin.
    ///
    /// # Errors
    /// If there is a run already and `existing` refuses.
    pub fn begun(path: &Path, existing: Existing) -> Result<Option<Self>, RunError> {
        match (Self::open(path), existing) {
            (Ok(_), Existing::Refuse) => Err(RunError::Exists { folder: path.to_owned() }),
            (Ok(run), Existing::Resume) => Ok(Some(run)),
            _ => Ok(None),
        }
    }

    /// Makes the folder of a new run and writes what the run is; last the file that makes it a run.
    ///
    /// # Errors
    /// If there is a run already that is not to be replaced, or if nothing can be written.
    pub fn create(
        path: &Path,
        config: &Config,
        identity: &Identity,
        links: &Links,
        existing: Existing,
    ) -> Result<Self, RunError> {
        let folder = Self { path: path.to_owned() };
        match (folder.config_file().exists(), existing) {
            (true, Existing::Replace) => folder.clear()?,
            (true, _) => return Err(RunError::Exists { folder: path.to_owned() }),
            (false, _) => {}
        }
        create_folder(&folder.checkpoints())?;
        create_folder(&folder.links())?;
        links.write(&folder.links()).map_err(|error| match error {
            TableError::Write { path, message } => folder.unwritable(&path, &message),
            error => folder.unwritable(&folder.links(), &error.to_string()),
        })?;
        folder.replace_json("run.json", identity)?;
        let config = config.to_toml().map_err(|error| folder.unwritable(&folder.config_file(), &error.to_string()))?;
        folder.replace("config.toml", config.as_bytes())?;
        Ok(folder)
    }

    /// Opens the folder of an existing run.
    ///
    /// # Errors
    /// If the folder holds no run.
    pub fn open(path: &Path) -> Result<Self, RunError> {
        let folder = Self { path: path.to_owned() };
        if folder.config_file().exists() { Ok(folder) } else { Err(RunError::NotARun { folder: path.to_owned() }) }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of the checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// A named checkpoint.
    pub fn checkpoint(&self, name: &str) -> PathBuf {
        self.checkpoints().join(format!("{name}.safetensors"))
    }

    /// Whether there is a checkpoint to go on from.
    pub fn goes_on(&self) -> bool {
        self.checkpoint("last").exists()
    }

    /// The folder of the links that train, validate and test.
    pub fn links(&self) -> PathBuf {
        self.path.join("links")
    }

    /// One line per epoch and evaluation.
    pub fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// The report.
    pub fn report(&self) -> PathBuf {
        self.path.join("report.html")
    }

    fn config_file(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    /// The resolved configuration of the run.
    ///
    /// # Errors
    /// If it cannot be read, or is no longer a configuration.
    pub fn config(&self) -> Result<Config, RunError> {
        Ok(Layers::resolved(&self.config_file())?)
    }

    /// What the run is.
    ///
    /// # Errors
    /// If `run.json` is missing or damaged.
    pub fn identity(&self) -> Result<Identity, RunError> {
        self.read_json("run.json")
    }

    /// Reads a JSON file of the folder.
    ///
    /// # Errors
    /// If it is missing or damaged.
    pub fn read_json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T, RunError> {
        let path = self.path.join(name);
        let text = std::fs::read(&path).map_err(|source| RunError::Read { path: path.clone(), source })?;
        serde_json::from_slice(&text).map_err(|error| RunError::Damaged { path, message: error.to_string() })
    }

    /// Writes a JSON file of the folder, whole or not at all.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn replace_json<T: Serialize>(&self, name: &str, value: &T) -> Result<(), RunError> {
        let text = serde_json::to_vec_pretty(value);
        let text = text.map_err(|error| self.unwritable(&self.path.join(name), &error.to_string()))?;
        self.replace(name, &text)
    }

    /// Writes a file of the folder, whole or not at all.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), RunError> {
        let path = self.path.join(name);
        aside::replace(&path, bytes).map_err(|error| self.unwritable(&path, &error.to_string()))
    }

    /// The newest checkpoint there is, for messages.
    pub fn last_checkpoint(&self) -> Option<PathBuf> {
        ["last", "best"].into_iter().map(|name| self.checkpoint(name)).find(|path| path.exists())
    }

    /// What to say when a file of the folder cannot be written.
    pub(super) fn unwritable(&self, path: &Path, message: &str) -> RunError {
        RunError::Write {
            path: path.to_owned(),
            message: message.to_owned(),
            checkpoint: Checkpointed(self.last_checkpoint()),
        }
    }

    /// Holds a run that is to go on to what it was when it began.
    ///
    /// # Errors
    /// If its configuration, a file it is made from, or its store is another one.
    pub fn same_run(&self, config: &Config, identity: &Identity) -> Result<(), RunError> {
        let before = self.identity()?;
        // Read again, a configuration has keys that have come since, and hashes as if it had always had them.
        let same = before.config_hash == config.hash() || self.config()?.hash() == config.hash();
        if !same {
            let differences = self.config()?.differences(config);
            return Err(RunError::OtherConfiguration { folder: self.path.clone(), differences });
        }
        if let Some(key) = before.other_file(&identity.files) {
            return Err(RunError::OtherFile { folder: self.path.clone(), key: key.to_owned() });
        }
        if before.fingerprint != identity.fingerprint {
            return Err(RunError::OtherStore { folder: self.path.clone(), store: identity.store.clone() });
        }
        Ok(())
    }

    /// Removes what a run leaves behind, and nothing else; first the file that makes it a run.
    fn clear(&self) -> Result<(), RunError> {
        let failed = |path: &Path, error: std::io::Error| self.unwritable(path, &error.to_string());
        std::fs::remove_file(self.config_file()).map_err(|error| failed(&self.config_file(), error))?;
        for entry in std::fs::read_dir(&self.path).map_err(|error| failed(&self.path, error))?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let ours = ["run.json", "metrics.jsonl", "result.json", "report.html"].contains(&name.as_str());
            if ours || name.starts_with("events.out.tfevents") {
                std::fs::remove_file(entry.path()).map_err(|error| failed(&entry.path(), error))?;
            }
        }
        for folder in [self.checkpoints(), self.links()].iter().filter(|folder| folder.exists()) {
            std::fs::remove_dir_all(folder).map_err(|error| failed(folder, error))?;
        }
        Ok(())
    }
}

/// The last good checkpoint, for messages.
#[derive(Debug)]
pub struct Checkpointed(pub Option<PathBuf>);

impl std::fmt::Display for Checkpointed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Some(path) => write!(f, "the last good checkpoint is {}", path.display()),
            None => f.write_str("there is no checkpoint yet"),
        }
    }
}

/// Keeps other processes from training in a folder, which is made if need be, until the file is dropped. The folder itself
/// is locked, so that no lock file stays behind; none where the file system has no locks.
///
/// # Errors
/// If another process trains there, or the folder cannot be made.
pub fn lock(path: &Path) -> Result<Option<File>, RunError> {
    create_folder(path)?;
    let Ok(folder) = File::open(path) else { return Ok(None) };
    match folder.try_lock() {
        Ok(()) => Ok(Some(folder)),
        Err(TryLockError::WouldBlock) => Err(RunError::Busy { folder: path.to_owned() }),
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

fn create_folder(path: &Path) -> Result<(), RunError> {
    std::fs::create_dir_all(path).map_err(|error| RunError::Write {
        path: path.to_owned(),
        message: error.to_string(),
        checkpoint: Checkpointed(None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(config: &Config) -> Identity {
        Identity {
            name: config.run.name.clone(),
            seed: config.run.seed,
            config_hash: config.hash(),
            files: BTreeMap::from([("train.initial".to_owned(), "d".to_owned())]),
            humea: "0".to_owned(),
            device: "cpu".to_owned(),
            store: PathBuf::from("a.parquet"),
            fingerprint: "f".to_owned(),
            graphs: ["a".to_owned(), "b".to_owned()],
            started: 0,
        }
    }

    #[test]
    fn a_folder_keeps_what_the_run_is_and_is_not_overwritten_by_accident() {
        let place = tempfile::tempdir().unwrap();
        let config = Layers::defaults().unwrap().config().unwrap();
        let identity = identity(&config);
        let path = place.path().join("run");
        let create = |config: &Config, identity: &Identity, existing| {
            RunFolder::create(&path, config, identity, &Links::default(), existing)
        };
        let folder = create(&config, &identity, Existing::Refuse).unwrap();
        assert_eq!(Links::read(&folder.links(), 1, 2).unwrap(), Links::default());
        assert_eq!(folder.identity().unwrap(), identity);
        assert_eq!(folder.config().unwrap().hash(), config.hash());
        assert!(matches!(create(&config, &identity, Existing::Refuse), Err(RunError::Exists { .. })));
        assert!(matches!(RunFolder::begun(&path, Existing::Refuse), Err(RunError::Exists { .. })));
        assert!(RunFolder::begun(&path, Existing::Replace).unwrap().is_none());
        let begun = RunFolder::begun(&path, Existing::Resume).unwrap().unwrap();
        begun.same_run(&config, &identity).unwrap();
        let mut other = config.clone();
        other.train.epochs += 1;
        let refused = begun.same_run(&other, &identity).unwrap_err().to_string();
        let epochs = config.train.epochs;
        assert!(refused.contains(&format!("(`train.epochs` was {epochs} and is {})", epochs + 1)), "{refused}");
        let older = std::fs::read_to_string(folder.config_file()).unwrap().replace("per_entity = false\n", "");
        std::fs::write(folder.config_file(), older).unwrap();
        let hashed = Identity { config_hash: "01234567".to_owned(), ..identity.clone() };
        std::fs::write(path.join("run.json"), serde_json::to_string(&hashed).unwrap()).unwrap();
        begun.same_run(&config, &identity).unwrap();
        assert!(matches!(begun.same_run(&other, &identity), Err(RunError::OtherConfiguration { .. })));
        let moved = Identity { fingerprint: "g".to_owned(), ..identity.clone() };
        assert!(matches!(begun.same_run(&config, &moved), Err(RunError::OtherStore { .. })));
        let files = |digest: &str| BTreeMap::from([("train.initial".to_owned(), digest.to_owned())]);
        let changed = Identity { files: files("e"), ..identity.clone() };
        assert!(matches!(begun.same_run(&config, &changed), Err(RunError::OtherFile { .. })));
        begun.same_run(&config, &Identity { files: BTreeMap::new(), ..identity.clone() }).unwrap();
        std::fs::write(folder.checkpoint("last"), "x").unwrap();
        create(&other, &identity, Existing::Replace).unwrap();
        assert!(folder.last_checkpoint().is_none());
    }

    #[test]
    fn two_processes_do_not_train_in_one_folder() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("run");
        let held = lock(&path).unwrap();
        assert!(matches!(lock(&path), Err(RunError::Busy { .. })));
        drop(held);
        assert!(lock(&path).is_ok());
    }

    #[test]
    fn what_is_no_run_is_refused() {
        let place = tempfile::tempdir().unwrap();
        assert!(matches!(RunFolder::open(place.path()), Err(RunError::NotARun { .. })));
        std::fs::write(place.path().join("config.toml"), "").unwrap();
        let folder = RunFolder::open(place.path()).unwrap();
        assert!(matches!(folder.identity(), Err(RunError::Read { .. })));
        std::fs::write(place.path().join("run.json"), "{").unwrap();
        assert!(matches!(folder.identity(), Err(RunError::Damaged { .. })));
    }
}
