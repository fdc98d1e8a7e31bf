//! Ranks by counting, block by block: O(N · block) memory, both directions from the same products, on either device.
//!
//! The score of (i, j) is 2·cos − r(i) − c(j) under CSLS, r and c being the mean cosine to the k nearest of the other side;
//! without it the cosine alone. Evidence is added to either. Link i's counterpart of left row i is right row i.

use std::collections::HashSet;

use tch::{Kind, TchError, Tensor};

use super::csls::Scores;
use super::{Directions, EvalConfig, Figures, Ties};
use crate::evidence::Between;
use crate::transfer;

/// The rank of each link's counterpart, from 1, in both directions; a half where a realistic rank lies between two.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ranks {
    /// Of the right entity, for the left one.
    pub left_to_right: Vec<f64>,
    /// Of the left entity, for the right one.
    pub right_to_left: Vec<f64>,
}

impl Ranks {
    /// Their figures.
    pub fn figures(&self) -> Directions {
        Directions { left_to_right: Figures::of(&self.left_to_right), right_to_left: Figures::of(&self.right_to_left) }
    }
}

/// Links to be ranked, with and without evidence: what both need is computed once.
#[derive(Debug)]
pub struct Ranking {
    scores: Scores,
    ties: Ties,
    /// Places of left and of right entities that have stood in an earlier link: they are no candidates of their own.
    again: [Vec<i64>; 2],
}

/// Rows of a block in which a CPU counts at a time.
const ROWS: i64 = 64;

impl Ranking {
    /// Of links between n entities of either side, no entity being in two links: `left` and `right` are `[n, d]`, of unit
    /// length; row i of one belongs to row i of the other.
    ///
    /// # Errors
    /// If libtorch refuses, for instance for want of memory.
    pub fn new(left: &Tensor, right: &Tensor, config: EvalConfig) -> Result<Self, TchError> {
        let scores = Scores::new(left, right, config.csls.then_some(config.csls_k))?;
        Ok(Self { scores, ties: config.ties, again: [Vec::new(), Vec::new()] })
    }

    /// The same where an entity may be in several links: its ids on either side, in the links' order.
    #[must_use]
    pub fn among(self, sides: [&[u32]; 2]) -> Self {
        let again = sides.map(|side| {
            let mut seen = HashSet::new();
            let places = side.iter().enumerate().filter(|(_, id)| !seen.insert(**id));
            places.map(|(place, _)| place as i64).collect()
        });
        Self { again, ..self }
    }

    /// The rank of each link's counterpart; `evidence` is that between the links' entities, in their order.
    ///
    /// # Errors
    /// If libtorch refuses, for instance for want of memory.
    pub fn ranks(&self, evidence: Option<&Between>) -> Result<Ranks, TchError> {
        let (links, device) = (self.scores.left().size()[0], self.scores.left().device());
        if links == 0 {
            return Ok(Ranks::default());
        }
        let _no_grad = tch::no_grad_guard();
        let gold = self.scores.of_links(evidence)?;
        let [rows, mut columns] = [(); 2].map(|()| Tensor::zeros([links], (Kind::Double, device)));
        for (mut start, height) in self.scores.blocks() {
            let together = if device.is_cuda() { height } else { ROWS };
            for scores in self.scores.block((start, height), evidence)?.split(together, 0) {
                let end = start + scores.size()[0];
                let again = self.again[0].iter().filter(|place| (start..end).contains(*place));
                let again: Vec<i64> = again.map(|place| place - start).collect();
                let own = gold.slice(0, start, end, 1).unsqueeze(1);
                rows.slice(0, start, end, 1).copy_(&self.counted(&scores, &own, 1, &self.again[1])?);
                columns += self.counted(&scores, &gold, 0, &again)?;
                start = end;
            }
        }
        let ranks = |counted: &Tensor| Vec::try_from(self.ranked(counted));
        Ok(Ranks { left_to_right: ranks(&rows)?, right_to_left: ranks(&columns)? })
    }

