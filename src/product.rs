//! Products of rows with the weight of a layer, `x · Wᵀ + b`.
//!
//! libtorch gives a CPU's float32 products to MKL, which keeps to its AVX2 kernels on processors that are not Intel's. oneDNN
//! is part of libtorch too, takes AVX-512 where there is any, and is a tenth to a half faster (`docs/benchmarks.md`), but reads
//! tensors of its own layout only. So rows are laid out for it once, and stay so through all they are multiplied with.

use tch::{Device, Kind, TchError, Tensor};

/// Rows `[…, k]` about to be multiplied with weights, or `[G, n, k]` with one weight for each of G. Autograd knows the way back from
/// [`Self::linear`] and what rectifies.
#[derive(Debug)]
#[must_use]
pub struct Factor(Tensor);

/// Rows of a weight that are laid out at a time.
const PART: i64 = 1024;

impl Factor {
    /// Laid out for oneDNN, a copy, where a CPU multiplies float32; otherwise as they are.
    pub fn new(x: &Tensor) -> Self {
        let fit = x.device() == Device::Cpu && x.kind() == Kind::Float && x.numel() > 0 && tch::utils::has_mkldnn();
        Self(if fit { x.to_mkldnn() } else { x.shallow_clone() })
    }

    /// Not copied whatever they are: what is mapped stays mapped.
    pub fn in_place(x: &Tensor) -> Self {
        Self(x.shallow_clone())
    }

    /// n, if there are `[n, k]`.
    pub fn rows(&self) -> i64 {
        self.0.size()[0]
    }

    /// The format of the numbers.
    pub fn kind(&self) -> Kind {
        self.0.kind()
    }

    /// `x · weightᵀ + bias`, for `weight` `[m, k]` and `bias` `[m]`: `[…, m]`; for `[G, m, k]` and `[G, m]`, `[G, n, m]`.
    pub fn linear(&self, weight: &Tensor, bias: Option<&Tensor>) -> Self {
        Self(match bias {
            _ if self.0.is_mkldnn() => self.0.mkldnn_linear(weight, bias),
            _ if weight.dim() == 2 => self.0.linear(weight, bias),
            Some(bias) => bias.unsqueeze(1).baddbmm(&self.0, &weight.transpose(1, 2), 1.0, 1.0),
            None => self.0.bmm(&weight.transpose(1, 2)),
        })
    }

    /// Leaves `x · weightᵀ` in `place` `[n, m]`, for rows `[n, k]` and a `weight` `[m, k]` as large as they are: oneDNN lays out a part
    /// of it at a time. On a CPU the same row of the weight comes to the same numbers wherever it stands.
    ///
    /// # Errors
    /// If libtorch refuses, for instance for want of memory.
    pub fn f_with_each_into(&self, weight: &Tensor, place: &Tensor) -> Result<(), TchError> {
        if !self.0.is_mkldnn() {
            return self.0.f_mm_out(place, &weight.tr()).map(|_| ());
        }
        let count = weight.size()[0];
        for start in (0..count).step_by(PART as usize) {
            // Products of another shape may be rounded otherwise: the last part reaches back, or is filled up with zeros.
            let (start, length) = (start.min((count - PART).max(0)), PART.min(count));
            let part = weight.f_narrow(0, start, length)?;
            let part = if length < PART { part.f_constant_pad_nd([0, 0, 0, PART - length])? } else { part };
            let product = self.0.f_mkldnn_linear::<&Tensor>(&part, None)?.f_to_dense(None, false)?;
            place.f_narrow(1, start, length)?.f_copy_(&product.f_narrow(1, 0, length)?)?;
        }
        Ok(())
    }

    /// `x · weight`, for `weight` `[k, m]` or `[G, k, m]`: the gradient of the rows in [`Self::linear`], given that of the product.
    pub fn times(&self, weight: &Tensor) -> Self {
        if !self.0.is_mkldnn() {
            return Self(self.0.matmul(weight));
        }
        // Only the shape of the rows is read.
        let size = [self.rows(), weight.size()[1]];
        Self(Tensor::mkldnn_linear_backward_input(size, &self.0, weight))
    }

    /// The same, left in `place`, whatever its kind.
    pub fn times_into(&self, weight: &Tensor, place: &Tensor) {
        if self.0.is_mkldnn() || place.kind() != self.kind() {
            place.shallow_clone().copy_(&self.times(weight).dense());
        } else if place.dim() == 3 {
            let _ = self.0.bmm_out(place, weight);
        } else {
            let _ = self.0.mm_out(place, weight);
        }
    }

