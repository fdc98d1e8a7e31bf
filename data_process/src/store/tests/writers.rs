//! Several writers, writers that are killed, writers without room or rights, and readers with little memory. Each is this
//! test binary, started again with an environment variable that says what to do.

use std::fs;
use std::io::ErrorKind;
use std::num::NonZeroUsize;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rand::{RngExt, SeedableRng};

use super::*;
use crate::store::replace::{Pending, Turn};
use crate::store::{StoreError, convert, merge, put_vectors, split, write};

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
        "no room" | "full disk" | "no rights" => {
            let values = floats(7 * WIDTH * 10);
            let error =
                put_vectors(&path, &[new_vectors("extra", WIDTH * 10, &[0, 1, 2, 3, 4, 5, 6], &values, &about)]);
            let StoreError::Write { source, .. } = error.unwrap_err() else { panic!() };
            let expected = match role.as_str() {
                "no room" => ErrorKind::FileTooLarge,
                "full disk" => ErrorKind::StorageFull,
                _ => ErrorKind::PermissionDenied,
            };
            assert_eq!(source.kind(), expected, "{source}");
        }
        "no sight" => {
            let error = put_vectors(&path, &[new_vectors("extra", 1, &[0], &[1.0], &about)]).unwrap_err();
            assert!(matches!(error, StoreError::Unsettled { .. }), "{error}");
            assert!(!error.to_string().contains("nothing was changed"), "{error}");
        }
        "few files" => {
            let error = Store::open(&path).unwrap_err();
            assert!(matches!(error, StoreError::TooManyFiles { parts: PARTS, .. }), "{error}");
            assert!(error.to_string().contains("ulimit -n"), "{error}");
        }
        "a million columns" => {
            let error = Store::open(&path).unwrap_err();
            assert!(error.to_string().contains("more differences") && error.to_string().len() < 10_000);
        }
        "many vector columns" => {
            let store = Store::open(&path).unwrap();
            assert_eq!(store.vector_columns().len(), MANY);
            assert_eq!(store.vectors("v7").unwrap().as_slice().unwrap(), [7.0]);
            put_vectors(&path, &[new_vectors("v7", 1, &[3], &[8.0], &about)]).unwrap();
            assert_eq!(Store::open(&path).unwrap().vectors("v7").unwrap().as_slice().unwrap(), [8.0]);
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
    command(role, path, "").spawn().unwrap()
}

/// This binary in a role, after `first` was run in its shell.
fn command(role: &str, path: &Path, first: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{first} exec \"$0\" \"$@\"")]);
    command.arg(std::env::current_exe().unwrap());
    command.args(["store::tests::writers::writer_process", "--exact", "--nocapture"]);
    command.env(ROLE, role).env(STORE, path).stdout(Stdio::null()).stderr(Stdio::null());
    command
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

/// A pair of graphs with as many entities as the small one, but other ones.
fn other_pair() -> GraphPair {
    let mut pair = small_pair();
    pair.left.entities = ["p", "q", "r", "s"].into_iter().map(Box::from).collect();
    pair
}

#[test]
fn whoever_writes_a_new_store_waits_for_whoever_changes_the_old_one() {
    let (folder, path) = temporary();
    let (other, parts) = (folder.path().join("other.parquet"), folder.path().join("parts"));
    write(&path, &small_pair(), &[]).unwrap();
    write(&other, &other_pair(), &[]).unwrap();
    split(&other, &parts, 2.try_into().unwrap()).unwrap();
    let writers: [&(dyn Fn() -> Result<(), StoreError> + Sync); 4] =
        [&|| write(&path, &small_pair(), &[]), &|| merge(&parts, &path), &|| convert(&other, &path).map(drop), &|| {
            split(&path, &path, 2.try_into().unwrap())
        }];
    for (number, writer) in writers.into_iter().enumerate() {
        let turn = Turn::take(&path).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(writer);
            std::thread::sleep(Duration::from_millis(100));
            assert!(!waiting.is_finished(), "writer {number} did not wait");
            drop(turn);
            waiting.join().unwrap().unwrap();
        });
    }
}

#[test]
fn vectors_for_the_rows_of_one_store_do_not_get_into_another() {
    let (_folder, path) = temporary();
    let (values, about) = (floats(1), provenance());
    let column = |name| new_vectors(name, 1, &[3], &values, &about);
    for parts in [None, NonZeroUsize::new(2)] {
        write(&path, &small_pair(), &[]).unwrap();
        parts.map_or(Ok(()), |parts| split(&path, &path, parts)).unwrap();
        let opened = Store::open(&path).unwrap();
        put_vectors(&path, &[column("meanwhile")]).unwrap();
        opened.put_vectors(&[column("image")]).unwrap();
        assert_eq!(Store::open(&path).unwrap().vector_columns().len(), 2, "vectors do not make it another store");
        drop(if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) });
        write(&path, &other_pair(), &[]).unwrap();
        let error = opened.put_vectors(&[column("image")]).unwrap_err();
        assert!(matches!(error, StoreError::Replaced { .. }), "{error}");
        assert!(Store::open(&path).unwrap().vector_columns().is_empty());
    }
}

