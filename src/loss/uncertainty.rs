//! Weighting by learnt uncertainty: `Σ_m (e^{−s_m}·L_m + s_m)`.

use tch::{Kind, Tensor, no_grad};

/// The weighted sum of `losses` `[M]` under log-variances `s` `[M]`, a scalar, and its gradient in `s`, `[M]`.
pub fn weigh(losses: &Tensor, log_variances: &Tensor) -> (Tensor, Tensor) {
    no_grad(|| {
        let weighted = (-log_variances).exp_() * losses;
        ((&weighted + log_variances).sum(Kind::Float), 1.0 - weighted)
    })
}
