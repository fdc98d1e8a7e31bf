//! TODO(pipeline/mod)
