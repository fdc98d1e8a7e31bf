//! Gradients that are worked out by hand, given to libtorch's autograd.

use tch::{Tensor, no_grad, with_grad};

/// Runs the layers behind `tensor` backwards, given its gradient, of the same shape; nothing if nothing there is learnt. The binding
/// starts a backward pass at a scalar only: the one made here has exactly `gradient` for its gradient.
pub fn backward(tensor: &Tensor, gradient: &Tensor) {
    if tensor.requires_grad() {
        with_grad(|| tensor.reshape([-1]).dot(&gradient.reshape([-1])).backward());
    }
}

/// Adds to the gradient of the rows of `parameter`, a leaf, from `first` on.
pub fn accumulate(parameter: &Tensor, first: i64, gradient: &Tensor) {
    let (kept, rows) = (parameter.grad(), gradient.size()[0]);
    if kept.defined() {
        let _ = no_grad(|| kept.narrow(0, first, rows).g_add_(gradient));
    } else {
        backward(&with_grad(|| parameter.narrow(0, first, rows)), gradient);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn a_given_gradient_goes_through_the_layers_behind() {
        let leaf = Tensor::from_slice(&[1.0_f32, -2.0, 3.0, 4.0]).view([2, 2]).detach().set_requires_grad(true);
        let given = Tensor::from_slice(&[0.5_f32, 1.0, -1.0, 2.0]).view([2, 2]);
        backward(&leaf.square(), &given);
        assert_eq!(leaf.grad(), &given * leaf.detach() * 2.0);
        backward(&leaf.detach(), &given);
        backward(&leaf.tr(), &given);
        assert_eq!(leaf.grad(), &given * leaf.detach() * 2.0 + given.tr());
    }

    #[test]
    fn rows_of_a_gradient_are_added_to_whether_or_not_there_is_one() {
        let leaf = Tensor::zeros([3, 2], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let given = Tensor::ones([2, 2], (Kind::Float, Device::Cpu));
        accumulate(&leaf, 1, &given);
        assert_eq!(leaf.grad(), Tensor::from_slice(&[0.0_f32, 0.0, 1.0, 1.0, 1.0, 1.0]).view([3, 2]));
        accumulate(&leaf, 0, &given);
        assert_eq!(leaf.grad(), Tensor::from_slice(&[1.0_f32, 1.0, 2.0, 2.0, 1.0, 1.0]).view([3, 2]));
        assert!(!leaf.grad().requires_grad());
    }
}
