//! One documented exit code per kind of failure.

use data_process::fault::{Fault, Kind};

/// The exit codes, with what each means; `humea --help` and the README print this table, and a test holds them to it.
pub const CODES: [(u8, Option<Kind>, &str); 9] = [
    (0, None, "success"),
    (2, None, "the command line itself is wrong"),
    (3, Some(Kind::Input), "a file or folder that was named does not exist or cannot be read"),
    (4, Some(Kind::Data), "a file was read and its content is not what it must be"),
    (5, Some(Kind::Configuration), "an option or a configuration key is wrong"),
    (6, Some(Kind::Device), "the device that was asked for, or libtorch, is not to be had"),
    (7, Some(Kind::Network), "something could not be fetched"),
    (8, Some(Kind::Output), "something could not be written"),
    (130, Some(Kind::Interrupted), "stopped by Ctrl-C; what was finished is kept"),
];

/// The exit code of a kind of failure.
pub fn code(kind: Kind) -> u8 {
    CODES.iter().find(|(_, of, _)| *of == Some(kind)).map_or(1, |(code, _, _)| *code)
}

/// Any failure of a subcommand: an error that knows its kind.
#[derive(Debug)]
pub struct Failure(Box<dyn Fault>);

impl Failure {
    /// The exit code.
    pub fn code(&self) -> u8 {
        code(self.0.kind())
    }

    /// The error and its causes on one line, a cause left out where the error above it already says it.
    pub fn chain(&self) -> String {
        let mut text = self.0.to_string();
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let words = error.to_string();
            if !text.contains(&words) {
                text.push_str(": ");
                text.push_str(&words);
            }
            cause = error.source();
        }
        text
    }
}

impl<E: Fault> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_code_of_its_own() {
        let kinds = [
            Kind::Input,
            Kind::Data,
            Kind::Configuration,
            Kind::Device,
            Kind::Network,
            Kind::Output,
            Kind::Interrupted,
        ];
        let mut codes: Vec<u8> = kinds.into_iter().map(code).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), kinds.len());
        assert!(!codes.contains(&1), "1 is what a kind without a code would get");
    }
}
