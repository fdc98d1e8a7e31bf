//! Gradients that are worked out by hand, given to libtorch's autograd.

use tch::{Tensor, no_grad, with_grad};

/// Runs the layers behind `tensor` backwards, given its gradient, of the same shape.
pub fn backward(tensor: &Tensor, gradient: &Tensor) {
    backward_all(std::iter::once((tensor, gradient)));
}

/// Runs the layers behind several tensors backwards together, given the gradient of each. They are joined first: a GPU is then
/// asked for one product instead of one for each.
pub fn backward_all<'a>(parts: impl Iterator<Item = (&'a Tensor, &'a Tensor)>) {
    let flat = |of: &Tensor| of.reshape([-1]);
    with_grad(|| {
        let learnt = parts.filter(|(tensor, _)| tensor.requires_grad());
        let (tensors, gradients): (Vec<_>, Vec<_>) = learnt.map(|(of, gradient)| (flat(of), flat(gradient))).unzip();
        match (tensors.as_slice(), gradients.as_slice()) {
            ([], []) => {}
            ([one], [gradient]) => product(one, gradient).backward(),
            _ => product(&Tensor::cat(&tensors, 0), &Tensor::cat(&gradients, 0)).backward(),
        }
    });
}

/// Runs the layers behind two tensors backwards together, given the gradient of each and what that is still to be multiplied with.
pub fn backward_both([one, other]: [(&Tensor, &Tensor, f64); 2]) {
    with_grad(|| (product(one.0, one.1) * one.2 + product(other.0, other.1) * other.2).backward());
}

/// The binding starts a backward pass at a scalar only: this one has exactly `gradient` for its gradient.
fn product(tensor: &Tensor, gradient: &Tensor) -> Tensor {
    tensor.reshape([-1]).dot(&gradient.reshape([-1]))
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
    fn two_tensors_with_one_root_are_run_backwards_together() {
        let leaf = Tensor::from_slice(&[1.0_f32, -2.0]).set_requires_grad(true);
        let given = Tensor::from_slice(&[0.5_f32, 1.0]);
        backward_both([(&leaf.square(), &given, 3.0), (&-&leaf, &given, 2.0)]);
        assert_eq!(leaf.grad(), &given * leaf.detach() * 6.0 - &given * 2.0);
        let (square, constant, negative) = (leaf.square(), leaf.detach(), -&leaf);
        backward_all([&square, &constant, &negative].into_iter().map(|tensor| (tensor, &given)));
        assert_eq!(leaf.grad(), &given * leaf.detach() * 8.0 - &given * 3.0);
        backward_all([(&constant, &given)].into_iter());
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