#[cfg(unix)]
#[test]
fn a_link_to_a_store_stays_one() {
    let (folder, path) = temporary();
    let (link, parts) = (folder.path().join("link.parquet"), folder.path().join("parts"));
    let (values, about) = (floats(1), provenance());
    let image = new_vectors("image", 1, &[3], &values, &about);
    write(&path, &small_pair(), &[]).unwrap();
    split(&path, &parts, 2.try_into().unwrap()).unwrap();
    for target in [&path, &parts] {
        std::os::unix::fs::symlink(target, &link).unwrap();
        put_vectors(&link, &[image]).unwrap();
        assert_eq!(fs::read_link(&link).unwrap(), *target);
        assert_eq!(Store::open(target).unwrap().vector_columns().len(), 1);
        fs::remove_file(&link).unwrap();
    }
    std::os::unix::fs::symlink(&path, &link).unwrap();
    write(&link, &other_pair(), &[]).unwrap();
    assert_eq!(fs::read_link(&link).unwrap(), path);
    assert_eq!(Store::open(&path).unwrap().uris().unwrap()[0].as_ref(), "p");
}

#[test]
fn a_store_moved_in_place_of_the_locked_one_stays() {
    let (folder, path) = temporary();
    let other = folder.path().join("other.parquet");
    write(&path, &small_pair(), &[]).unwrap();
    write(&other, &other_pair(), &[]).unwrap();
    let pending = Pending::new(Turn::take(&path).unwrap()).unwrap();
    fs::rename(&other, &path).unwrap();
    assert!(matches!(pending.publish(), Err(StoreError::Replaced { .. })));
    assert_eq!(Store::open(&path).unwrap().uris().unwrap()[0].as_ref(), "p");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
}

#[test]
fn a_folder_that_holds_more_than_parts_is_not_replaced() {
    let (_folder, path) = temporary();
    let (values, about) = (floats(1), provenance());
    write(&path, &small_pair(), &[]).unwrap();
    split(&path, &path, 2.try_into().unwrap()).unwrap();
    fs::write(path.join("README"), "ours").unwrap();
    let put = put_vectors(&path, &[new_vectors("image", 1, &[3], &values, &about)]).unwrap_err();
    let anew = split(&path, &path, 3.try_into().unwrap()).unwrap_err();
    for error in [put, anew] {
        assert!(matches!(&error, StoreError::NotParts { others, .. } if others == &["README"]), "{error}");
    }
    assert_eq!(fs::read_to_string(path.join("README")).unwrap(), "ours");
    assert_eq!(Store::open(&path).unwrap().parts().len(), 2);
}

#[cfg(unix)]
#[test]
fn a_folder_and_its_parts_keep_their_rights() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, path) = temporary();
    let (values, about) = (floats(1), provenance());
    write(&path, &small_pair(), &[]).unwrap();
    split(&path, &path, 2.try_into().unwrap()).unwrap();
    let part = path.join("part-00001.parquet");
    let rights = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
    fs::set_permissions(&part, fs::Permissions::from_mode(0o640)).unwrap();
    put_vectors(&path, &[new_vectors("image", 1, &[3], &values, &about)]).unwrap();
    assert_eq!((rights(&path), rights(&part)), (0o750, 0o640));
}

