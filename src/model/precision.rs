//! In what the large products are taken: those of the vectors with the experts' weights, and the estimators' layers.

use serde::{Deserialize, Serialize};
use tch::Kind;

/// Number format of the large products. Parameters, losses, gradients and optimisers are float32 in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// The store's own numbers, which a CPU reads where they are mapped.
    Float32,
    /// Float32 whose factors a GPU rounds to ten significant bits on their way into a product: any product of the process,
    /// those of gradients and of the ranking's cosines too. On a CPU the same as float32.
    Tf32,
    /// Eight significant bits, summed in float32; the vectors are copied once, at half their size. About twice as fast on
    /// processors with instructions for it (`docs/benchmarks.md`); the golden figures do not hold.
    Bf16,
}

impl Precision {
    /// As libtorch calls it.
    pub fn kind(self) -> Kind {
        match self {
            Self::Float32 | Self::Tf32 => Kind::Float,
            Self::Bf16 => Kind::BFloat16,
        }
    }
}
