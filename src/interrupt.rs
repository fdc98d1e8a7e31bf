//! Ctrl-C, SIGTERM: the first asks the loop that heeds it to stop at a clean place; where none does, and the second time, it
//! ends the process. Files are written under temporary names, so that none is half written then.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// When the user first asked to stop.
static REQUESTED: OnceLock<Instant> = OnceLock::new();
static HEEDING: AtomicUsize = AtomicUsize::new(0);

/// Within this time of the first, a signal is the same wish: a terminal, and a scheduler, send theirs to every process of a
/// group, and a process that waits for another passes it on.
const ONE_WISH: Duration = Duration::from_secs(1);

/// Whether the user has asked to stop. Loops ask between two steps and leave a resumable state behind.
pub fn requested() -> bool {
    REQUESTED.get().is_some()
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
#[allow(unsafe_code, reason = "only the system's own call ends a process without running destructors")]
fn end(exit_code: i32) -> ! {
    // SAFETY: nothing of the process runs after this.
    unsafe { libc::_exit(exit_code) }
}

/// Installs the handler; called once, by the command line.
///
/// # Errors
/// If the process already has a handler.
pub fn install(exit_code: i32) -> Result<(), ctrlc::Error> {
    let outlives_its_terminal = ignores_hangup();
    ctrlc::set_handler(move || {
        let again = REQUESTED.get().is_some_and(|first| first.elapsed() > ONE_WISH);
        REQUESTED.get_or_init(Instant::now);
        if again || HEEDING.load(Ordering::SeqCst) == 0 {
            end(exit_code);
        }
    })?;
    if outlives_its_terminal {
        ignore_hangup();
    }
    Ok(())
}

/// Whether the process was started to go on when its terminal is closed, as `nohup` does.
#[cfg(unix)]
#[allow(unsafe_code, reason = "only the system knows what is done with a signal")]
fn ignores_hangup() -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: nothing is changed; all zeroes are an action, and the system overwrites them.
    unsafe {
        libc::sigaction(libc::SIGHUP, std::ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

#[cfg(not(unix))]
fn ignores_hangup() -> bool {
    false
}

/// The handler's crate takes every signal that asks a program to end; this one is given back.
#[cfg(unix)]
#[allow(unsafe_code, reason = "what is done with a signal is the process's own")]
fn ignore_hangup() {
    // SAFETY: no handler is installed, the signal is let pass.
    unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
}

#[cfg(not(unix))]
fn ignore_hangup() {}
