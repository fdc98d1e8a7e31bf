//! The pages say what the binary does: its subcommands, its exit codes, its make targets and links exist, its commands parse.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use humea::cli::{Cli, exit};

const README: &str = include_str!("../../README.md");
const PAGES: [&str; 5] = ["README.md", "docs/store.md", "docs/benchmarks.md", "data/README.md", "fuzz/README.md"];

fn place(page: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(page)
}

fn text(page: &Path) -> String {
    fs::read_to_string(page).unwrap_or_else(|error| panic!("{}: {error}", page.display()))
}

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
fn every_make_target_named_exists() {
    let makefile = include_str!("../../Makefile");
    for name in README.split("`make ").skip(1).filter_map(|rest| rest.split(['`', ' ']).next()) {
        assert!(makefile.contains(&format!("\n{name}:")), "the Makefile has no target {name}");
    }
}

/// The anchor that a heading gets: its letters and digits in lower case, and a hyphen for each space.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn assert_link(page: &str, link: &str) {
    let (file, wanted) = link.split_once('#').unwrap_or((link, ""));
    let target = if file.is_empty() { place(page) } else { place(page).with_file_name(file) };
    assert!(target.exists(), "{page} links to {link}, which is not there");
    let found = || text(&target).lines().any(|line| line.starts_with('#') && anchor(line) == wanted);
    assert!(wanted.is_empty() || found(), "{page} links to {link}, and {file} has no such heading");
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    for page in PAGES {
        let text = text(&place(page));
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        links.filter(|link| !link.starts_with("http")).for_each(|link| assert_link(page, link));
    }
}

/// The command lines after `$ humea`, without their comments, joined where a backslash goes on.
fn commands(page: &str) -> Vec<String> {
    let text = text(&place(page)).replace("\\\n", " ");
    let lines = text.lines().filter(|line| line.starts_with("$ humea "));
    lines.map(|line| line["$ ".len()..].split(" #").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn every_command_shown_is_one_that_the_binary_takes() {
    let shown: Vec<(&str, String)> =
        PAGES.iter().flat_map(|page| commands(page).into_iter().map(move |line| (*page, line))).collect();
    assert!(shown.len() >= 15, "only {} command lines found", shown.len());
    for (page, line) in shown {
        let parsed = Cli::command().try_get_matches_from(line.split_whitespace());
        assert!(parsed.is_ok(), "{page}: {line}: {}", parsed.unwrap_err());
    }
}
