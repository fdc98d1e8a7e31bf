//! The losses (method, section 5), all derived from the same similarity blocks. They see tensors only.

pub mod contrastive;
pub mod distillation;
pub mod joint;
pub mod odds;
pub mod similarity;
pub mod uncertainty;

#[cfg(test)]
mod golden_tests;
