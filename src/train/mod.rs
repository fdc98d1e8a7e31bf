//! TODO(train/mod)
