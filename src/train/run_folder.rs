//! The folder of one run: what is written before the first epoch, and where everything else goes.
//!
//! ```text
//!  runs/<pipeline>-<seed>-<config hash>/
//!    config.toml              the resolved configuration         ┐ written before
//!    run.json                 versions, seed, store, fingerprint ┘ the first epoch
//!    metrics.jsonl            one line per epoch and evaluation
//!    events.out.tfevents.…    the same for TensorBoard
//!    checkpoints/             best and last (and every n-th) .safetensors
//!    result.json, report.html written at the end
//! ```

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use data_process::aside;
use serde::{Deserialize, Serialize};

use super::TrainError;
use crate::pipeline::{Config, Layers};

/// What a run is: written before its first epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// The pipeline's name.
    pub name: String,
    /// Seed of every random draw but the split.
    pub seed: u64,
    /// Hash of the configuration.
    pub config_hash: String,
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
    /// Makes the folder of a new run, or finds that of a run to be resumed, and writes what the run is.
    ///
    /// # Errors
    /// If there is a run already and `existing` refuses, if what is there is another run, or if nothing can be written.
    pub fn create(path: &Path, config: &Config, identity: &Identity, existing: Existing) -> Result<Self, TrainError> {
        let folder = Self { path: path.to_owned() };
        let holds_run = folder.config_file().exists();
        match existing {
            Existing::Refuse if holds_run => return Err(TrainError::Exists { folder: path.to_owned() }),
            Existing::Resume if holds_run => {
                folder.same_run(config, identity)?;
                return Ok(folder);
            }
            Existing::Replace if holds_run => folder.clear()?,
            _ => {}
        }
        create_folder(&folder.checkpoints())?;
        let config = config.to_toml().map_err(|error| folder.unwritable(&folder.config_file(), &error.to_string()))?;
        folder.replace("config.toml", config.as_bytes())?;
        folder.replace_json("run.json", identity)?;
        Ok(folder)
    }

    /// Opens the folder of an existing run.
    ///
    /// # Errors
    /// If the folder holds no run.
    pub fn open(path: &Path) -> Result<Self, TrainError> {
        let folder = Self { path: path.to_owned() };
        if folder.config_file().exists() { Ok(folder) } else { Err(TrainError::NotARun { folder: path.to_owned() }) }
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
    pub fn config(&self) -> Result<Config, TrainError> {
        Ok(Layers::resolved(&self.config_file())?)
    }

    /// What the run is.
    ///
    /// # Errors
    /// If `run.json` is missing or damaged.
    pub fn identity(&self) -> Result<Identity, TrainError> {
        self.read_json("run.json")
    }

    /// Reads a JSON file of the folder.
    ///
    /// # Errors
    /// If it is missing or damaged.
    pub fn read_json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T, TrainError> {
        let path = self.path.join(name);
        let text = std::fs::read(&path).map_err(|source| TrainError::Read { path: path.clone(), source })?;
        serde_json::from_slice(&text).map_err(|error| TrainError::Damaged { path, message: error.to_string() })
    }

    /// Writes a JSON file of the folder, whole or not at all.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn replace_json<T: Serialize>(&self, name: &str, value: &T) -> Result<(), TrainError> {
        let text = serde_json::to_vec_pretty(value);
        let text = text.map_err(|error| self.unwritable(&self.path.join(name), &error.to_string()))?;
        self.replace(name, &text)
    }

    /// Writes a file of the folder, whole or not at all.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), TrainError> {
        let path = self.path.join(name);
        replace_file(&path, bytes).map_err(|error| self.unwritable(&path, &error.to_string()))
    }

    /// The newest checkpoint there is, for messages.
    pub fn last_checkpoint(&self) -> Option<PathBuf> {
        ["last", "best"].into_iter().map(|name| self.checkpoint(name)).find(|path| path.exists())
    }

    /// What to say when a file of the folder cannot be written.
    pub(super) fn unwritable(&self, path: &Path, message: &str) -> TrainError {
        TrainError::Write {
            path: path.to_owned(),
            message: message.to_owned(),
            checkpoint: Checkpointed(self.last_checkpoint()),
        }
    }

    fn same_run(&self, config: &Config, identity: &Identity) -> Result<(), TrainError> {
        let before = self.identity()?;
        if before.config_hash != config.hash() || before.seed != config.run.seed {
            return Err(TrainError::OtherConfiguration { folder: self.path.clone() });
        }
        if before.fingerprint != identity.fingerprint {
            return Err(TrainError::OtherStore { folder: self.path.clone(), store: identity.store.clone() });
        }
        Ok(())
    }

    /// Removes what a run leaves behind, and nothing else.
    fn clear(&self) -> Result<(), TrainError> {
        let failed = |path: &Path, error: std::io::Error| self.unwritable(path, &error.to_string());
        for entry in std::fs::read_dir(&self.path).map_err(|error| failed(&self.path, error))?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let ours =
                ["config.toml", "run.json", "metrics.jsonl", "result.json", "report.html"].contains(&name.as_str());
            if ours || name.starts_with("events.out.tfevents") {
                std::fs::remove_file(entry.path()).map_err(|error| failed(&entry.path(), error))?;
            }
        }
        if self.checkpoints().exists() {
            std::fs::remove_dir_all(self.checkpoints()).map_err(|error| failed(&self.checkpoints(), error))?;
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
pub fn lock(path: &Path) -> Result<Option<File>, TrainError> {
    create_folder(path)?;
    let Ok(folder) = File::open(path) else { return Ok(None) };
    match folder.try_lock() {
        Ok(()) => Ok(Some(folder)),
        Err(TryLockError::WouldBlock) => Err(TrainError::Busy { folder: path.to_owned() }),
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

fn create_folder(path: &Path) -> Result<(), TrainError> {
    std::fs::create_dir_all(path).map_err(|error| TrainError::Write {
        path: path.to_owned(),
        message: error.to_string(),
        checkpoint: Checkpointed(None),
    })
}

/// Writes a file under a temporary name beside it, flushes it to the disk, then renames it.
///
/// # Errors
/// If the disk refuses; the old file, if any, is then untouched.
pub fn replace_file(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    replace_file_with(path, |temporary| std::fs::write(temporary, bytes))
}

/// The same for what is written piece by piece: `write` is given the temporary name.
///
/// # Errors
/// If `write` fails or the disk refuses; the old file, if any, is then untouched.
pub fn replace_file_with(path: &Path, write: impl FnOnce(&Path) -> std::io::Result<()>) -> std::io::Result<()> {
    let temporary = aside::beside(path)?.into_temp_path();
    write(&temporary)?;
    std::fs::File::open(&temporary)?.sync_all()?;
    Ok(temporary.persist(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(config: &Config) -> Identity {
        Identity {
            name: config.run.name.clone(),
            seed: config.run.seed,
            config_hash: config.hash(),
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
        let create = |config: &Config, identity: &Identity, existing| {
            RunFolder::create(&place.path().join("run"), config, identity, existing)
        };
        let folder = create(&config, &identity, Existing::Refuse).unwrap();
        assert_eq!(folder.identity().unwrap(), identity);
        assert_eq!(folder.config().unwrap().hash(), config.hash());
        assert!(matches!(create(&config, &identity, Existing::Refuse), Err(TrainError::Exists { .. })));
        assert!(create(&config, &identity, Existing::Resume).is_ok());
        let mut other = config.clone();
        other.train.epochs += 1;
        assert!(matches!(create(&other, &identity, Existing::Resume), Err(TrainError::OtherConfiguration { .. })));
        let moved = Identity { fingerprint: "g".to_owned(), ..identity.clone() };
        assert!(matches!(create(&config, &moved, Existing::Resume), Err(TrainError::OtherStore { .. })));
        std::fs::write(folder.checkpoint("last"), "x").unwrap();
        create(&other, &identity, Existing::Replace).unwrap();
        assert!(folder.last_checkpoint().is_none());
    }

    #[test]
    fn two_processes_do_not_train_in_one_folder() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("run");
        let held = lock(&path).unwrap();
        assert!(matches!(lock(&path), Err(TrainError::Busy { .. })));
        drop(held);
        assert!(lock(&path).is_ok());
    }

    #[test]
    fn what_is_no_run_is_refused() {
        let place = tempfile::tempdir().unwrap();
        assert!(matches!(RunFolder::open(place.path()), Err(TrainError::NotARun { .. })));
        std::fs::write(place.path().join("config.toml"), "").unwrap();
        let folder = RunFolder::open(place.path()).unwrap();
        assert!(matches!(folder.identity(), Err(TrainError::Read { .. })));
        std::fs::write(place.path().join("run.json"), "{").unwrap();
        assert!(matches!(folder.identity(), Err(TrainError::Damaged { .. })));
    }
}
