//! The Parquet library panics on some damaged pages, and says so in its documentation; here that becomes an error.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

/// A reader's batches; after a panic in the library one error, and nothing more.
pub(crate) struct Guarded {
    reader: Option<ParquetRecordBatchReader>,
}

impl Guarded {
    /// The batches of a reader.
    pub(crate) fn new(reader: ParquetRecordBatchReader) -> Self {
        Self { reader: Some(reader) }
    }
}

impl Iterator for Guarded {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let reader = self.reader.as_mut()?;
        // Whatever state the reader is left in, it is not looked at again.
        catch_unwind(AssertUnwindSafe(|| reader.next())).unwrap_or_else(|_| {
            self.reader = None;
            Some(Err(ArrowError::ParquetError("a page is damaged: the Parquet library gave up".to_owned())))
        })
    }
}
