//! Damaged files, by the hundred: whatever a reader makes of them, it must not panic and must not hand on a pair that
//! contradicts itself. The targets in `fuzz/` do the same without end.

use std::fs;
use std::path::Path;

use rand::prelude::*;
use rand_chacha::ChaCha8Rng;

use super::{Loaded, SourceError, id_files, mmkb, openea, published};
use crate::event::Silent;
use crate::pair::{Graph, GraphPair};

/// Damaged versions tried of each file; `HUMEA_TRIES` asks for more.
fn tries() -> usize {
    std::env::var("HUMEA_TRIES").ok().and_then(|tries| tries.parse().ok()).unwrap_or(150)
}

/// What is put into files: bytes that mean something to a reader, and some that never may.
const BYTES: &[u8] = b"\t\t \n\n\"<>.^@-/0129az\\\r\0\xEF\xBB\xBF\xC3\xFF";

fn damaged(content: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut content = content.to_vec();
    for _ in 0..random.random_range(1..4) {
        let from = random.random_range(0..=content.len());
        let to = (from + random.random_range(0..12)).min(content.len());
        let byte = BYTES[random.random_range(0..BYTES.len())];
        match random.random_range(0..5) {
            0 => content.insert(from, byte),
            1 => drop(content.drain(from..to)),
            2 => content[from..to].fill(byte),
            3 => content.extend_from_within(from..to),
            _ => content.truncate(from),
        }
    }
    content
}

fn damage_each(files: &[(&str, &str)], read: impl Fn(&Path) -> Result<Loaded, SourceError>) {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    for (name, content) in files {
        write(name, content.as_bytes());
    }
    assert_consistent(&read(folder.path()).unwrap().pair);
    let mut refused = 0;
    for (name, content) in files {
        for _ in 0..tries() {
            write(name, &damaged(content.as_bytes(), &mut random));
            match read(folder.path()) {
                Ok(loaded) => assert_consistent(&loaded.pair),
                Err(error) => refused += usize::from(!error.to_string().is_empty()),
            }
        }
        write(name, content.as_bytes());
    }
    assert!(refused > tries(), "most damage should be seen, {refused} were refused");
}

fn assert_consistent(pair: &GraphPair) {
    let within = |number: u32, count: usize| assert!((number as usize) < count);
    let check = |graph: &Graph| {
        for triple in &graph.triples {
            within(triple.head, graph.entities.len());
            within(triple.tail, graph.entities.len());
            within(triple.relation, graph.relations.len());
        }
        for fact in &graph.facts {
            within(fact.entity, graph.entities.len());
            within(fact.attribute, graph.attributes.len());
            fact.datatype.into_iter().chain(fact.lang).for_each(|tag| within(tag, graph.tags.len()));
        }
    };
    check(&pair.left);
    check(&pair.right);
    for &(left, right) in &pair.links {
        within(left, pair.left.entities.len());
        within(right, pair.right.entities.len());
    }
}

#[test]
fn damaged_mmkb_files_are_read_or_refused() {
    damage_each(&mmkb::tests::FILES, |folder| mmkb::read(folder, mmkb::Pair::Fb15kDb15k, &Silent));
}

#[test]
fn damaged_id_files_are_read_or_refused() {
    damage_each(&id_files::tests::FILES, |folder| id_files::read(folder, &Silent));
}

#[test]
fn damaged_openea_files_are_read_or_refused() {
    let files: Vec<_> = openea::FILES.into_iter().zip(openea::tests::CONTENT).collect();
    damage_each(&files, |folder| openea::read(folder, false, &Silent));
}

#[test]
fn damaged_splits_are_read_or_refused() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let folder = tempfile::tempdir().unwrap();
    let uris = ["a", "b", "x", "y"].map(Box::from);
    fs::write(folder.path().join("test_links"), "b\ty\n").unwrap();
    for _ in 0..tries() {
        fs::write(folder.path().join("train_links"), damaged(b"a\tx\n", &mut random)).unwrap();
        if let Ok(split) = published::read(folder.path(), &uris, 2, &[[0, 2], [1, 3]]) {
            assert_eq!((split.train, split.test), (vec![0], vec![1]));
        }
    }
}
