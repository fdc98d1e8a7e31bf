//! The command as a user types it: the real binary, end to end. One test binary, so that libtorch is linked once.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]

mod embed_text;
mod help;
mod inspect;
mod prep;
mod readme;
mod sweep;
mod train;
mod vectors;
mod wrong_input;

use assert_cmd::Command;

/// The built `humea`, without the environment's language-model settings and with its log off.
fn humea(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_humea"));
    command.args(arguments).env_remove("HUMEA_LOG").env("HF_HUB_OFFLINE", "1");
    command
}

/// What a command prints on standard output; it must succeed.
fn stdout(arguments: &[&str]) -> String {
    let output = humea(arguments).assert().success().get_output().stdout.clone();
    String::from_utf8(output).expect("the command line prints UTF-8")
}
