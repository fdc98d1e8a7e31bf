//! Nearest neighbours between two sets of vectors under CSLS, block by block: O(block · M) memory, on either device.

use tch::{TchError, Tensor};

use crate::eval::csls::Scores;
use crate::evidence::Between;

/// Candidates kept per left vector.
pub(super) const KEPT: i64 = 10;

/// Two positions and their score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scored {
    /// Position among the left vectors.
    pub left: usize,
    /// Position among the right vectors.
    pub right: usize,
    /// CSLS score.
    pub score: f32,
}

/// Who is nearest to whom.
#[derive(Debug)]
pub(super) struct Neighbours {
    /// Nearest right positions of each left one, best first.
    kept: i64,
    rights: Vec<i64>,
    scores: Vec<f32>,
    /// Nearest left position of each right one.
    lefts: Vec<i64>,
}

impl Neighbours {
    /// By CSLS and the evidence between the rows; at most `kept` candidates per left one.
    ///
    /// # Errors
    /// If libtorch refuses, for instance for want of memory.
    pub(super) fn of(all: &Scores, evidence: Option<&Between>, kept: i64) -> Result<Self, TchError> {
        let _no_grad = tch::no_grad_guard();
        let kept = kept.min(all.right_rows());
        let (mut rights, mut scores) = (Vec::new(), Vec::new());
        let mut best: Option<(Tensor, Tensor)> = None;
        for (start, height) in all.blocks() {
            let csls = all.block((start, height), evidence)?;
            let (score, position) = csls.f_topk(kept, 1, true, true)?;
            scores.extend(Vec::<f32>::try_from(score.flatten(0, 1))?);
            rights.extend(Vec::<i64>::try_from(position.flatten(0, 1))?);
            let (column_best, row) = csls.f_max_dim(0, false)?;
            best = Some(better(best, column_best, row + start)?);
        }
        let lefts = best.map_or_else(|| Ok(Vec::new()), |(_, rows)| Vec::<i64>::try_from(rows))?;
        Ok(Self { kept, rights, scores, lefts })
    }

    /// Each left position's nearest.
    pub(super) fn nearest(&self) -> impl Iterator<Item = Scored> {
        let kept = (self.kept as usize).max(1);
        let firsts = self.rights.iter().zip(&self.scores).step_by(kept);
        firsts.enumerate().map(|(left, (right, score))| Scored { left, right: *right as usize, score: *score })
    }

    /// Pairs that are each other's nearest.
    pub(super) fn mutual(&self) -> impl Iterator<Item = Scored> {
        self.nearest().filter(|pair| self.lefts[pair.right] == pair.left as i64)
    }

    /// All kept candidates, best first; ties by position, so that the order is the same everywhere.
    pub(super) fn candidates(&self) -> Vec<Scored> {
        let kept = (self.kept as usize).max(1);
        let all = self.rights.iter().zip(&self.scores).enumerate();
        let mut all: Vec<Scored> =
            all.map(|(at, (right, score))| Scored { left: at / kept, right: *right as usize, score: *score }).collect();
        all.sort_by(|a, b| b.score.total_cmp(&a.score).then((a.left, a.right).cmp(&(b.left, b.right))));
        all
    }
}

/// The better of two column maxima; the earlier row where they tie.
fn better(so_far: Option<(Tensor, Tensor)>, score: Tensor, row: Tensor) -> Result<(Tensor, Tensor), TchError> {
    let Some((best, rows)) = so_far else { return Ok((score, row)) };
    let wins = score.f_gt_tensor(&best)?;
    Ok((score.f_where_self(&wins, &best)?, row.f_where_self(&wins, &rows)?))
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;

    fn unit(rows: i64, seed: i64) -> Tensor {
        tch::manual_seed(seed);
        let rows = Tensor::randn([rows, 8], (Kind::Float, tch::Device::Cpu));
        &rows / rows.norm_scalaropt_dim(2, [1_i64].as_slice(), true)
    }

    fn near(left: &Tensor, right: &Tensor, k: usize) -> Neighbours {
        Neighbours::of(&Scores::new(left, right, Some(k)).unwrap(), None, KEPT).unwrap()
    }

    /// CSLS written down plainly.
    fn plainly(left: &Tensor, right: &Tensor, k: i64) -> Vec<Vec<f64>> {
        let cosines = left.matmul(&right.tr());
        let rows = cosines.topk(k, 1, true, true).0.mean_dim([1_i64].as_slice(), true, Kind::Float);
        let columns = cosines.topk(k, 0, true, true).0.mean_dim([0_i64].as_slice(), true, Kind::Float);
        Vec::<Vec<f64>>::try_from((cosines * 2.0 - rows - columns).to_kind(Kind::Double)).unwrap()
    }

    #[test]
    fn blocks_find_what_the_whole_matrix_shows() {
        let (left, right) = (unit(2500, 1), unit(70, 2));
        let near = near(&left, &right, 3);
        let whole = plainly(&left, &right, 3);
        let first = |scores: &mut dyn Iterator<Item = f64>| {
            scores.enumerate().fold((0, f64::MIN), |best, (at, score)| if score > best.1 { (at, score) } else { best })
        };
        for pair in near.nearest() {
            let (right, score) = first(&mut whole[pair.left].iter().copied());
            assert_eq!(pair.right, right);
            assert!((f64::from(pair.score) - score).abs() < 1e-5);
        }
        for (right, left) in near.lefts.iter().enumerate() {
            assert_eq!(*left as usize, first(&mut whole.iter().map(|row| row[right])).0);
        }
    }

    #[test]
    fn fewer_vectors_than_neighbours_are_no_trouble() {
        let near = near(&unit(1, 1), &unit(2, 2), 10);
        assert_eq!((near.nearest().count(), near.candidates().len(), near.mutual().count()), (1, 2, 1));
    }
}
