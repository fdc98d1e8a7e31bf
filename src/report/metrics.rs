//! `metrics.jsonl`: one line per epoch and per evaluation, appended as they come.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use data_process::aside;
use data_process::fault::{Fault, Kind};
use serde::{Deserialize, Serialize};

use crate::eval::Directions;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub enum Line {
    /// One epoch of training.
    Epoch {
        /// Epochs done, from 1.
        epoch: usize,
        /// The loss and its parts by name.
        loss: BTreeMap<String, f64>,
        /// Seconds it took.
        seconds: f64,
        /// Training links it saw.
        links: usize,
    },
    /// One evaluation.
    Evaluation {
        /// Epochs done.
        epoch: usize,
        /// `validation` or `test`.
        part: String,
        /// The figures.
        figures: Directions,
        /// Weight of each modality in the joint vector.
        weights: BTreeMap<String, f64>,
    },
}

impl Line {
    /// Epochs done when it was written.
    pub fn epoch(&self) -> usize {
        match self {
            Self::Epoch { epoch, .. } | Self::Evaluation { epoch, .. } => *epoch,
        }
    }
}

/// What can go wrong with the log.
#[derive(Debug, thiserror::Error)]
#[error("cannot {act} {path}: {source}", path = path.display())]
pub struct MetricsError {
    act: &'static str,
    path: PathBuf,
    pub(crate) source: std::io::Error,
}

impl Fault for MetricsError {
    fn kind(&self) -> Kind {
        match (self.act, self.source.kind()) {
            ("read", io::ErrorKind::InvalidData) => Kind::Data,
            ("read", _) => Kind::Input,
            _ => Kind::Output,
        }
    }
}

/// The log of a run, open for appending.
#[derive(Debug)]
pub struct MetricsLog {
    path: PathBuf,
    file: File,
}

impl MetricsLog {
    /// Opens the log. Lines of epochs after `epochs` are dropped first: a resumed run writes them again.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub fn open(path: &Path, epochs: usize) -> Result<Self, MetricsError> {
        let failed = |act| move |source| MetricsError { act, path: path.to_owned(), source };
        if path.exists() {
            let kept: Vec<u8> = read(path)?.iter().filter(|line| line.epoch() <= epochs).flat_map(bytes).collect();
            // In one step: a kill in between would lose every epoch before.
            aside::replace(path, &kept).map_err(failed("write"))?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(failed("write"))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Appends a line.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn push(&mut self, line: &Line) -> Result<(), MetricsError> {
        self.file.write_all(&bytes(line)).map_err(|source| MetricsError {
            act: "write",
            path: self.path.clone(),
            source,
        })
    }
}

fn bytes(line: &Line) -> Vec<u8> {
    let mut text = serde_json::to_vec(line).unwrap_or_default();
    text.push(b'\n');
    text
}

/// The lines of a log; a last one that was cut short by a kill is left out.
///
/// # Errors
/// If the file cannot be read, or a whole line is none of a log.
pub fn read(path: &Path) -> Result<Vec<Line>, MetricsError> {
    let text = std::fs::read(path).map_err(|source| MetricsError { act: "read", path: path.to_owned(), source })?;
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(&[][..], |end| &text[..end]);
    let lines = whole.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty());
    let parsed = lines.map(|(at, line)| {
        serde_json::from_slice(line).map_err(|error| {
            let reason = format!("line {} is none of a run's log ({error}); remove it, or train anew", at + 1);
            MetricsError {
                act: "read",
                path: path.to_owned(),
                source: io::Error::new(io::ErrorKind::InvalidData, reason),
            }
        })
    });
    parsed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(epoch: usize) -> Line {
        Line::Epoch { epoch, loss: [("total".to_owned(), 0.1 + epoch as f64)].into(), seconds: 0.5, links: 3 }
    }

    #[test]
    fn a_resumed_log_drops_what_will_be_written_again_and_what_a_kill_cut_short() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut log = MetricsLog::open(&path, 0).unwrap();
        (1..=3).for_each(|number| log.push(&epoch(number)).unwrap());
        let mut text = std::fs::read(&path).unwrap();
        text.extend_from_slice(b"{\"line\":\"epo");
        std::fs::write(&path, text).unwrap();
        let mut log = MetricsLog::open(&path, 2).unwrap();
        log.push(&epoch(3)).unwrap();
        assert_eq!(read(&path).unwrap(), [epoch(1), epoch(2), epoch(3)]);
    }

    #[test]
    fn a_whole_line_that_is_none_of_a_log_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        MetricsLog::open(&path, 0).unwrap().push(&epoch(1)).unwrap();
        let text = [std::fs::read(&path).unwrap(), b"garbage\n".to_vec(), bytes(&epoch(2))].concat();
        std::fs::write(&path, &text).unwrap();
        let error = read(&path).unwrap_err();
        assert!(error.to_string().contains("line 2 is none") && error.kind() == Kind::Data, "{error}");
        assert!(MetricsLog::open(&path, 2).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), text, "nothing is lost");
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_output_error() {
        assert_eq!(MetricsLog::open(Path::new("no/such/folder/x"), 0).unwrap_err().kind(), Kind::Output);
        assert_eq!(read(Path::new("no/such/folder/x")).unwrap_err().kind(), Kind::Input);
    }
}
