//! The HUMEA model: one file per layer (config, constructor, forward, golden test). Knows tensors, not stores.

pub mod features;
