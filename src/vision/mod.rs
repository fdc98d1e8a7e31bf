//! TODO(vision/mod)
