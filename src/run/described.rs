//! What a run folder holds, for a terminal or as JSON.

use std::fmt::Write;
use std::io::ErrorKind;

use serde_json::{Value, json};

use super::RunError;
use super::error::going_on;
use super::folder::RunFolder;
use super::summary::Summary;
use crate::report::{Line, MetricsError, read};

/// A run folder as text.
///
/// # Errors
/// If the folder holds no run, or a file of it is damaged.
pub fn describe(folder: &RunFolder) -> Result<String, RunError> {
    let identity = folder.identity()?;
    let mut words = format!("run {} (seed {}, configuration {})\n", identity.name, identity.seed, identity.config_hash);
    let _ = writeln!(words, "store {} ({})", identity.store.display(), identity.graphs.join(" – "));
    let _ = writeln!(words, "fingerprint {}", identity.fingerprint);
    let _ = writeln!(words, "humea {} on {}", identity.humea, identity.device);
    let _ = writeln!(words, "{} of {} epochs", epochs(folder)?, folder.config()?.train.epochs);
    let _ = writeln!(words, "checkpoints: {}", checkpoints(folder)?.join(", "));
    match result(folder)? {
        Some(summary) => {
            let _ = write!(words, "{summary}");
        }
        None => {
            let _ = writeln!(words, "not finished; go on with it: {}", going_on(folder.path()));
        }
    }
    Ok(words)
}

/// A run folder as JSON.
///
/// # Errors
/// If the folder holds no run, or a file of it is damaged.
pub fn json(folder: &RunFolder) -> Result<Value, RunError> {
    Ok(json!({
        "run": folder.identity()?,
        "epochs": epochs(folder)?,
        "checkpoints": checkpoints(folder)?,
        "result": result(folder)?,
    }))
}

/// What the run reached; none before its end, whatever was evaluated on the way.
fn result(folder: &RunFolder) -> Result<Option<Summary>, RunError> {
    let summary: Summary = match folder.read_json("result.json") {
        Err(RunError::Read { source, .. }) if source.kind() == ErrorKind::NotFound => return Ok(None),
        read => read?,
    };
    Ok(summary.finishes(&folder.config()?).then_some(summary))
}

/// Epochs in the log; none where it is not begun yet.
fn epochs(folder: &RunFolder) -> Result<usize, MetricsError> {
    match read(&folder.metrics()) {
        Err(error) if error.source.kind() == ErrorKind::NotFound => Ok(0),
        lines => Ok(lines?.iter().map(Line::epoch).max().unwrap_or(0)),
    }
}

/// The checkpoints' file names; none where none was written yet.
fn checkpoints(folder: &RunFolder) -> Result<Vec<String>, RunError> {
    let path = folder.checkpoints();
    let unreadable = |source| RunError::Read { path: path.clone(), source };
    let entries = match std::fs::read_dir(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(unreadable)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(unreadable)?.file_name().to_string_lossy().into_owned());
    }
    names.retain(|name| name.ends_with(".safetensors"));
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_yet_is_none_and_what_cannot_be_read_is_an_error() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("config.toml"), "").unwrap();
        let run = RunFolder::open(place.path()).unwrap();
        assert_eq!((epochs(&run).unwrap(), checkpoints(&run).unwrap()), (0, Vec::new()));
        std::fs::create_dir(run.metrics()).unwrap();
        std::fs::write(run.checkpoints(), "").unwrap();
        assert!(epochs(&run).unwrap_err().to_string().contains("metrics.jsonl"));
        assert!(matches!(checkpoints(&run), Err(RunError::Read { path, .. }) if path == run.checkpoints()));
    }
}
