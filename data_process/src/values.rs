//! TODO(values)
