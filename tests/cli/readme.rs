//! The README says what the binary does: its subcommands, its exit codes, its make targets and its pages exist.

use std::collections::BTreeSet;
use std::path::Path;

use clap::CommandFactory;
use humea::cli::{Cli, exit};

const README: &str = include_str!("../../README.md");

/// The first cells of the table rows below a heading.
fn first_cells(heading: &str) -> BTreeSet<String> {
    let (_, section) = README.split_once(heading).expect("the README has this heading");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.trim_matches('|').split('|').next().unwrap_or_default().trim().replace('`', "")).collect()
}

#[test]
fn every_subcommand_is_in_the_table_and_no_other() {
    let built: BTreeSet<String> = Cli::command()
        .get_subcommands()
        .map(|command| command.get_name().to_owned())
        .filter(|name| name != "help")
        .collect();
    let told: BTreeSet<String> = first_cells("## Commands")
        .iter()
        .filter_map(|cell| cell.split_whitespace().nth(1).map(str::to_owned))
        .collect();
    assert_eq!(told, built);
}

#[test]
fn every_exit_code_is_in_the_table_with_its_meaning() {
    let (_, section) = README.split_once("## Exit codes").expect("the README has this heading");
    for (code, _, meaning) in exit::CODES {
        assert!(section.contains(&format!("| {code} | {meaning} |")), "the README lacks: | {code} | {meaning} |");
    }
    assert_eq!(first_cells("## Exit codes").len(), exit::CODES.len());
}

#[test]
fn every_make_target_and_every_page_named_exists() {
    let makefile = include_str!("../../Makefile");
    for name in README.split("`make ").skip(1).filter_map(|rest| rest.split(['`', ' ']).next()) {
        assert!(makefile.contains(&format!("\n{name}:")), "the Makefile has no target {name}");
    }
    for link in README.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        let file = link.split('#').next().unwrap_or_default();
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        assert!(link.starts_with("http") || here.exists(), "the README links to {link}, which is not there");
    }
}
