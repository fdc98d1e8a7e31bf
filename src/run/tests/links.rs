//! Which links a run takes, and what it says of them.

use std::path::{Path, PathBuf};

use data_process::event::{Notes, Silent};

use super::{config, run, store};
use crate::report::Line;
use crate::run::RunError;
use crate::run::finished::{self, Reopened};
use crate::run::folder::{self, Existing};
use crate::run::predict::{Wish, predict};
use crate::run::training::train;

/// The links of the world's store, as `humea train` takes further ones.
fn write_links(place: &Path, links: &[[u32; 2]]) -> PathBuf {
    let path = place.join("links.tsv");
    let lines = links.iter().map(|[left, right]| format!("{left}\t{right}\n"));
    std::fs::write(&path, lines.collect::<String>()).unwrap();
    path
}

#[test]
fn further_links_that_are_held_out_or_tested_are_told() {
    let place = tempfile::tempdir().unwrap();
    let store = store(place.path(), false);
    let all = store::Store::open(&store).unwrap().structure().unwrap().links;
    let given = format!("split.train_links={}", write_links(place.path(), &all).display());
    let (folder, notes) = (place.path().join("run"), Notes::default());
    let config = config(&store, 1, &["train.protocol=validation", "split.validation=0.25", &given]);
    train(&config, Some(&folder), Existing::Refuse, None, &notes).unwrap();
    let told = notes.into_lines().join("\n");
    assert!(told.contains("10 of its links are held out") && told.contains("60 of its links are test links"), "{told}");
    let report = std::fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(report.contains("<td>test links that were trained on</td><td>60</td>"), "{report}");
    let log = crate::report::read(&folder.join("metrics.jsonl")).unwrap();
    assert!(matches!(log[0], Line::Epoch { links: 90, .. }), "{log:?}");
}

#[test]
fn a_run_keeps_its_links_whatever_becomes_of_their_file() {
    let place = tempfile::tempdir().unwrap();
    let store = store(place.path(), false);
    let all = store::Store::open(&store).unwrap().structure().unwrap().links;
    let file = write_links(place.path(), &all[..5]);
    let config = config(&store, 6, &[&format!("split.train_links={}", file.display())]);
    let folder = place.path().join("run");
    let (_, summary) = run(&config, &folder, Existing::Refuse).unwrap();
    assert!(finished::summary(&config, &folder).is_some());
    let resumed = || run(&config, &folder, Existing::Resume).map(|(_, summary)| summary.last.test);
    let name = config.folder_name();

    write_links(place.path(), &all);
    assert!(finished::summary(&config, &folder).is_none() && name != config.folder_name());
    assert!(matches!(resumed(), Err(RunError::OtherFile { key, .. }) if key == "split.train_links"));
    let evaluate = || Reopened::open(&folder, None).unwrap().evaluate(&Silent).unwrap().last.test;
    assert_eq!(evaluate(), summary.last.test);
    let report = std::fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(!report.contains("<td>test links that were trained on</td><td>60</td>"), "{report}");
    std::fs::remove_file(file).unwrap();
    assert_eq!((evaluate(), resumed().unwrap()), (summary.last.test, summary.last.test));
    predict(&folder, None, &place.path().join("pairs.csv"), Wish::default(), &Silent).unwrap();
}

#[test]
fn a_folder_that_is_taken_is_told_before_the_store_is_read() {
    let place = tempfile::tempdir().unwrap();
    let (folder, nowhere) = (place.path().join("run"), config(Path::new("no/such/store"), 1, &[]));
    let refused = |existing| run(&nowhere, &folder, existing).unwrap_err();
    assert!(matches!(refused(Existing::Refuse), RunError::Store(_)) && !folder.exists());
    let held = folder::lock(&folder).unwrap();
    assert!(held.is_none() || matches!(refused(Existing::Replace), RunError::Busy { .. }));
    drop(held);
    std::fs::write(folder.join("config.toml"), "").unwrap();
    assert!(matches!(refused(Existing::Refuse), RunError::Exists { .. }));
}
