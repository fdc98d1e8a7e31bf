//! TODO(plm/mod)