    /// The rectified values.
    pub fn relu(&self) -> Self {
        Self(self.0.relu())
    }

    /// The exact Gaussian error linear unit.
    pub fn gelu(&self) -> Self {
        Self(self.0.gelu("none"))
    }

    /// In libtorch's own layout.
    pub fn dense(&self) -> Tensor {
        if self.0.is_mkldnn() { self.0.to_dense(None, false) } else { self.0.shallow_clone() }
    }

    /// `gradient`ᵀ · `x`, `[m, k]`: the gradient of the weight in [`Self::linear`], given that of the product, `[n, m]`; of G weights
    /// `[G, m, k]`.
    pub fn pull(&self, gradient: &Self) -> Tensor {
        if self.0.dim() == 3 {
            // A GPU divides the long sums of one product among its processors, but not those of several.
            let each = gradient.0.unbind(0).into_iter().zip(self.0.unbind(0));
            return Tensor::stack(&each.map(|(gradient, x)| gradient.tr().mm(&x)).collect::<Vec<_>>(), 0);
        }
        if !self.0.is_mkldnn() {
            return gradient.dense().tr().mm(&self.0);
        }
        let Self(gradient) = if gradient.0.is_mkldnn() { gradient } else { &Self::new(&gradient.0) };
        // Only the shape of the weight is read.
        let weight = Tensor::empty([gradient.size()[1], self.0.size()[1]], (Kind::Float, Device::Cpu));
        self.0.mkldnn_linear_backward_weights(gradient, &weight, false).0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    fn numbers(shape: &[i64], start: i64) -> Tensor {
        let count: i64 = shape.iter().product();
        (Tensor::arange_start(start, start + count, (Kind::Float, Device::Cpu)) * 0.7).sin().reshape(shape)
    }

    fn close(one: &Tensor, other: &Tensor) {
        assert_eq!(one.size(), other.size());
        let apart = (one - other).abs().max().double_value(&[]);
        assert!(apart < 2e-5, "{apart}");
    }

    #[test]
    fn both_layouts_give_one_product_and_one_gradient() {
        let [weight, bias] = [numbers(&[5, 7], 3), numbers(&[5], 50)].map(|tensor| tensor.set_requires_grad(true));
        let (x, gradient) = (numbers(&[11, 7], 90), numbers(&[11, 5], 200));
        let run = |factor: &Factor| {
            let product = factor.linear(&weight, Some(&bias));
            let sum = (product.relu().dense() * &gradient).sum(Kind::Float);
            let mut tensors = Tensor::run_backward(&[sum], &[&weight, &bias], false, false);
            tensors.extend([
                product.dense(),
                product.gelu().dense(),
                factor.pull(&Factor::in_place(&gradient)),
                Factor::new(&gradient).times(&weight).dense(),
            ]);
            tensors
        };
        let (ours, own) = (Factor::new(&x), Factor::in_place(&x));
        assert!(ours.0.is_mkldnn() && !own.0.is_mkldnn());
        run(&ours).iter().zip(&run(&own)).for_each(|(one, other)| close(one, other));
    }

    #[test]
    fn a_row_of_the_weight_comes_to_the_same_numbers_wherever_it_stands() {
        for (rows, width) in [(7, 4), (700, 4), (300, 300), (1100, 300)] {
            let (x, half) = (numbers(&[90, width], 7), numbers(&[rows, width], 1000));
            let product = Tensor::empty([90, 2 * rows], (Kind::Float, Device::Cpu));
            Factor::new(&x).f_with_each_into(&Tensor::cat(&[&half, &half], 0), &product).unwrap();
            assert_eq!(product.narrow(1, 0, rows), product.narrow(1, rows, rows), "{rows} of {width}");
            close(&product.narrow(1, 0, rows), &x.mm(&half.tr()));
        }
        let none = Tensor::empty([3, 0], (Kind::Float, Device::Cpu));
        Factor::new(&numbers(&[3, 4], 1)).f_with_each_into(&numbers(&[0, 4], 1), &none).unwrap();
    }

    #[test]
    fn only_float32_of_a_cpu_is_laid_out_anew() {
        let x = numbers(&[3, 4], 1);
        assert!(!Factor::new(&x.to_kind(Kind::BFloat16)).0.is_mkldnn());
        let none = Factor::new(&x.narrow(0, 0, 0));
        assert_eq!(none.linear(&numbers(&[2, 4], 0), None).dense().size(), [0, 2]);
    }
}
