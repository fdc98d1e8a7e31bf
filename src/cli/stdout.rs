//! Results go to standard output, which may be a file on a full disk.

use std::fmt::Arguments;
use std::io::{self, Write};

use data_process::fault::{Fault, Kind};

/// A result that cannot be handed over.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output: {0}")]
pub(super) struct Unprinted(io::Error);

impl Fault for Unprinted {
    fn kind(&self) -> Kind {
        Kind::Output
    }
}

/// Writes a line, and sees to it that it arrives.
pub(super) fn line(text: Arguments<'_>) -> Result<(), Unprinted> {
    lines(format_args!("{text}\n"))
}

/// Writes lines that end with their own.
pub(super) fn lines(text: Arguments<'_>) -> Result<(), Unprinted> {
    let mut to = io::stdout().lock();
    to.write_fmt(text).and_then(|()| to.flush()).map_err(Unprinted)
}
