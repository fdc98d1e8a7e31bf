//! The `humea` command: parse, run, print the error chain, exit with the code of the failure's kind.

use std::process::ExitCode;

fn main() -> ExitCode {
    humea::cli::main()
}
