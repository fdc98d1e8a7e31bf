//! Hubness under CSLS (Conneau et al., "Word Translation Without Parallel Data", 2018): what pulls down the rows that are near
//! to everything. The score of (i, j) is 2·cos(i, j) − r(i) − c(j), r and c being the mean cosine to the k nearest of the
//! other side.

use tch::{Device, Kind, TchError, Tensor};

use crate::evidence::Between;
use crate::product::Factor;
use crate::transfer;

/// Left rows compared at once: with ten thousand right ones their scores and what is counted in them take twenty megabytes.
const BLOCK: i64 = 512;

/// The same of a GPU, which has to be asked for every step.
const GPU_BLOCK: i64 = 4096;

/// Bytes of cosines kept from the first pass to the second; where they are more, the second computes them again.
const KEPT: i64 = 512 << 20;

/// Bytes of a block's scores, on a CPU and on a GPU: with so many right rows that they would be more, a block has fewer left
/// ones.
const BYTES: i64 = 256 << 20;
const GPU_BYTES: i64 = 1 << 30;

/// Left rows that are compared at once with so many right ones.
fn height(right: i64, device: Device) -> i64 {
    let (bytes, most) = if device.is_cuda() { (GPU_BYTES, GPU_BLOCK) } else { (BYTES, BLOCK) };
    (bytes / (4 * right.max(1))).clamp(1, most)
}

/// What scores any left row against all right ones: cosines, corrected for hubs or not.
#[derive(Debug)]
pub(crate) struct Scores {
    /// `[n, d]`.
    left: Tensor,
    /// `[m, d]`.
    right: Tensor,
    /// `[n, m]` cosines, if they are few enough.
    kept: Option<Tensor>,
    /// `[min(n, m)]`, the cosine of each left row with the right one of the same place: not computed by itself, so that a
    /// rival with the very same vector comes to the same number (on a CPU; nobody has looked at a GPU's products).
    own: Tensor,
    /// `[n]` and `[m]`, hubness of the left and of the right rows; none without CSLS.
    hubness: Option<[Tensor; 2]>,
}

impl Scores {
    /// Of left rows `[n, d]` and right ones `[m, d]`, each of unit length; CSLS over `k` neighbours, or cosines alone.
    ///
    /// # Errors
    /// If libtorch refuses, for instance for want of memory.
    pub(crate) fn new(left: &Tensor, right: &Tensor, k: Option<usize>) -> Result<Self, TchError> {
        let _no_grad = tch::no_grad_guard();
        let (n, m, options) = (left.size()[0], right.size()[0], (left.kind(), left.device()));
        let own = Tensor::empty([n.min(m)], options);
        let kept = if n * m * 4 <= KEPT { Some(Tensor::f_empty([n, m], options)?) } else { None };
        let mut scores = Self { left: left.detach(), right: right.detach(), kept, own, hubness: None };
        let mut hubs = k.map(|k| Hubs { k: k as i64, rows: Tensor::empty([n], options), columns: None });
        for (start, height) in scores.blocks() {
            let cosines = scores.place((start, height))?;
            scores.cosines_into((start, height), &cosines)?;
            let own = cosines.diagonal(start, 0, 1);
            scores.own.narrow(0, start.min(m), own.size()[0]).copy_(&own);
            if let Some(hubs) = &mut hubs {
                hubs.see(start, &cosines)?;
            }
        }
        scores.hubness = hubs.filter(|_| n > 0).map(Hubs::means).transpose()?;
        Ok(scores)
    }

    /// Where the cosines `[height, m]` of a block are kept, or room for them.
    fn place(&self, (start, height): (i64, i64)) -> Result<Tensor, TchError> {
        match &self.kept {
            Some(kept) => kept.f_narrow(0, start, height),
            None => Tensor::f_empty([height, self.right_rows()], (self.left.kind(), self.left.device())),
        }
    }

    /// Leaves the cosines of a block with all right rows in their `place`.
    fn cosines_into(&self, (start, height): (i64, i64), place: &Tensor) -> Result<(), TchError> {
        Factor::new(&self.left.narrow(0, start, height)).f_with_each_into(&self.right, place)
    }

    /// Of some left and right rows alone, corrected as among all.
    ///
    /// # Errors
    /// If libtorch refuses, for instance for want of memory.
    pub(crate) fn among(&self, left: &[i64], right: &[i64]) -> Result<Self, TchError> {
        let device = self.left.device();
        let [left, right] = [left, right].map(|places| transfer::slice(places, device));
        let hubness = match &self.hubness {
            Some([rows, columns]) => Some([rows.f_index_select(0, &left)?, columns.f_index_select(0, &right)?]),
            None => None,
        };
        let own = Tensor::empty([0], (self.left.kind(), device));
        let (left, right) = (self.left.f_index_select(0, &left)?, self.right.f_index_select(0, &right)?);
        Ok(Self { left, right, kept: None, own, hubness })
    }

