//! One documented exit code per kind of failure.

use std::any::Any;

use data_process::fault::{Fault, Kind};

use crate::refusal;

/// The exit codes, with what each means; `humea --help` and the README print this table, and a test holds them to it.
pub const CODES: [(u8, Option<Kind>, &str); 9] = [
    (0, None, "success"),
    (2, None, "the command line itself is wrong"),
    (3, Some(Kind::Input), "a file or folder that was named does not exist or cannot be read"),
    (4, Some(Kind::Data), "a file was read and its content is not what it must be"),
    (5, Some(Kind::Configuration), "an option or a configuration key is wrong"),
    (6, Some(Kind::Device), "the device is not there, or libtorch refused (usually memory)"),
    (7, Some(Kind::Network), "something could not be fetched"),
    (8, Some(Kind::Output), "something could not be written"),
    (130, Some(Kind::Interrupted), "stopped by Ctrl-C or SIGTERM; what was finished is kept"),
];

/// The exit code of a kind of failure.
pub fn code(kind: Kind) -> u8 {
    CODES.iter().find(|(_, of, _)| *of == Some(kind)).map_or(1, |(code, _, _)| *code)
}

/// libtorch refused where the code expects it never to, for want of memory as a rule.
#[derive(Debug, thiserror::Error)]
#[error(
    "libtorch: {0}; where memory ran out, give a smaller train.batch_size or --batch-tokens, model.precision = \"bf16\" or --device cpu"
)]
struct Refused(String);

impl Fault for Refused {
    fn kind(&self) -> Kind {
        Kind::Device
    }
}

/// Any failure of a subcommand: an error that knows its kind.
#[derive(Debug)]
pub struct Failure {
    fault: Box<dyn Fault>,
    /// That of a process of ours that failed, if it says more than the fault's kind.
    passed_on: Option<u8>,
}

impl Failure {
    /// Of a process of ours, which ended with this code.
    pub fn passing_on(fault: impl Fault, code: Option<u8>) -> Self {
        let known = |code: &u8| CODES.iter().any(|(of, kind, _)| of == code && kind.is_some());
        Self { fault: Box::new(fault), passed_on: code.filter(known) }
    }

    /// Of a panic, if it is libtorch's; any other is a mistake of ours.
    pub fn of_panic(panic: &(dyn Any + Send)) -> Option<Self> {
        refusal::of_panic(panic).map(|said| Refused(said).into())
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        self.passed_on.unwrap_or_else(|| code(self.fault.kind()))
    }

    /// The error and its causes on one line, a cause left out where the error above it already says it.
    pub fn chain(&self) -> String {
        let mut text = refusal::without_stack(&self.fault.to_string()).to_owned();
        let mut cause = self.fault.source();
        while let Some(error) = cause {
            let words = error.to_string();
            let words = refusal::without_stack(&words);
            if !text.contains(words) {
                text.push_str(": ");
                text.push_str(words);
            }
            cause = error.source();
        }
        text
    }
}

impl<E: Fault> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { fault: Box::new(error), passed_on: None }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests may fail loudly")]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_libtorch_is_an_error_in_one_line_and_any_other_is_not() {
        let thrown: Box<dyn Any + Send> = Box::new("Torch(\"out of memory\\nException raised from f\")".to_owned());
        let failure = Failure::of_panic(&*thrown).unwrap();
        assert_eq!(failure.code(), code(Kind::Device));
        assert!(failure.chain().starts_with("libtorch: out of memory; where memory ran out"), "{}", failure.chain());
        assert!(Failure::of_panic(&"index out of bounds").is_none());
    }

    #[test]
    fn a_code_is_passed_on_if_it_is_that_of_a_kind() {
        let of = |code| Failure::passing_on(Refused(String::new()), code).code();
        assert_eq!([of(Some(8)), of(Some(77)), of(Some(0)), of(None)], [8, 6, 6, 6]);
    }

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
