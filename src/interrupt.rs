//! Ctrl-C: the first asks the running loop to stop at a clean place, the second ends the process.

use std::sync::atomic::{AtomicBool, Ordering};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Whether the user has asked to stop. Loops ask between two steps and leave a resumable state behind.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}

/// Installs the handler; called once, by the command line.
///
/// # Errors
/// If the process already has a handler.
pub fn install(exit_code: i32) -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(move || {
        if REQUESTED.swap(true, Ordering::Relaxed) {
            std::process::exit(exit_code);
        }
    })
}
