//! TODO(eval/mod)
