//! TODO(sources/mod)
