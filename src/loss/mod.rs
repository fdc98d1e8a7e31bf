//! TODO(loss/mod)
