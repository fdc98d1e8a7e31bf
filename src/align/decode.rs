//! Which pairs are believed.

use std::collections::HashSet;
use std::ops::Range;

use tch::{TchError, Tensor};

use super::neighbours::{KEPT, Neighbours, Scored};
use super::{Decoding, Pair};
use crate::eval::csls::Scores;
use crate::evidence::Evidence;
use crate::inputs::links::Link;
use crate::transfer;

/// Candidates of all entities together that a further round of decoding one to one looks at.
const ALL_CANDIDATES: i64 = 1 << 22;

/// The entities to be paired, as ascending store ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidates {
    /// Left ids.
    pub left: Vec<u32>,
    /// Right ids.
    pub right: Vec<u32>,
}

impl Candidates {
    /// All entities but those of `known` links; ids below `left` are left.
    pub fn without<'a>(known: impl IntoIterator<Item = &'a Link>, left: usize, entities: usize) -> Self {
        let linked: HashSet<u32> = known.into_iter().flatten().copied().collect();
        let free = |range: Range<usize>| range.map(|id| id as u32).filter(|id| !linked.contains(id)).collect();
        Self { left: free(0..left), right: free(left..entities) }
    }
}

/// Pairs the candidates; `vectors` is `[N, d]`, one joint vector of unit length per entity. Best pairs first.
///
/// # Errors
/// If libtorch refuses.
pub fn decode(
    vectors: &Tensor,
    evidence: Option<&Evidence>,
    among: &Candidates,
    decoding: Decoding,
    k: usize,
) -> Result<Vec<Pair>, TchError> {
    if among.left.is_empty() || among.right.is_empty() {
        return Ok(Vec::new());
    }
    let [left, right] = [rows(vectors, &among.left)?, rows(vectors, &among.right)?];
    let all = Scores::new(&left, &right, Some(k))?;
    let chosen = match decoding {
        Decoding::Mutual => neighbours(&all, evidence, among, KEPT)?.mutual().collect(),
        Decoding::Greedy => neighbours(&all, evidence, among, KEPT)?.nearest().collect(),
        Decoding::OneToOne => one_to_one(&all, evidence, among)?,
    };
    let pair =
        |found: Scored| Pair { left: among.left[found.left], right: among.right[found.right], score: found.score };
    let mut pairs: Vec<Pair> = chosen.into_iter().map(pair).collect();
    pairs.sort_by(|a, b| b.score.total_cmp(&a.score).then((a.left, a.right).cmp(&(b.left, b.right))));
    Ok(pairs)
}

fn rows(vectors: &Tensor, ids: &[u32]) -> Result<Tensor, TchError> {
    let ids: Vec<i64> = ids.iter().map(|id| i64::from(*id)).collect();
    vectors.f_index_select(0, &transfer::slice(&ids, vectors.device()))
}

fn neighbours(
    scores: &Scores,
    evidence: Option<&Evidence>,
    among: &Candidates,
    kept: i64,
) -> Result<Neighbours, TchError> {
    let between = evidence.map(|evidence| evidence.between(&among.left, &among.right));
    Neighbours::of(scores, between.as_ref(), kept)
}

/// Takes the best candidates first, each entity at most once. Few candidates of each left entity are looked at; one that
/// loses them all to others goes on among what is left, by the same scores, until a side is used up.
fn one_to_one(all: &Scores, evidence: Option<&Evidence>, among: &Candidates) -> Result<Vec<Scored>, TchError> {
    let mut chosen = take(neighbours(all, evidence, among, KEPT)?.candidates(), among);
    loop {
        let free = Free::beside(&chosen, among);
        if free.left.is_empty() || free.right.is_empty() {
            return Ok(chosen);
        }
        let scores = all.among(&free.left, &free.right)?;
        let rest = Candidates {
            left: free.left.iter().map(|place| among.left[*place as usize]).collect(),
            right: free.right.iter().map(|place| among.right[*place as usize]).collect(),
        };
        // The fewer are left, the more candidates each may have: hubs would otherwise fill a round with a handful of pairs.
        let kept = (ALL_CANDIDATES / free.left.len() as i64).max(KEPT);
        let found = take(neighbours(&scores, evidence, &rest, kept)?.candidates(), &rest);
        let place = |at: &[i64], position: usize| at[position] as usize;
        chosen.extend(found.into_iter().map(|found| Scored {
            left: place(&free.left, found.left),
            right: place(&free.right, found.right),
            score: found.score,
        }));
    }
}

