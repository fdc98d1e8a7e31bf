//! Hubness under CSLS (Conneau et al., "Word Translation Without Parallel Data", 2018): what pulls down the rows that are near
//! to everything. The score of (i, j) is 2·cos(i, j) − r(i) − c(j), r and c being the mean cosine to the k nearest of the
//! other side.

use tch::{Kind, TchError, Tensor};

use crate::evidence::Between;

/// Left rows compared at once: few enough that ten thousand right ones make a matrix below the 32 MB at which the
/// allocator returns memory to the system each time.
const BLOCK: i64 = 512;

/// Bytes of cosines kept from the first pass to the second; where they are more, the second computes them again.
const KEPT: i64 = 512 << 20;

/// What scores any left row against all right ones: cosines, corrected for hubs or not.
#[derive(Debug)]
pub(crate) struct Scores {
    /// `[n, d]`.
    left: Tensor,
    /// `[d, m]`.
    right: Tensor,
    /// `[n]` and `[m]`, hubness of the left and of the right rows; none without CSLS.
    hubness: Option<[Tensor; 2]>,
    /// `[n, m]` cosines, if they are few enough.
    kept: Option<Tensor>,
}

impl Scores {
    /// Of left rows `[n, d]` and right ones `[m, d]`, each of unit length; CSLS over `k` neighbours, or cosines alone.
    ///
    /// # Errors
    /// If libtorch refuses, for instance for want of memory.
    pub(crate) fn new(left: &Tensor, right: &Tensor, k: Option<usize>) -> Result<Self, TchError> {
        let _no_grad = tch::no_grad_guard();
        let mut scores = Self { left: left.detach(), right: right.detach().tr(), hubness: None, kept: None };
        let (n, m) = (left.size()[0], right.size()[0]);
        if let Some(k) = k.filter(|_| n > 0) {
            if n * m * 4 <= KEPT {
                scores.kept = Some(Tensor::f_empty([n, m], (left.kind(), left.device()))?);
            }
            scores.hubness = Some(hubness(&scores.left, &scores.right, k, scores.kept.as_ref())?);
        }
        Ok(scores)
    }

    /// The left rows `[n, d]`.
    pub(crate) fn left(&self) -> &Tensor {
        &self.left
    }

    /// First row and number of rows of each block.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = (i64, i64)> + use<> {
        let rows = self.left.size()[0];
        (0..rows).step_by(BLOCK as usize).map(move |start| (start, BLOCK.min(rows - start)))
    }

    /// Scores `[height, m]` of a block, with the evidence between its rows and the right ones; the caller's own.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub(crate) fn block(&self, (start, height): (i64, i64), evidence: Option<&Between>) -> Result<Tensor, TchError> {
        let cosines = match &self.kept {
            Some(kept) => kept.narrow(0, start, height),
            None => self.left.narrow(0, start, height).f_matmul(&self.right)?,
        };
        let scores = match &self.hubness {
            Some([rows, columns]) => {
                let mut scores = cosines * 2.0;
                scores -= rows.narrow(0, start, height).unsqueeze(1);
                scores -= columns;
                scores
            }
            None => cosines,
        };
        match evidence {
            Some(evidence) => evidence.add_to(&scores, start),
            None => Ok(scores),
        }
    }

    /// `[n]`, the score of each left row with the right one of the same place; n = m.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub(crate) fn of_links(&self, evidence: Option<&Between>) -> Result<Tensor, TchError> {
        let cosines = self.left.unsqueeze(1).f_bmm(&self.right.tr().unsqueeze(2))?.f_view([-1])?;
        let scores = match &self.hubness {
            Some([rows, columns]) => cosines * 2.0 - rows - columns,
            None => cosines,
        };
        match evidence {
            Some(evidence) => scores.f_add(&evidence.of_links(self.left.device())),
            None => Ok(scores),
        }
    }
}

/// r `[n]` of the left rows `[n, d]` and c `[m]` of the right ones `[d, m]`, n > 0, each of unit length; all cosines are
/// left in `kept` `[n, m]` if it is given.
///
/// # Errors
/// If libtorch refuses, for instance for want of memory.
fn hubness(left: &Tensor, right: &Tensor, k: usize, kept: Option<&Tensor>) -> Result<[Tensor; 2], TchError> {
    let (n, m, k) = (left.size()[0], right.size()[1], k.max(1) as i64);
    let mut rows = Vec::new();
    let mut best: Option<Tensor> = None;
    for start in (0..n).step_by(BLOCK as usize) {
        let height = BLOCK.min(n - start);
        let block = left.narrow(0, start, height);
        let cosines = match kept {
            Some(kept) => block.f_mm_out(&kept.narrow(0, start, height), right)?,
            None => block.f_mm(right)?,
        };
        let (top, _) = cosines.f_topk(k.min(m), 1, true, false)?;
        rows.push(top.f_mean_dim([1_i64].as_slice(), false, Kind::Float)?);
        let (top, _) = cosines.f_topk(k.min(height), 0, true, false)?;
        let both = match best {
            None => top,
            Some(best) => Tensor::f_cat(&[best, top], 0)?,
        };
        best = Some(both.f_topk(k.min(both.size()[0]), 0, true, false)?.0);
    }
    let columns = best.unwrap_or_else(|| Tensor::zeros([1, m], (Kind::Float, left.device())));
    Ok([Tensor::f_cat(&rows, 0)?, columns.f_mean_dim([0_i64].as_slice(), false, Kind::Float)?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{Figures, family};
    use crate::loss::similarity::normalise;

    #[test]
    fn golden_distances() {
        for name in family("csls_k") {
            let figures = Figures::read(&name);
            let k = name["csls_k".len()..].parse().unwrap();
            let [left, right] = ["left", "right"].map(|side| normalise(&figures.get(side)));
            let scores = Scores::new(&left, &right, Some(k)).unwrap();
            let blocks: Vec<_> = scores.blocks().map(|block| scores.block(block, None).unwrap()).collect();
            // Published: one minus the same of 1 − (2 − 2·cos), which is twice the score.
            figures.assert_value("distance", &(1.0 - Tensor::cat(&blocks, 0) * 2.0));
        }
    }
}
