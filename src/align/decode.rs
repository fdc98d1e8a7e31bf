//! Which pairs are believed.

use std::collections::HashSet;
use std::ops::Range;

use tch::{TchError, Tensor};

use super::neighbours::{Neighbours, Scored};
use super::{Decoding, Pair};
use crate::evidence::Evidence;
use crate::inputs::links::Link;
use crate::transfer;

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
    let evidence = evidence.map(|evidence| evidence.between(&among.left, &among.right));
    let [left, right] = [rows(vectors, &among.left)?, rows(vectors, &among.right)?];
    let near = Neighbours::between(&left, &right, evidence.as_ref(), k)?;
    let chosen = match decoding {
        Decoding::Mutual => near.mutual().collect(),
        Decoding::Greedy => near.nearest().collect(),
        Decoding::OneToOne => one_to_one(&near.candidates(), among),
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

/// Takes candidates in order, each entity at most once.
fn one_to_one(candidates: &[Scored], among: &Candidates) -> Vec<Scored> {
    let (mut left, mut right) = (vec![false; among.left.len()], vec![false; among.right.len()]);
    let mut chosen = Vec::new();
    for pair in candidates {
        if !left[pair.left] && !right[pair.right] {
            (left[pair.left], right[pair.right]) = (true, true);
            chosen.push(*pair);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
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
        assert_eq!(ids(Decoding::Greedy).len(), 2);
        let mutual = ids(Decoding::Mutual);
        assert!(mutual.iter().all(|pair| ids(Decoding::Greedy).contains(pair)) && !mutual.is_empty());
        let mut single: Vec<u32> = ids(Decoding::OneToOne).into_iter().map(|pair| pair.1).collect();
        single.sort_unstable();
        assert_eq!(single, [2, 3]);
    }

    #[test]
    fn nobody_to_pair_gives_no_pairs() {
        let vectors = Tensor::from_slice2(&[[1.0_f32, 0.0]]);
        assert!(decode(&vectors, None, &Candidates::default(), Decoding::Mutual, 1).unwrap().is_empty());
    }
}
