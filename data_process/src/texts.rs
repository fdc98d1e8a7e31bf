//! TODO(texts)
