//! What kind of failure an error is, so that the command line can choose its exit code without knowing every error type.

use std::error::Error;

/// The kind of a failure; the command line gives each kind one documented exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A file or folder that was named does not exist or cannot be read.
    Input,
    /// A file was read and its content is not what it must be.
    Data,
    /// An option, a configuration key or a combination of them is wrong.
    Configuration,
    /// The device is not there, or libtorch refused, usually for want of memory.
    Device,
    /// Something could not be fetched.
    Network,
    /// Something could not be written.
    Output,
    /// The user stopped the work.
    Interrupted,
}

/// An error that knows its kind. Every public error of this project implements it, next to its variants.
pub trait Fault: Error + Send + Sync + 'static {
    /// The kind of this failure.
    fn kind(&self) -> Kind;
}
