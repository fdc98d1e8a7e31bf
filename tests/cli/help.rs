//! Every subcommand explains itself, and the binary shows what the code declares.

use clap::{Command, CommandFactory};
use humea::cli::Cli;

use crate::{humea, stdout};

/// Every command of the tree with the words that lead to it.
fn commands(command: &Command, path: &[String]) -> Vec<(Vec<String>, Command)> {
    let mut found = vec![(path.to_vec(), command.clone())];
    for child in command.get_subcommands().filter(|child| child.get_name() != "help") {
        let path = [path, &[child.get_name().to_owned()]].concat();
        found.extend(commands(child, &path));
    }
    found
}

fn every_command() -> Vec<(Vec<String>, Command)> {
    commands(&Cli::command(), &[])
}

#[test]
fn every_command_and_every_argument_has_a_help_sentence() {
    for (path, command) in every_command() {
        assert!(command.get_about().is_some(), "humea {} has no description", path.join(" "));
        for argument in command.get_arguments() {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.len() > 8, "humea {}: {} has no help sentence", path.join(" "), argument.get_id());
            assert!(!help.contains("TODO"), "humea {}: {}: {help}", path.join(" "), argument.get_id());
        }
    }
}

#[test]
fn the_binary_shows_the_help_of_every_command() {
    for (path, command) in every_command() {
        let arguments: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
        let help = stdout(&arguments);
        assert!(help.contains("Usage: humea"), "{}: {help}", path.join(" "));
        for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            if let Some(long) = argument.get_long() {
                assert!(help.contains(&format!("--{long}")), "humea {} --help lacks --{long}", path.join(" "));
            }
        }
    }
}

/// The command line after "Example: ", which may go on in further lines.
fn example(command: &Command) -> Option<Vec<String>> {
    let help = command.get_after_help()?.to_string();
    let line = help.split_once("Example: ")?.1.replace("\\\n", " ");
    Some(line.lines().next()?.split_whitespace().map(str::to_owned).collect())
}

#[test]
fn every_help_ends_in_an_example_that_the_command_takes() {
    for (path, command) in every_command() {
        let line = example(&command).unwrap_or_else(|| panic!("humea {} has no example", path.join(" ")));
        let shown = line.join(" ");
        assert!(shown.starts_with(format!("humea {}", path.join(" ")).trim_end()), "{path:?}: {shown}");
        Cli::command().try_get_matches_from(line).unwrap_or_else(|error| panic!("{shown}: {error}"));
    }
}

#[test]
fn names_are_verbs_and_flags_are_spelled_with_hyphens() {
    for (path, command) in every_command() {
        for argument in command.get_arguments() {
            let long = argument.get_long().unwrap_or_default();
            assert!(!long.contains('_'), "humea {} --{long}", path.join(" "));
        }
    }
}

#[test]
fn a_wrong_command_line_is_code_2() {
    for arguments in [&["nonsense"][..], &["--nonsense"], &[]] {
        humea(arguments).assert().code(2);
    }
}

#[test]
fn the_version_is_the_package_version() {
    assert_eq!(stdout(&["--version"]).trim(), format!("humea {}", env!("CARGO_PKG_VERSION")));
}
