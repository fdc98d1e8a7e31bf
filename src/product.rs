//! Products of rows with the weight of a layer, `x · Wᵀ + b`.
//!
//! libtorch gives a CPU's float32 products to MKL, which keeps to its AVX2 kernels on processors that are not Intel's. oneDNN
//! is part of libtorch too, takes AVX-512 where there is any, and is a tenth to a half faster (`docs/benchmarks.md`), but reads
//! tensors of its own layout only. So rows are laid out for it once, and stay so through all they are multiplied with.

use tch::{Device, Kind, Tensor};

/// Rows `[…, k]` about to be multiplied with weights. Everything here is differentiable but [`Self::pull`].
#[derive(Debug)]
#[must_use]
pub struct Factor(Tensor);

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

    /// `x · weightᵀ + bias`, for `weight` `[m, k]` and `bias` `[m]`: `[…, m]`.
    pub fn linear(&self, weight: &Tensor, bias: Option<&Tensor>) -> Self {
        Self(if self.0.is_mkldnn() { self.0.mkldnn_linear(weight, bias) } else { self.0.linear(weight, bias) })
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

    /// `gradient`ᵀ · `x`, `[m, k]`: the gradient of the weight in [`Self::linear`], given that of the product, `[n, m]`.
    pub fn pull(&self, gradient: &Tensor) -> Tensor {
        if !self.0.is_mkldnn() {
            return gradient.tr().mm(&self.0);
        }
        // Only the shape of the weight is read.
        let weight = Tensor::empty([gradient.size()[1], self.0.size()[1]], (Kind::Float, Device::Cpu));
        self.0.mkldnn_linear_backward_weights(&gradient.to_mkldnn(), &weight, false).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(shape: &[i64], start: i64) -> Tensor {
        let count: i64 = shape.iter().product();
        (Tensor::arange_start(start, start + count, (Kind::Float, Device::Cpu)) * 0.7).sin().reshape(shape)
    }

    fn close(one: &Tensor, other: &Tensor) {
        assert_eq!(one.size(), other.size());
        let apart = (one - other).abs().max().double_value(&[]);
        assert!(apart < 1e-5, "{apart}");
    }

    #[test]
    fn both_layouts_give_one_product_and_one_gradient() {
        let [weight, bias] = [numbers(&[5, 7], 3), numbers(&[5], 50)].map(|tensor| tensor.set_requires_grad(true));
        let (x, gradient) = (numbers(&[11, 7], 90), numbers(&[11, 5], 200));
        let run = |factor: &Factor| {
            let product = factor.linear(&weight, Some(&bias));
            let sum = (product.relu().dense() * &gradient).sum(Kind::Float);
            let mut tensors = Tensor::run_backward(&[sum], &[&weight, &bias], false, false);
            tensors.extend([product.dense(), product.gelu().dense(), factor.pull(&gradient)]);
            tensors
        };
        let (ours, own) = (Factor::new(&x), Factor::in_place(&x));
        assert!(ours.0.is_mkldnn() && !own.0.is_mkldnn());
        run(&ours).iter().zip(&run(&own)).for_each(|(one, other)| close(one, other));
    }

    #[test]
    fn only_float32_of_a_cpu_is_laid_out_anew() {
        let x = numbers(&[3, 4], 1);
        assert!(!Factor::new(&x.to_kind(Kind::BFloat16)).0.is_mkldnn());
        let none = Factor::new(&x.narrow(0, 0, 0));
        assert_eq!(none.linear(&numbers(&[2, 4], 0), None).dense().size(), [0, 2]);
    }
}
