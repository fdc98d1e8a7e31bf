//! TODO(split)
