//! What a run folder holds, for a terminal or as JSON.

use std::fmt::Write;
use std::io::ErrorKind;

use serde_json::{Value, json};

use super::{Line, read, text};
use crate::train::TrainError;
use crate::train::run::Summary;
use crate::train::run_folder::RunFolder;

/// A run folder as text.
///
/// # Errors
/// If the folder holds no run, or a file of it is damaged.
pub fn describe(folder: &RunFolder) -> Result<String, TrainError> {
    let identity = folder.identity()?;
    let mut words = format!("run {} (seed {}, configuration {})\n", identity.name, identity.seed, identity.config_hash);
    let _ = writeln!(words, "store {} ({})", identity.store.display(), identity.graphs.join(" – "));
    let _ = writeln!(words, "fingerprint {}", identity.fingerprint);
    let _ = writeln!(words, "humea {} on {}", identity.humea, identity.device);
    let _ = writeln!(words, "{} of {} epochs", epochs(folder), folder.config()?.train.epochs);
    let _ = writeln!(words, "checkpoints: {}", checkpoints(folder).join(", "));
    match result(folder)? {
        Some(summary) => words.push_str(&text::summary(&summary)),
        None => words.push_str("not finished: humea train --resume --run-dir goes on with it\n"),
    }
    Ok(words)
}

/// A run folder as JSON.
///
/// # Errors
/// If the folder holds no run, or a file of it is damaged.
pub fn json(folder: &RunFolder) -> Result<Value, TrainError> {
    Ok(json!({
        "run": folder.identity()?,
        "epochs": epochs(folder),
        "checkpoints": checkpoints(folder),
        "result": result(folder)?,
    }))
}

/// What the run reached; none before its end.
fn result(folder: &RunFolder) -> Result<Option<Summary>, TrainError> {
    match folder.read_json("result.json") {
        Err(TrainError::Read { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

fn epochs(folder: &RunFolder) -> usize {
    read(&folder.metrics()).map_or(0, |lines| lines.iter().map(Line::epoch).max().unwrap_or(0))
}

fn checkpoints(folder: &RunFolder) -> Vec<String> {
    let entries = std::fs::read_dir(folder.checkpoints()).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name.ends_with(".safetensors"));
    names.sort();
    names
}
