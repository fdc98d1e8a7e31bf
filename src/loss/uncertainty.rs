//! Weighting by learnt uncertainty: `Σ_m (e^{−s_m}·L_m + s_m)`.

use tch::{Kind, Tensor};

/// The weighted sum of `losses` `[M]` under log-variances `s` `[M]`: a scalar.
pub fn weigh(losses: &Tensor, log_variances: &Tensor) -> Tensor {
    ((-log_variances).exp() * losses + log_variances).sum(Kind::Float)
}
