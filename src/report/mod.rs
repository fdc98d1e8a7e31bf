//! TODO(report/mod)