/// Positions that are in no pair yet.
struct Free {
    left: Vec<i64>,
    right: Vec<i64>,
}

impl Free {
    fn beside(chosen: &[Scored], among: &Candidates) -> Self {
        let lefts: HashSet<usize> = chosen.iter().map(|pair| pair.left).collect();
        let rights: HashSet<usize> = chosen.iter().map(|pair| pair.right).collect();
        let free = |count: usize, taken: &HashSet<usize>| {
            (0..count).filter(|position| !taken.contains(position)).map(|position| position as i64).collect()
        };
        Self { left: free(among.left.len(), &lefts), right: free(among.right.len(), &rights) }
    }
}

/// Takes candidates in order, each position at most once.
fn take(candidates: Vec<Scored>, among: &Candidates) -> Vec<Scored> {
    let (mut left, mut right) = (vec![false; among.left.len()], vec![false; among.right.len()]);
    let mut chosen = Vec::new();
    for pair in candidates {
        if !left[pair.left] && !right[pair.right] {
            (left[pair.left], right[pair.right]) = (true, true);
            chosen.push(pair);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;

    #[test]
    fn each_decoding_believes_its_own_pairs() {
        // Both left entities prefer the right entity 2; only the nearer is preferred back.
        let vectors = Tensor::from_slice2(&[[1.0_f32, 0.0], [0.8, 0.6], [0.995, 0.0999], [0.0, -1.0]]);
        let among = Candidates { left: vec![0, 1], right: vec![2, 3] };
        let ids = |decoding| {
            let pairs = decode(&vectors, None, &among, decoding, 1).unwrap();
            pairs.iter().map(|pair| (pair.left, pair.right)).collect::<Vec<_>>()
        };
        assert_eq!(ids(Decoding::Greedy), [(0, 2), (1, 2)]);
        assert_eq!(ids(Decoding::Mutual), [(0, 2)]);
        assert_eq!(ids(Decoding::OneToOne), [(0, 2), (1, 3)]);
    }

    /// Ten right entities are nearer to every left one than the other five are.
    #[test]
    fn who_loses_all_candidates_goes_on_among_what_is_left() {
        let turned = |from: f64, by: f64| {
            let angles = Tensor::arange(15, (Kind::Double, tch::Device::Cpu)) * by + from;
            Tensor::stack(&[angles.cos(), angles.sin()], 1).to_kind(Kind::Float)
        };
        let far = turned(2.0, 0.02).narrow(0, 0, 5);
        let vectors = Tensor::cat(&[turned(0.0, 0.02), turned(0.005, 0.02).narrow(0, 0, 10), far], 0);
        let among = Candidates { left: (0..15).collect(), right: (15..30).collect() };
        let pairs = decode(&vectors, None, &among, Decoding::OneToOne, 3).unwrap();
        let mut rights: Vec<u32> = pairs.iter().map(|pair| pair.right).collect();
        rights.sort_unstable();
        assert_eq!(rights, among.right);
        // By the scores among all: those that are compared with few others are no better for it.
        let greedy = decode(&vectors, None, &among, Decoding::Greedy, 3).unwrap();
        let most = greedy.iter().map(|pair| (pair.left, pair.score)).collect::<std::collections::HashMap<_, _>>();
        assert!(pairs.iter().all(|pair| pair.score <= most[&pair.left]), "{pairs:?}");
    }

    #[test]
    fn nobody_to_pair_gives_no_pairs() {
        let vectors = Tensor::from_slice2(&[[1.0_f32, 0.0]]);
        assert!(decode(&vectors, None, &Candidates::default(), Decoding::Mutual, 1).unwrap().is_empty());
    }
}
