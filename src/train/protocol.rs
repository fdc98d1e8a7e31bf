//! Which epoch's model counts, and who chooses it.

use serde::{Deserialize, Serialize};

/// How the epoch is chosen. Every report names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// A held-out part of the seeds chooses the epoch; the test links are read once, at the end.
    Validation,
    /// The last epoch counts; nothing is chosen.
    Last,
    /// The test links choose the epoch, as published; only for comparing with the published table.
    BestOnTest,
}

/// The links an evaluation during training looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Held-out seeds.
    Validation,
    /// Test links.
    Test,
}

impl Part {
    /// The word in logs and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

impl Protocol {
    /// What is evaluated during training.
    pub fn watches(self) -> Part {
        match self {
            Self::Validation => Part::Validation,
            Self::Last | Self::BestOnTest => Part::Test,
        }
    }

    /// The checkpoint whose figures are the run's result.
    pub fn counts(self) -> &'static str {
        match self {
            Self::Validation | Self::BestOnTest => "best",
            Self::Last => "last",
        }
    }

    /// One line for a report.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Validation => "validation (held-out seeds chose the epoch; the test links were read once)",
            Self::Last => "last (the last epoch counts; nothing was chosen)",
            Self::BestOnTest => {
                "best_on_test (the test links chose the epoch by the mean H@1 of both directions, as published; compare with nothing else)"
            }
        }
    }

    /// The name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Validation => "validation",
            Self::Last => "last",
            Self::BestOnTest => "best_on_test",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_published_protocol_lets_the_test_links_choose() {
        for protocol in [Protocol::Validation, Protocol::Last, Protocol::BestOnTest] {
            let chosen_on_test = protocol.watches() == Part::Test && protocol.counts() == "best";
            assert_eq!(chosen_on_test, protocol == Protocol::BestOnTest);
            assert!(protocol.describe().starts_with(protocol.name()));
        }
    }
}
