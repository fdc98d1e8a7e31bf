//! What other people's files and the libraries that read them may do: unfold to so much and no more; and panic, which the
//! Parquet and Arrow libraries do on some damaged files, and say so in their documentation. Here that becomes an error.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;

/// Floats that a file of so many bytes may unfold to. Compression, and one vector that stands for many entities, are
/// honest up to a point: 64 times the file and 256 MiB are granted; a file that wants more is a bomb or not for us.
pub(crate) fn allowance(file_bytes: u64) -> u64 {
    (file_bytes.saturating_mul(64).saturating_add(256 << 20)) / 4
}

thread_local! {
    /// Whether a panic of this thread is about to become an error, and not to be printed.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// What a library makes of a file; an error where it panics.
pub(crate) fn guarded<T, E: From<ArrowError>>(work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    caught(work).unwrap_or_else(|| Err(gave_up().into()))
}

fn gave_up() -> ArrowError {
    ArrowError::ParseError("it is damaged: the library that reads it gave up".to_owned())
}

/// What the library was working on is left in whatever state, and must not be looked at again.
fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = take_hook();
        set_hook(Box::new(move |panic| {
            if !GUARDED.get() {
                print(panic);
            }
        }));
    });
    let outer = GUARDED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outer);
    outcome.ok()
}

/// A reader's batches; after a panic in the library one error, and nothing more.
#[derive(Debug)]
pub(crate) struct Guarded<R> {
    reader: Option<R>,
}

impl<R> Guarded<R> {
    /// The batches of a reader.
    pub(crate) fn new(reader: R) -> Self {
        Self { reader: Some(reader) }
    }
}

impl<R: Iterator<Item = Result<RecordBatch, ArrowError>>> Iterator for Guarded<R> {
    type Item = R::Item;

    fn next(&mut self) -> Option<Self::Item> {
        let reader = self.reader.as_mut()?;
        caught(|| reader.next()).unwrap_or_else(|| {
            self.reader = None;
            Some(Err(gave_up()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panics<T>() -> T {
        panic!("nobody reads this")
    }

    #[test]
    fn a_panic_becomes_one_error() {
        let mut batches = Guarded::new(std::iter::repeat_with(panics));
        assert!(matches!(batches.next(), Some(Err(ArrowError::ParseError(_)))));
        assert!(batches.next().is_none());
        let opened: Result<(), ArrowError> = guarded(panics);
        assert!(opened.unwrap_err().to_string().contains("gave up"));
        assert_eq!(guarded(|| Ok::<_, ArrowError>(1)).unwrap(), 1);
    }
}
