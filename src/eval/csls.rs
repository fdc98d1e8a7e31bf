//! Hubness under CSLS (Conneau et al., "Word Translation Without Parallel Data", 2018): what pulls down the rows that are near
//! to everything. The score of (i, j) is 2·cos(i, j) − r(i) − c(j), r and c being the mean cosine to the k nearest of the
//! other side.

use tch::{Kind, TchError, Tensor};

/// Left rows compared at once: few enough that ten thousand right ones make a matrix below the 32 MB at which the
/// allocator returns memory to the system each time.
pub(super) const BLOCK: i64 = 512;

/// Bytes of cosines kept from the first pass to the second; where they are more, the second computes them again.
const KEPT: i64 = 512 << 20;

/// Room for all cosines of left rows `[n, d]` with right ones `[d, m]`, if they are few enough to be kept.
///
/// # Errors
/// If libtorch refuses, for instance for want of memory.
pub(crate) fn room(left: &Tensor, right: &Tensor) -> Result<Option<Tensor>, TchError> {
    let (n, m) = (left.size()[0], right.size()[1]);
    let few = n * m * 4 <= KEPT;
    few.then(|| Tensor::f_empty([n, m], (left.kind(), left.device()))).transpose()
}

/// r `[n]` of the left rows `[n, d]` and c `[m]` of the right ones `[d, m]`, n > 0, each of unit length; all cosines are
/// left in `kept` `[n, m]` if it is given.
///
/// # Errors
/// If libtorch refuses, for instance for want of memory.
pub(crate) fn hubness(left: &Tensor, right: &Tensor, k: usize, kept: Option<&Tensor>) -> Result<[Tensor; 2], TchError> {
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
