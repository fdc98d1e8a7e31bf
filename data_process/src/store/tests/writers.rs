//! Several writers, writers that are killed, and writers without room. A writer is this test binary, started again with
//! an environment variable that says what to do.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rand::{RngExt, SeedableRng};

use super::*;
use crate::store::{StoreError, put_vectors, split, write};

const ROLE: &str = "HUMEA_TEST_WRITER";
const STORE: &str = "HUMEA_TEST_STORE";
const WIDTH: usize = 2000;

/// Not a test: what the processes started by the tests do.
#[test]
fn writer_process() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let path = PathBuf::from(std::env::var_os(STORE).unwrap());
    let about = provenance();
    match role.as_str() {
        "killed" => loop {
            let values = floats(7 * WIDTH);
            put_vectors(&path, &[new_vectors("extra", WIDTH, &[0, 1, 2, 3, 4, 5, 6], &values, &about)]).unwrap();
        },
        "no room" => {
            let values = floats(7 * WIDTH * 10);
            let error =
                put_vectors(&path, &[new_vectors("extra", WIDTH * 10, &[0, 1, 2, 3, 4, 5, 6], &values, &about)]);
            let error = error.unwrap_err();
            assert!(matches!(error, StoreError::Write { .. }), "{error}");
        }
        name => {
            for round in 0..5 {
                let values = vec![round as f32; 7];
                let column = format!("{name}{round}");
                put_vectors(&path, &[new_vectors(&column, 1, &[0, 1, 2, 3, 4, 5, 6], &values, &about)]).unwrap();
            }
        }
    }
}

fn start(role: &str, path: &Path) -> Child {
    // For "no room", files may have 64 blocks; a write beyond that fails, as on a full disk.
    let limits = if role == "no room" { "trap '' XFSZ; ulimit -f 64; " } else { "" };
    Command::new("sh")
        .args(["-c", &format!("{limits}exec \"$0\" \"$@\"")])
        .arg(std::env::current_exe().unwrap())
        .args(["store::tests::writers::writer_process", "--exact", "--nocapture"])
        .env(ROLE, role)
        .env(STORE, path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn kill_at_random(path: &Path, times: usize) {
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(times as u64);
    let before = Store::open(path).unwrap().uris().unwrap();
    for _ in 0..times {
        let mut child = start("killed", path);
        std::thread::sleep(Duration::from_millis(random.random_range(15..120)));
        child.kill().unwrap();
        child.wait().unwrap();
        let store = Store::open(path).unwrap();
        assert_eq!(store.uris().unwrap(), before);
        assert!(store.validate().unwrap().is_empty());
    }
    // The next writer removes what the killed ones left.
    let about = provenance();
    put_vectors(path, &[new_vectors("last", 1, &[0], &[1.0], &about)]).unwrap();
    let left = fs::read_dir(path.parent().unwrap()).unwrap().count();
    assert_eq!(left, 1, "only the store is left");
}

#[test]
fn a_writer_killed_at_any_instant_leaves_the_old_store_or_the_new_one() {
    let (_folder, path) = temporary();
    write(&path, &small_pair(), &[]).unwrap();
    kill_at_random(&path, 60);
}

#[test]
fn a_writer_of_parts_killed_at_any_instant_leaves_the_old_parts_or_the_new_ones() {
    let (_folder, path) = temporary();
    write(&path, &small_pair(), &[]).unwrap();
    split(&path, &path, 3.try_into().unwrap()).unwrap();
    kill_at_random(&path, 40);
}

#[test]
fn two_processes_add_columns_at_once_and_all_of_them_are_there() {
    let (_folder, path) = temporary();
    write(&path, &small_pair(), &[]).unwrap();
    let children = ["a", "b", "c"].map(|name| start(name, &path));
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let store = Store::open(&path).unwrap();
    let mut names: Vec<&str> = store.vector_columns().iter().map(|column| column.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["a0", "a1", "a2", "a3", "a4", "b0", "b1", "b2", "b3", "b4", "c0", "c1", "c2", "c3", "c4"]);
}

#[test]
fn without_room_the_old_store_stays_and_nothing_else() {
    let (folder, path) = temporary();
    write(&path, &small_pair(), &[]).unwrap();
    let before = fs::read(&path).unwrap();
    assert!(start("no room", &path).wait().unwrap().success());
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn an_open_store_stays_what_it_was() {
    let (_folder, path) = temporary();
    let (values, about) = (floats(7), provenance());
    let all = [0, 1, 2, 3, 4, 5, 6];
    write(&path, &small_pair(), &[new_vectors("image", 1, &all, &values, &about)]).unwrap();
    let store = Store::open(&path).unwrap();
    let vectors = store.vectors("image").unwrap();
    put_vectors(&path, &[new_vectors("image", 1, &all, &[0.0; 7], &about)]).unwrap();
    assert_eq!(vectors.as_slice().unwrap(), values);
    assert_eq!(store.vectors("image").unwrap().as_slice().unwrap(), values);
}
