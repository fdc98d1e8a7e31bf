//! Which epoch's model counts, and who chooses it.

use serde::{Deserialize, Serialize};

use crate::eval::Figures;

/// How the epoch is chosen. Every report names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// A held-out part of the seeds chooses the epoch; the test links are read once, at the end.
    Validation,
    /// The last epoch counts, and nobody chooses it.
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

    /// What the best epoch is called in a report: by whom it was chosen, even where it does not count.
    pub fn best(self) -> &'static str {
        match self.watches() {
            Part::Validation => "best",
            Part::Test => "best on test",
        }
    }

    /// Whether an evaluation is better than the best one so far, and so replaces it.
    pub fn prefers(self, figures: &Figures, best: &Figures) -> bool {
        match self {
            // Of equally good epochs the last counts: a small validation part is soon full, and training goes on paying.
            Self::Validation | Self::Last => figures.hits_at_1 >= best.hits_at_1,
            Self::BestOnTest => figures.mrr > best.mrr,
        }
    }

    /// One line for a report.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Validation => "validation (held-out seeds chose the epoch; the test links were read once)",
            Self::Last => "last (the last epoch counts; the one called `best on test` was chosen by the test links)",
            Self::BestOnTest => {
                "best_on_test (the test links chose the epoch by the mean MRR of both directions, as published; compare with nothing else)"
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
            assert_eq!(protocol.watches() == Part::Test, protocol.best().contains("test"));
        }
    }

    #[test]
    fn the_published_protocol_prefers_the_first_epoch_of_the_best_mrr() {
        let [early, late] =
            [(0.5, 0.7), (0.6, 0.7)].map(|(hits_at_1, mrr)| Figures { hits_at_1, mrr, ..Figures::default() });
        assert!(!Protocol::BestOnTest.prefers(&late, &early));
        assert!(Protocol::Validation.prefers(&late, &early) && Protocol::Validation.prefers(&late, &late));
    }
}
