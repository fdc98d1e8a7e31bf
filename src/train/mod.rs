//! Training: the steps of one sitting. Sees tensors through `inputs`, never a store's columns.

pub mod adamw;
pub mod curriculum;
pub mod step;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests may fail loudly")]
mod golden_tests;
