//! TODO(inputs/mod)