    /// Along `dim`, how many `scores` beat `gold`, equal ones among them as the ties demand, without those at the places
    /// `again`. What is not a number is beaten by everything.
    fn counted(&self, scores: &Tensor, gold: &Tensor, dim: i64, again: &[i64]) -> Result<Tensor, TchError> {
        let marks = scores.empty_like();
        let worse = marked(&scores.f_lt_tensor_out(&marks, gold)?, dim, again)?;
        let least = -worse + (scores.size()[dim as usize] - again.len() as i64) as f64;
        match self.ties {
            Ties::Pessimistic => Ok(least),
            Ties::Realistic => Ok((least + marked(&scores.f_gt_tensor_out(&marks, gold)?, dim, again)?) / 2.0),
        }
    }

    /// Ranks from 1 of what was counted: a counterpart equals itself, so that the middle of its equals has counted it by half.
    /// Never less than 1, should a device come to another number the second time, or at an entity's other place.
    fn ranked(&self, counted: &Tensor) -> Tensor {
        match self.ties {
            Ties::Pessimistic => counted.clamp_min(1.0),
            Ties::Realistic => (counted + 0.5).clamp_min(1.0),
        }
    }
}

/// How many `marks`, 1 or 0, are set along `dim`, those at the places `again` left out, in double precision. They are float32 numbers:
/// a CPU compares and adds up those ten times as fast as truth values (`docs/benchmarks.md`).
fn marked(marks: &Tensor, dim: i64, again: &[i64]) -> Result<Tensor, TchError> {
    let count = |marks: &Tensor| {
        // Up to there float32 counts exactly.
        let kind = if marks.size()[dim as usize] <= 1 << 24 { Kind::Float } else { Kind::Double };
        marks.f_sum_dim_intlist([dim].as_slice(), false, kind)?.f_to_kind(Kind::Double)
    };
    let mut all = count(marks)?;
    if !again.is_empty() {
        all -= count(&marks.f_index_select(dim, &transfer::slice(again, marks.device()))?)?;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{Figures as Recorded, family, folder};

    fn unit(rows: i64, seed: i64) -> Tensor {
        tch::manual_seed(seed);
        let rows = Tensor::randn([rows, 4], (Kind::Float, tch::Device::Cpu));
        &rows / rows.norm_scalaropt_dim(2, [1_i64].as_slice(), true)
    }

    fn ranks(left: &Tensor, right: &Tensor, config: EvalConfig) -> Ranks {
        Ranking::new(left, right, config).unwrap().ranks(None).unwrap()
    }

    #[test]
    fn golden_metrics_under_csls() {
        let meta = std::fs::read_to_string(folder().join("meta.json")).unwrap();
        let meta: serde_json::Value = serde_json::from_str(&meta).unwrap();
        for name in family("csls_k") {
            let k = name["csls_k".len()..].parse().unwrap();
            let recorded = Recorded::read(&name);
            let normalised = |name: &str| crate::loss::similarity::normalise(&recorded.get(name));
            let config = EvalConfig { csls: true, csls_k: k, ties: Ties::Pessimistic };
            let ranking = Ranking::new(&normalised("left"), &normalised("right"), config).unwrap();
            let found = ranking.ranks(None).unwrap().figures();
            let of = &meta["evaluation"][format!("csls_k={k}")];
            for (direction, found) in [("left_to_right", found.left_to_right), ("right_to_left", found.right_to_left)] {
                let all = [
                    ("hits@1", found.hits_at_1),
                    ("hits@5", found.hits_at_5),
                    ("hits@10", found.hits_at_10),
                    ("mr", found.mr),
                    ("mrr", found.mrr),
                ];
                for (name, figure) in all {
                    let expected = of[direction][name].as_f64().unwrap();
                    assert!((figure - expected).abs() < 1e-6, "k = {k}, {direction}, {name}: {figure}, not {expected}");
                }
            }
        }
    }

    #[test]
    fn blocks_count_what_the_whole_matrix_shows() {
        let (left, right) = (unit(2100, 1), unit(2100, 2));
        let found = ranks(&left, &right, EvalConfig { csls: false, csls_k: 3, ties: Ties::Pessimistic });
        let whole = left.matmul(&right.tr());
        let own = whole.diagonal(0, 0, 1);
        let rows = whole.ge_tensor(&own.unsqueeze(1)).sum_dim_intlist([1_i64].as_slice(), false, Kind::Int64);
        let columns = whole.ge_tensor(&own).sum_dim_intlist([0_i64].as_slice(), false, Kind::Int64);
        // A product of another shape may round otherwise and turn a near tie over: few, and by one.
        let near = |a: &[f64], b: Tensor| {
            let apart = a.iter().zip(Vec::<i64>::try_from(b).unwrap()).map(|(a, b)| (a - b as f64).abs());
            let apart: Vec<f64> = apart.filter(|apart| *apart > 0.0).collect();
            apart.len() <= a.len() / 100 && apart.iter().all(|apart| *apart <= 1.0)
        };
        assert!(near(&found.left_to_right, rows) && near(&found.right_to_left, columns));
    }

    #[test]
    fn rivals_with_the_very_vector_of_a_counterpart_tie_with_it_wherever_they_stand() {
        let half = unit(700, 3);
        let (left, right) = (unit(1400, 4), Tensor::cat(&[&half, &half], 0));
        for (csls, ties) in [(true, Ties::Pessimistic), (false, Ties::Realistic)] {
            let found = ranks(&left, &right, EvalConfig { csls, csls_k: 3, ties }).left_to_right;
            // Each vector stands twice, so that pessimistic ranks are even and realistic ones odd and a half.
            let step = |rank: &f64| if ties == Ties::Pessimistic { rank % 2.0 } else { (rank - 1.5) % 2.0 };
            let off: Vec<&f64> = found.iter().filter(|rank| step(rank).abs() >= 1e-9).collect();
            assert!(off.is_empty(), "{off:?}");
        }
    }

    #[test]
    fn an_entity_of_two_links_is_one_candidate() {
        let (left, right) = (unit(6, 5), unit(6, 6));
        let ids = |side: &[i64]| side.iter().map(|id| *id as u32).collect::<Vec<_>>();
        let (lefts, rights) = ([0_i64, 1, 2, 3, 0, 4, 5], [0_i64, 1, 2, 1, 3, 4, 5]);
        let row = |all: &Tensor, places: &[i64]| all.index_select(0, &Tensor::from_slice(places));
        let config = EvalConfig { csls: false, csls_k: 3, ties: Ties::Pessimistic };
        let ranking = Ranking::new(&row(&left, &lefts), &row(&right, &rights), config).unwrap();
        let found = ranking.among([&ids(&lefts), &ids(&rights)]).ranks(None).unwrap();
        let cosines = left.mm(&right.tr());
        let expected = lefts.into_iter().zip(rights).map(|(l, r)| {
            let own = cosines.double_value(&[l, r]);
            let rank = |others: &Tensor| others.ge(own - 1e-7).sum(Kind::Int64).int64_value(&[]) as f64;
            (rank(&cosines.get(l)), rank(&cosines.select(1, r)))
        });
        let (left_to_right, right_to_left) = expected.unzip();
        assert_eq!(found, Ranks { left_to_right, right_to_left });
    }

    #[test]
    fn what_is_not_a_number_ranks_last() {
        let broken = unit(5, 7).index_fill(0, &Tensor::from_slice(&[2_i64]), f64::NAN);
        let found = ranks(&broken, &unit(5, 7), EvalConfig { csls: false, csls_k: 1, ties: Ties::Pessimistic });
        assert!(found.left_to_right[2] > 4.5);
        assert!(found.left_to_right.iter().all(|rank| *rank >= 1.0));
    }

    #[test]
    fn a_tie_counts_against_us_unless_the_realistic_rank_is_asked_for() {
        let same = Tensor::from_slice2(&[[1.0_f32, 0.0], [1.0, 0.0], [0.0, 1.0]]);
        for (ties, tied) in [(Ties::Pessimistic, 2.0), (Ties::Realistic, 1.5)] {
            let found = ranks(&same, &same, EvalConfig { csls: true, csls_k: 1, ties });
            assert_eq!(found.left_to_right, [tied, tied, 1.0]);
            assert_eq!(found.right_to_left, [tied, tied, 1.0]);
        }
    }
}