    /// How many right rows there are.
    pub(crate) fn right_rows(&self) -> i64 {
        self.right.size()[0]
    }

    /// The left rows `[n, d]`.
    pub(crate) fn left(&self) -> &Tensor {
        &self.left
    }

    /// First row and number of rows of each block.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = (i64, i64)> + use<> {
        let rows = self.left.size()[0];
        let block = height(self.right_rows(), self.left.device());
        (0..rows).step_by(block as usize).map(move |start| (start, block.min(rows - start)))
    }

    /// Scores `[height, m]` of a block, with the evidence between its rows and the right ones; the caller's own.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub(crate) fn block(&self, (start, height): (i64, i64), evidence: Option<&Between>) -> Result<Tensor, TchError> {
        let cosines = self.place((start, height))?;
        if self.kept.is_none() {
            self.cosines_into((start, height), &cosines)?;
        }
        let scores = match &self.hubness {
            Some([rows, columns]) => {
                let mut scores = cosines * 2.0;
                scores -= rows.narrow(0, start, height).unsqueeze(1);
                scores -= columns;
                scores
            }
            None if self.kept.is_some() => cosines.copy(),
            None => cosines,
        };
        if let Some(evidence) = evidence {
            evidence.add_to(&scores, start)?;
        }
        Ok(scores)
    }

    /// `[n]`, the score of each left row with the right one of the same place; n = m.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub(crate) fn of_links(&self, evidence: Option<&Between>) -> Result<Tensor, TchError> {
        let scores = match &self.hubness {
            Some([rows, columns]) => &self.own * 2.0 - rows - columns,
            None => self.own.copy(),
        };
        match evidence {
            Some(evidence) => scores.f_add(&evidence.of_links(self.left.device())),
            None => Ok(scores),
        }
    }
}

/// The cosines of each left and of each right row with its nearest, block by block.
struct Hubs {
    k: i64,
    /// `[n]`, r of the rows seen so far. What stays lies in one place: small pieces among a block's large ones would keep glibc from
    /// using the same memory for the next block.
    rows: Tensor,
    /// `[k, m]`, the largest cosines of each right row so far.
    columns: Option<Tensor>,
}

impl Hubs {
    /// Takes up the cosines `[height, m]` of a block that begins at row `start`.
    fn see(&mut self, start: i64, cosines: &Tensor) -> Result<(), TchError> {
        let (height, m) = cosines.size2()?;
        let (top, _) = cosines.f_topk(self.k.min(m), 1, true, false)?;
        self.rows.narrow(0, start, height).copy_(&top.f_mean_dim([1_i64].as_slice(), false, Kind::Float)?);
        let (top, _) = cosines.f_topk(self.k.min(height), 0, true, false)?;
        let both = match self.columns.take() {
            None => top,
            Some(best) => Tensor::f_cat(&[best, top], 0)?,
        };
        self.columns = Some(both.f_topk(self.k.min(both.size()[0]), 0, true, false)?.0);
        Ok(())
    }

    /// r `[n]` and c `[m]`, at least one block having been seen.
    fn means(self) -> Result<[Tensor; 2], TchError> {
        let columns = self.columns.unwrap_or_default();
        Ok([self.rows, columns.f_mean_dim([0_i64].as_slice(), false, Kind::Float)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{Figures, family};
    use crate::loss::similarity::normalise;

    #[test]
    fn a_block_is_lower_the_more_right_rows_there_are() {
        for (device, most, bytes) in [(Device::Cpu, BLOCK, BYTES), (Device::Cuda(0), GPU_BLOCK, GPU_BYTES)] {
            assert_eq!([0, 1, 10_277].map(|right| height(right, device)), [most; 3], "the benchmarks' sizes");
            let million = height(1_000_000, device);
            assert!(million > 1 && million * 4_000_000 <= bytes, "{million}");
            assert_eq!(height(1 << 40, device), 1);
        }
    }

    #[test]
    fn some_rows_alone_score_as_among_all() {
        let [left, right] = [7, 9].map(|rows| normalise(&Tensor::randn([rows, 3], (Kind::Float, Device::Cpu))));
        for k in [None, Some(2)] {
            let all = Scores::new(&left, &right, k).unwrap();
            let some = all.among(&[5, 1], &[8, 0, 3]).unwrap();
            assert_eq!(some.blocks().collect::<Vec<_>>(), [(0, 2)]);
            let [rows, columns] = [&[5_i64, 1][..], &[8, 0, 3]].map(Tensor::from_slice);
            let expected = all.block((0, 7), None).unwrap().index_select(0, &rows).index_select(1, &columns);
            let apart = (some.block((0, 2), None).unwrap() - expected).abs().max().double_value(&[]);
            assert!(apart < 1e-6, "{apart}");
        }
    }

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
