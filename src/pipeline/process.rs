//! A process that is waited for: told when the user wants to stop, and never left behind.

use std::io;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use crate::interrupt;

/// Between two looks at it.
const PAUSE: Duration = Duration::from_millis(20);

/// Runs a command to its end. It is told when the user asks this process to stop, and (on Linux) when this process dies.
///
/// # Errors
/// If it cannot be started.
pub(super) fn run(command: &mut Command) -> io::Result<ExitStatus> {
    tie(command);
    let mut child = command.spawn()?;
    let mut told = false;
    loop {
        if let Some(ended) = child.try_wait()? {
            return Ok(ended);
        }
        if interrupt::requested() && !told {
            tell(&child)?;
            told = true;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Asks a process that nobody has waited for yet to stop at a clean place.
#[allow(unsafe_code, reason = "the standard library sends no signal but the one that kills")]
fn tell(child: &Child) -> io::Result<()> {
    // SAFETY: the number is the child's own for as long as nobody has waited for it.
    match unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGINT) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Lets the system ask a command's process to stop when this one dies, however it does.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "what runs between fork and exec is unchecked")]
fn tie(command: &mut Command) {
    use std::os::unix::process::CommandExt;

    // SAFETY: the one call may be made between fork and exec. The thread on whose death the signal hangs waits for the process.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
    }
}

#[cfg(not(target_os = "linux"))]
fn tie(_command: &mut Command) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_waited_for_and_one_that_cannot_be_started_is_an_error() {
        assert_eq!(run(Command::new("sh").args(["-c", "exit 7"])).unwrap().code(), Some(7));
        assert_eq!(run(&mut Command::new("no/such/program")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
