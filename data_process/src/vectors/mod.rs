//! TODO(vectors/mod)