#[test]
fn without_room_the_old_store_stays_and_nothing_else() {
    let (folder, path) = temporary();
    write(&path, &small_pair(), &[]).unwrap();
    let before = fs::read(&path).unwrap();
    // Files may have 64 blocks; a write beyond that fails.
    let status = command("no room", &path, "trap '' XFSZ; ulimit -f 64;").status().unwrap();
    assert!(status.success());
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn on_a_full_disk_the_old_store_stays_and_nothing_else() {
    let (folder, path) = temporary();
    write(&path, &small_pair(), &[]).unwrap();
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    // A disk of 128 KiB, seen by the shell and what it starts only.
    let script = "mount -t tmpfs -o size=128k none \"$DISK\" || exit 42; cp \"$FROM\" \"$DISK/pair.parquet\"; \"$0\" \"$@\" || exit 1; \
                  cmp \"$FROM\" \"$DISK/pair.parquet\" || exit 2; [ $(ls -A \"$DISK\" | wc -l) = 1 ] || exit 3; exit 0;";
    let inner = command("full disk", &disk.join("pair.parquet"), script);
    let mut outer = Command::new("unshare");
    outer.arg("-rm").arg(inner.get_program()).args(inner.get_args());
    outer.envs(inner.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let outcome = outer.env("DISK", &disk).env("FROM", &path).stdout(Stdio::null()).stderr(Stdio::null()).status();
    match outcome.ok().and_then(|status| status.code()) {
        Some(0) => {}
        Some(code @ 2..=3) => panic!("the old store did not stay as it was ({code})"),
        None | Some(42 | 126 | 127) => println!("skipped: no disk can be mounted here"),
        // `unshare` ends with 1 where it may not, and so does the writer when it fails: only the first is a reason to skip.
        Some(_) => {
            let may = Command::new("unshare").args(["-rm", "true"]).stderr(Stdio::null()).status();
            assert!(!may.is_ok_and(|status| status.success()), "the writer gave another error");
            println!("skipped: no namespaces here");
        }
    }
}

/// Runs a role where the store's folder has these rights; its exit code, or none if that cannot be tried here.
#[cfg(unix)]
fn with_rights(role: &str, rights: u32, path: &Path) -> Option<i32> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;

    let folder = path.parent().unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(rights)).unwrap();
    let mut child = command(role, path, "");
    if fs::metadata(path).unwrap().uid() == 0 {
        // Nothing is forbidden to root; 65534 is `nobody`, who must be able to start this binary.
        child.uid(65534);
    }
    let code = child.status().unwrap().code();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    if code == Some(126) || code == Some(127) {
        println!("skipped: this test runs as root, and nobody else may run its binary");
        return None;
    }
    code
}

#[cfg(unix)]
#[test]
fn a_folder_that_may_only_be_read_stays_as_it_is() {
    let (folder, path) = temporary();
    write(&path, &small_pair(), &[]).unwrap();
    let before = fs::read(&path).unwrap();
    if let Some(code) = with_rights("no rights", 0o555, &path) {
        assert_eq!(code, 0);
        assert_eq!(fs::read(&path).unwrap(), before);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_synced_holds_the_new_store_nonetheless() {
    let (_folder, path) = temporary();
    write(&path, &small_pair(), &[]).unwrap();
    if let Some(code) = with_rights("no sight", 0o333, &path) {
        assert_eq!(code, 0);
        assert_eq!(column(&path, "extra"), (vec![0], vec![1.0]));
    }
}

/// Seconds of CPU and kilobytes of memory that a reader may take.
const BOUNDS: &str = "ulimit -t 20; ulimit -v 4000000;";

#[test]
fn a_million_columns_are_refused_within_bounds() {
    let (_folder, path) = temporary();
    super::footers::many_columns(&path, 1_000_000);
    assert!(command("a million columns", &path, BOUNDS).status().unwrap().success());
}

/// More parts than a process may open files where it may open sixty.
const PARTS: usize = 80;

#[cfg(unix)]
#[test]
fn more_parts_than_files_may_be_open_are_named_as_what_they_are() {
    let (_folder, path) = temporary();
    let mut pair = small_pair();
    pair.left.labels.clear();
    pair.left.entities.extend((0..PARTS).map(|number| format!("e{number}").into_boxed_str()));
    pair.links.clear();
    write(&path, &pair, &[]).unwrap();
    let parts = path.with_extension("parts");
    split(&path, &parts, NonZeroUsize::new(PARTS).unwrap()).unwrap();
    let made = Store::open(&parts).unwrap().parts().len();
    for number in made..PARTS {
        fs::copy(parts.join("part-00000.parquet"), parts.join(format!("part-{number:05}.parquet"))).unwrap();
    }
    // At whichever call the limit is met: opening a part, or looking at it once more for its footer.
    for limit in [60, 61] {
        let first = format!("ulimit -n {limit};");
        assert!(command("few files", &parts, &first).status().unwrap().success(), "{limit}");
    }
}

/// Vector columns of a store that is legal and unusual.
const MANY: usize = 30_000;

#[test]
fn very_many_vector_columns_take_no_longer_than_they_must() {
    let (_folder, path) = temporary();
    let about = Provenance::default();
    let names: Vec<String> = (0..MANY).map(|number| format!("v{number}")).collect();
    let values: Vec<f32> = (0..MANY).map(|number| number as f32).collect();
    let columns: Vec<_> =
        names.iter().zip(values.chunks(1)).map(|(name, value)| new_vectors(name, 1, &[3], value, &about)).collect();
    write(&path, &small_pair(), &columns).unwrap();
    assert!(command("many vector columns", &path, BOUNDS).status().unwrap().success());
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
