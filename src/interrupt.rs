//! Ctrl-C: the first asks the loop that heeds it to stop at a clean place; where none does, and the second time, it ends the
//! process. Files are written under temporary names, so that none is half written then.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

static REQUESTED: AtomicBool = AtomicBool::new(false);
static HEEDING: AtomicUsize = AtomicUsize::new(0);

/// Whether the user has asked to stop. Loops ask between two steps and leave a resumable state behind.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

/// A loop that asks [`requested`] again and again, for as long as it has this.
#[derive(Debug)]
#[must_use = "Ctrl-C is heeded only until this is dropped"]
pub struct Heeding(());

/// Says that a loop has something to keep when the user wants to stop, and will ask whether he does.
pub fn heed() -> Heeding {
    HEEDING.fetch_add(1, Ordering::SeqCst);
    Heeding(())
}

impl Drop for Heeding {
    fn drop(&mut self) {
        HEEDING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Ends the process as it stands: libtorch's destructors, which [`std::process::exit`] runs, pull away what its threads are
/// still computing with.
#[cfg(feature = "torch")]
#[allow(unsafe_code, reason = "only the system's own call ends a process without running destructors")]
fn end(exit_code: i32) -> ! {
    // SAFETY: nothing of the process runs after this.
    unsafe { libc::_exit(exit_code) }
}

#[cfg(not(feature = "torch"))]
fn end(exit_code: i32) -> ! {
    std::process::exit(exit_code)
}

/// Installs the handler; called once, by the command line.
///
/// # Errors
/// If the process already has a handler.
pub fn install(exit_code: i32) -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(move || {
        if REQUESTED.swap(true, Ordering::SeqCst) || HEEDING.load(Ordering::SeqCst) == 0 {
            end(exit_code);
        }
    })
}
