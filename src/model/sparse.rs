//! Products of sparse matrices in compressed rows with dense ones.

use std::cell::OnceCell;

use tch::{Kind, Tensor};

/// A sparse matrix `[n, d]` times `dense` `[d, k]`: row `i` of the result is the sum of
/// `values[e] · dense[columns[e]]` over `e` in `offsets[i]..offsets[i + 1]`. On a CPU libtorch's embedding bag takes a half
/// to a third of the time of its sparse-matrix product; on a GPU, where a long row is one bag's and so one processor's, the
/// sparse-matrix product takes a third to a twentieth of the embedding bag's (`docs/benchmarks.md`).
pub(super) fn product(offsets: &Tensor, columns: &Tensor, values: &Tensor, dense: &Tensor) -> Tensor {
    const SUM: i64 = 0;
    if dense.device().is_cuda() {
        return matrix(offsets, columns, values, dense.size()[0]).mm(dense);
    }
    Tensor::embedding_bag(&dense.contiguous(), columns, offsets, false, SUM, false, Some(values), true).0
}

/// libtorch's own sparse matrix `[n, width]`, from the same parts.
pub(super) fn matrix(offsets: &Tensor, columns: &Tensor, values: &Tensor, width: i64) -> Tensor {
    let (size, options) = ([offsets.size()[0] - 1, width], (values.kind(), values.device()));
    Tensor::internal_sparse_csr_tensor_unsafe(offsets, columns, values, size, options)
}

/// A constant sparse matrix `[n, d]`, kept by row, and by column from the first product of its transpose on.
#[derive(Debug)]
pub(super) struct Sparse {
    width: i64,
    by_row: Compressed,
    by_column: OnceCell<Compressed>,
}

/// Offsets `[n + 1]`, columns and values `[nnz]`.
#[derive(Debug)]
struct Compressed {
    offsets: Tensor,
    columns: Tensor,
    values: Tensor,
}

impl Sparse {
    /// From compressed rows: offsets `[n + 1]` and columns `[nnz]` (int64), values `[nnz]` (float32); `width` is d.
    pub(super) fn new(offsets: Tensor, columns: Tensor, values: Tensor, width: i64) -> Self {
        Self { width, by_row: Compressed { offsets, columns, values }, by_column: OnceCell::new() }
    }

    /// n.
    pub(super) fn rows(&self) -> i64 {
        self.by_row.rows()
    }

    /// This times `dense` `[d, k]`: `[n, k]`.
    pub(super) fn times(&self, dense: &Tensor) -> Tensor {
        self.by_row.times(dense)
    }

    /// The transpose times `dense` `[n, k]`: `[d, k]`.
    pub(super) fn transposed_times(&self, dense: &Tensor) -> Tensor {
        self.by_column.get_or_init(|| self.by_row.transposed(self.width)).times(dense)
    }
}

impl Compressed {
    fn rows(&self) -> i64 {
        self.offsets.size()[0] - 1
    }

    fn times(&self, dense: &Tensor) -> Tensor {
        product(&self.offsets, &self.columns, &self.values, dense)
    }

    fn transposed(&self, width: i64) -> Self {
        let ids = |end: i64| Tensor::arange(end, (Kind::Int64, self.columns.device()));
        let lengths = self.offsets.diff::<Tensor>(1, 0, None, None);
        let rows = ids(self.rows()).repeat_interleave_self_tensor(&lengths, 0, self.columns.size()[0]);
        let order = self.columns.argsort_stable(true, 0, false);
        let sorted = self.columns.index_select(0, &order);
        Self {
            offsets: ids(width + 1).searchsorted::<Tensor>(&sorted, false, false, "left", None),
            columns: rows.index_select(0, &order),
            values: self.values.index_select(0, &order),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_of_the_dense_matrix() {
        // An empty row, an empty column, and a column that occurs twice in a row.
        let matrix = Sparse::new(
            Tensor::from_slice(&[0_i64, 2, 2, 5]),
            Tensor::from_slice(&[0_i64, 2, 3, 0, 3]),
            Tensor::from_slice(&[1.0_f32, 2.0, 3.0, 4.0, 5.0]),
            4,
        );
        let dense = Tensor::from_slice(&[1.0_f32, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 4.0, 0.0, 0.0, 8.0]).view([3, 4]);
        let right = Tensor::arange(8, (Kind::Float, tch::Device::Cpu)).view([4, 2]);
        let product = matrix.times(&right);
        assert_eq!(matrix.rows(), 3);
        assert_eq!(product, dense.mm(&right));
        assert!(matrix.by_column.get().is_none(), "a forward pass needs no transpose");
        let left = Tensor::arange(6, (Kind::Float, tch::Device::Cpu)).view([3, 2]);
        assert_eq!(matrix.transposed_times(&left), dense.tr().mm(&left));
    }
}
