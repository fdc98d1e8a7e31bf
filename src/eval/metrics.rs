//! Figures of a ranking: Hits@n, mean rank, mean reciprocal rank.

use serde::{Deserialize, Serialize};

/// Ranking figures of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Part of the links whose counterpart is ranked first.
    pub hits_at_1: f64,
    /// … among the first five.
    pub hits_at_5: f64,
    /// … among the first ten.
    pub hits_at_10: f64,
    /// Mean rank.
    pub mr: f64,
    /// Mean reciprocal rank.
    pub mrr: f64,
}

impl Figures {
    /// The figures of some ranks, which begin at 1.
    pub fn of(ranks: &[f64]) -> Self {
        let count = ranks.len().max(1) as f64;
        let within = |most: f64| ranks.iter().filter(|rank| **rank <= most).count() as f64 / count;
        Self {
            hits_at_1: within(1.0),
            hits_at_5: within(5.0),
            hits_at_10: within(10.0),
            mr: ranks.iter().sum::<f64>() / count,
            mrr: ranks.iter().map(|rank| 1.0 / rank).sum::<f64>() / count,
        }
    }
}

/// Ranking figures of both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Directions {
    /// From the left graph to the right one.
    pub left_to_right: Figures,
    /// From the right graph to the left one.
    pub right_to_left: Figures,
}

impl Directions {
    /// The mean of both directions, which is what the authors' program reports.
    pub fn mean(&self) -> Figures {
        let of = |figure: fn(&Figures) -> f64| f64::midpoint(figure(&self.left_to_right), figure(&self.right_to_left));
        Figures {
            hits_at_1: of(|f| f.hits_at_1),
            hits_at_5: of(|f| f.hits_at_5),
            hits_at_10: of(|f| f.hits_at_10),
            mr: of(|f| f.mr),
            mrr: of(|f| f.mrr),
        }
    }

    /// Hits@1, the mean of both directions.
    pub fn hits_at_1(&self) -> f64 {
        self.mean().hits_at_1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_follow_from_ranks() {
        let figures = Figures::of(&[1.0, 2.0, 5.0, 10.0]);
        let expected = Figures { hits_at_1: 0.25, hits_at_5: 0.75, hits_at_10: 1.0, mr: 4.5, mrr: 0.45 };
        assert_eq!(figures, expected);
        assert_eq!(Figures::of(&[]), Figures::default());
        let both = Directions { left_to_right: figures, right_to_left: Figures::of(&[1.0]) };
        let mean = Figures { hits_at_1: 0.625, hits_at_5: 0.875, hits_at_10: 1.0, mr: 2.75, mrr: 0.725 };
        assert_eq!(both.mean(), mean);
    }
}
