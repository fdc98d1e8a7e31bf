//! What a run has reached, as it is kept in `result.json` and shown.

use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::eval::Directions;
use crate::train::protocol::Protocol;

/// What a run reached; `result.json`. `humea evaluate` writes it for a run that is not finished, too.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// The run's name.
    pub name: String,
    /// How the epoch was chosen.
    pub protocol: Protocol,
    /// The checkpoint that counts under that protocol: `best` or `last`.
    pub counts: String,
    /// Epochs of the best checkpoint, and its figures on the test links.
    pub best: Tested,
    /// The same of the last.
    pub last: Tested,
    /// Seconds of training.
    pub seconds: f64,
    /// Fingerprint of the store.
    pub fingerprint: String,
}

/// One checkpoint on the test links.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Tested {
    /// Epochs done.
    pub epochs: usize,
    /// Figures on the test links.
    pub test: Directions,
    /// Those of the vectors alone, where evidence was added to them.
    #[serde(default)]
    pub vectors_alone: Option<Directions>,
}

impl Summary {
    /// Whether the run of that configuration was finished, or only evaluated on the way.
    pub fn finishes(&self, config: &Config) -> bool {
        self.last.epochs == config.train.epochs
    }

    /// The checkpoints as a report shows them: name, whether its figures count, figures.
    pub fn rows(&self) -> [(&'static str, bool, Tested); 2] {
        let best = (self.protocol.best(), self.counts == "best", self.best);
        [best, ("last", self.counts == "last", self.last)]
    }

    /// The figures that count.
    pub fn result(&self) -> Tested {
        if self.counts == "best" { self.best } else { self.last }
    }

    /// As JSON.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

/// A table for a terminal.
impl Display for Summary {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        writeln!(to, "protocol: {}", self.protocol.describe())?;
        writeln!(
            to,
            "{:<25} {:<14} {:>7} {:>7} {:>7} {:>9} {:>7}",
            "test links", "direction", "H@1", "H@5", "H@10", "MR", "MRR"
        )?;
        for (name, counts, tested) in self.rows() {
            let mark = if counts { "*" } else { " " };
            directions(to, &format!("{mark}{name} (epoch {})", tested.epochs), tested.test)?;
            if let Some(alone) = tested.vectors_alone {
                directions(to, " vectors alone", alone)?;
            }
        }
        writeln!(to, "* counts under this protocol; {:.1} s of training", self.seconds)
    }
}

fn directions(to: &mut fmt::Formatter, name: &str, figures: Directions) -> fmt::Result {
    for (direction, f) in [("left → right", figures.left_to_right), ("right → left", figures.right_to_left)] {
        writeln!(
            to,
            "{name:<25} {direction:<14} {:>7.4} {:>7.4} {:>7.4} {:>9.2} {:>7.4}",
            f.hits_at_1, f.hits_at_5, f.hits_at_10, f.mr, f.mrr
        )?;
    }
    Ok(())
}
