//! `humea prep` on small folders: what it prints, what it refuses, and that a refusal leaves nothing behind.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use data_process::store::Store;
use tempfile::TempDir;

use crate::humea;

/// A pair of MMKB in small.
const MMKB: [(&str, &str); 5] = [
    ("FB15K/FB15K_EntityTriples.txt", "/m/02 /people/person/place_of_birth /m/01 .\n"),
    ("FB15K/FB15K_NumericalTriples.txt", "/m/01\t<http://f/area>\t15763.18\n"),
    (
        "DB15K/DB15K_EntityTriples.txt",
        "<http://d/P> <http://d/in> <http://d/A> .\n<http://d/P> <http://d/in> <http://d/A> .\n",
    ),
    ("DB15K/DB15K_NumericalTriples.txt", "<http://d/P>\t<http://d/birthDate>\t-427-0-0\n"),
    ("DB15K/DB15K_SameAsLink.txt", "/m/02 <SameAs> <http://d/P> .\n"),
];

/// A folder with raw files of MMKB in `raw`, one of them replaced.
fn mmkb(replaced: Option<(&str, &[u8])>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in MMKB {
        let path = folder.path().join("raw").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let content = replaced.filter(|(other, _)| *other == name).map_or(content.as_bytes(), |(_, content)| content);
        fs::write(path, content).unwrap();
    }
    folder
}

/// Runs `humea prep mmkb` there, with further arguments: the exit code, and what it says.
fn prep(folder: &TempDir, further: &[&str]) -> (i32, String) {
    let (raw, out) = (folder.path().join("raw"), store(folder));
    let paths = ["--raw", raw.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let output = humea(&[&["prep", "mmkb"], &paths[..], further].concat()).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

fn store(folder: &TempDir) -> PathBuf {
    folder.path().join("made/here/pair.parquet")
}

fn files_in(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

#[test]
fn a_store_is_written_with_a_summary() {
    let folder = mmkb(None);
    let (code, said) = prep(&folder, &[]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("FB15K") && said.contains("1 links") && said.contains("2 lines, 1 repeated"), "{said}");
    let store = Store::open(&store(&folder)).unwrap();
    assert_eq!(store.uris().unwrap().join(" "), "/m/01 /m/02 <http://d/A> <http://d/P>");
    assert_eq!(store.structure().unwrap().links, [[1, 3]]);
}

#[test]
fn an_existing_store_is_replaced_only_with_force() {
    let folder = mmkb(None);
    assert_eq!(prep(&folder, &[]).0, 0);
    let (code, said) = prep(&folder, &[]);
    assert!(code == 8 && said.contains("--force"), "{code}: {said}");
    assert_eq!(prep(&folder, &["--force"]).0, 0);
}

#[test]
fn every_missing_file_is_named_and_where_it_is_published() {
    let folder = tempfile::tempdir().unwrap();
    let (code, said) = prep(&folder, &[]);
    assert_eq!(code, 3, "{said}");
    assert!(MMKB.iter().all(|(name, _)| said.contains(name)) && said.contains("mniepert/mmkb"), "{said}");
}

#[test]
fn wrong_content_is_named_by_file_and_leaves_no_store() {
    let links = MMKB[4].0;
    let wrong: [(&str, &[u8]); 5] = [
        (MMKB[0].0, b""),
        (MMKB[0].0, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
        (MMKB[2].0, b"not a triple\n"),
        (links, b"/m/02 <SameAs> <http://d/Nobody> .\n"),
        (links, b"/m/02 <SameAs> <http://d/P> .\r\n"),
    ];
    for (name, content) in wrong {
        let folder = mmkb(Some((name, content)));
        let (code, said) = prep(&folder, &[]);
        assert!(code == 4 && said.contains(name), "{code}: {said}");
        assert!(said.lines().filter(|line| line.starts_with("error: ")).count() == 1, "{said}");
        assert_eq!(files_in(store(&folder).parent().unwrap()), 0);
    }
}

#[test]
fn a_pair_that_is_not_there_is_a_usage_error() {
    let (code, said) = prep(&mmkb(None), &["--pair", "fb15k-wd15k"]);
    assert!(code == 2 && said.contains("fb15k-yago15k"), "{code}: {said}");
}

#[test]
fn a_mirror_that_does_not_answer_is_a_network_error() {
    let folder = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (raw, out) = (folder.path().join("raw"), store(&folder));
    let mut command = humea(&["prep", "mmkb", "--download"]);
    command.arg("--raw").arg(&raw).arg("--out").arg(&out).env("HUMEA_MMKB_URL", format!("http://127.0.0.1:{port}"));
    for proxy in ["all_proxy", "http_proxy", "https_proxy", "ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY"] {
        command.env_remove(proxy);
    }
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!out.exists());
}

#[test]
fn the_reference_pair_keeps_the_ids_of_its_files() {
    let raw = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/trajectory/raw/FB15K_TOY");
    let folder = tempfile::tempdir().unwrap();
    let out = store(&folder);
    humea(&["prep", "id-files", raw.to_str().unwrap(), "--out", out.to_str().unwrap()]).assert().success();
    let store = Store::open(&out).unwrap();
    let uris = store.uris().unwrap();
    let written = ["ent_ids_1", "ent_ids_2"].map(|name| fs::read_to_string(raw.join(name)).unwrap()).concat();
    for line in written.lines() {
        let (id, uri) = line.split_once('\t').unwrap();
        assert_eq!(*uris[id.parse::<usize>().unwrap()], *uri);
    }
    let links = fs::read_to_string(raw.join("ill_ent_ids")).unwrap();
    let stored = store.structure().unwrap().links;
    let stored: Vec<String> = stored.iter().map(|[left, right]| format!("{left}\t{right}")).collect();
    assert_eq!(stored, links.lines().collect::<Vec<_>>());
}
