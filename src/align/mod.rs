//! TODO(align/mod)
