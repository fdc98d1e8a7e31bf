//! The Hub against a loopback server, and its cache.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::io;
use std::path::Path;

use data_process::event::Silent;
use hf_hub::api::sync::ApiError;

use super::loopback::{COMMIT, LATER, Server, Site};
use super::*;

fn hub(endpoint: &str, cache: &Path) -> Hub {
    Hub { cache: cache.to_owned(), endpoint: endpoint.to_owned(), token: None, offline: false, retries: 2 }
}

fn site() -> Site {
    let weights: Vec<u8> = (0..30_000_u32).map(|n| (n % 251) as u8).collect();
    let files =
        [("config.json", b"{}".to_vec()), ("model.safetensors", weights), ("1_Pooling/config.json", b"{}".to_vec())];
    Site { files: files.into(), ..Site::default() }
}

fn get(hub: &Hub, file: &str) -> Result<PathBuf, HubError> {
    hub.repository("owner/model", None)?.get(file, &Silent)
}

#[test]
fn files_land_in_the_cache_that_python_shares() {
    let (server, folder) = (Server::start(site()), tempfile::tempdir().unwrap());
    let hub = hub(&server.endpoint, folder.path());
    let model = hub.repository("owner/model", None).unwrap();
    assert_eq!(model.commit(), None);
    let weights = model.get("model.safetensors", &Silent).unwrap();
    let repo = folder.path().join("models--owner--model");
    assert_eq!(weights, repo.join("snapshots").join(COMMIT).join("model.safetensors"));
    assert_eq!(fs::read(&weights).unwrap(), site().files["model.safetensors"]);
    assert_eq!(fs::canonicalize(&weights).unwrap().parent().unwrap(), fs::canonicalize(repo.join("blobs")).unwrap());
    assert_eq!(fs::read_to_string(repo.join("refs/main")).unwrap(), COMMIT);
    assert!(model.get("1_Pooling/config.json", &Silent).unwrap().is_file());
    assert_eq!(model.commit().unwrap(), COMMIT);
    let refs = fs::read_dir(repo.join("refs")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(refs.collect::<Vec<_>>(), ["main"], "as Python leaves them");
}

/// The site after main has moved on: everything is other, and there is one file more.
fn moved() -> Site {
    let later = [("config.json", b"later".to_vec()), ("model.safetensors", vec![7; 9]), ("vocab.txt", b"a".to_vec())];
    Site { later: later.into(), ..site() }
}

/// What the files and the commit of a model are, all of one commit.
fn assert_first_commit(model: &Repository) {
    for (file, content) in site().files {
        assert_eq!(fs::read(model.get(file, &Silent).unwrap()).unwrap(), content, "{file}");
    }
    assert!(matches!(model.find("vocab.txt", &Silent).unwrap(), Lookup::Absent), "only the later commit has it");
    assert_eq!(model.commit().unwrap(), COMMIT);
}

#[test]
fn all_files_are_of_the_commit_that_the_cache_holds_though_the_branch_has_moved() {
    let (server, folder) = (Server::start(site()), tempfile::tempdir().unwrap());
    let hub = hub(&server.endpoint, folder.path());
    get(&hub, "config.json").unwrap();
    *server.site.lock().unwrap() = moved();
    assert_first_commit(&hub.repository("owner/model", None).unwrap());
    let later = hub.repository("owner/model", Some(LATER)).unwrap();
    assert_eq!(fs::read(later.get("config.json", &Silent).unwrap()).unwrap(), b"later");
    assert_first_commit(&hub.repository("owner/model", None).unwrap());
}

#[test]
fn a_branch_that_moves_while_files_are_fetched_changes_none() {
    let (server, folder) = (Server::start(site()), tempfile::tempdir().unwrap());
    let model = hub(&server.endpoint, folder.path()).repository("owner/model", None).unwrap();
    model.get("config.json", &Silent).unwrap();
    *server.site.lock().unwrap() = moved();
    // Another process takes the branch's new commit into the cache.
    fs::write(folder.path().join("models--owner--model/refs/main"), LATER).unwrap();
    assert_first_commit(&model);
}

#[test]
fn a_cached_commit_that_the_hub_has_no_more_is_named() {
    let (server, folder) = (Server::start(site()), tempfile::tempdir().unwrap());
    let repo = folder.path().join("models--owner--model");
    fs::create_dir_all(repo.join("refs")).unwrap();
    fs::write(repo.join("refs/main"), "gone").unwrap();
    let error = get(&hub(&server.endpoint, folder.path()), "config.json").unwrap_err();
    assert!(matches!(&error, HubError::NotFound { revision, .. } if revision == "gone"), "{error}");
}

#[test]
fn what_is_cached_needs_no_network_nor_does_what_is_known_to_be_absent() {
    let (server, folder) = (Server::start(site()), tempfile::tempdir().unwrap());
    let online = hub(&server.endpoint, folder.path());
    let vocabulary = |hub: &Hub| hub.repository("owner/model", None).unwrap().find("vocab.txt", &Silent).unwrap();
    get(&online, "config.json").unwrap();
    assert!(matches!(vocabulary(&online), Lookup::Absent));
    let asked = server.requests().len();
    get(&online, "config.json").unwrap();
    assert!(matches!(vocabulary(&online), Lookup::Absent));
    assert_eq!(server.requests().len(), asked, "the second time nothing is asked");
    let offline = Hub { offline: true, ..online };
    get(&offline, "config.json").unwrap();
    assert!(matches!(vocabulary(&offline), Lookup::Absent));
    assert!(matches!(get(&offline, "vocab.txt"), Err(HubError::NotInRepository { .. })));
    let by_commit = offline.repository("owner/model", Some(COMMIT)).unwrap();
    assert!(by_commit.get("config.json", &Silent).unwrap().is_file(), "a commit names itself");
    let weights = by_commit.find("model.safetensors", &Silent).unwrap();
    assert!(matches!(weights, Lookup::Unknown(HubError::Offline { .. })), "neither there nor known to be absent");
    assert!(matches!(get(&offline, "model.safetensors"), Err(HubError::Offline { .. })));
}

#[test]
fn of_several_files_the_first_that_is_there_is_taken() {
    let (server, folder) = (Server::start(site()), tempfile::tempdir().unwrap());
    let online = hub(&server.endpoint, folder.path());
    let first =
        |hub: &Hub, files: &[&str]| hub.repository("owner/model", None).unwrap().find_first(files, &Silent).unwrap();
    assert!(matches!(first(&online, &["a", "config.json"]), Lookup::Found(path) if path.ends_with("config.json")));
    assert!(matches!(first(&online, &["a", "b"]), Lookup::Absent));
    let offline = Hub { offline: true, ..online };
    assert!(matches!(first(&offline, &["a", "b"]), Lookup::Absent), "both were asked for");
    let unknown = first(&offline, &["a", "c", "d"]);
    assert!(matches!(&unknown, Lookup::Unknown(HubError::Offline { file, .. }) if file == "c"), "{unknown:?}");
    assert!(matches!(first(&offline, &["c", "config.json"]), Lookup::Found(_)));
}

#[test]
fn a_download_that_breaks_off_is_taken_up_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(Site { breaks: 2, ..site() });
    let path = get(&hub(&server.endpoint, folder.path()), "model.safetensors").unwrap();
    assert_eq!(fs::read(path).unwrap(), site().files["model.safetensors"]);
    let ranges: Vec<String> = server.requests().into_iter().map(|(_, range)| range).collect();
    assert!(ranges.iter().any(|range| range == "bytes=15000-"), "{ranges:?}");
}

#[test]
fn a_token_is_sent_and_a_refusal_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(Site { token: Some("hf_good"), ..site() });
    let bare = hub(&server.endpoint, folder.path());
    let error = get(&bare, "config.json").unwrap_err();
    assert!(matches!(error, HubError::Refused { status: 401, token: false, .. }), "{error:?}");
    assert!(error.to_string().contains("HF_TOKEN"));
    let wrong = Hub { token: Some("hf_bad".to_owned()), ..bare.clone() };
    assert!(matches!(get(&wrong, "config.json"), Err(HubError::Refused { token: true, .. })));
    get(&Hub { token: Some("hf_good".to_owned()), ..bare }, "config.json").unwrap();
}

#[test]
fn what_is_not_there_is_named() {
    let (server, folder) = (Server::start(site()), tempfile::tempdir().unwrap());
    let hub = hub(&server.endpoint, folder.path());
    let of = |name: &str, revision| hub.repository(name, revision).unwrap().get("config.json", &Silent).unwrap_err();
    assert!(matches!(of("owner/other", None), HubError::NotFound { .. }));
    assert!(matches!(of("owner/model", Some("v9")), HubError::NotFound { .. }));
    assert!(matches!(get(&hub, "spiece.model"), Err(HubError::NotInRepository { .. })));
}

#[test]
fn no_network_and_an_ailing_server_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let closed = "http://127.0.0.1:9";
    assert!(matches!(get(&hub(closed, folder.path()), "config.json"), Err(HubError::Unreachable { .. })));
    let server = Server::start(Site { status: Some(503), ..site() });
    let error = get(&hub(&server.endpoint, folder.path()), "config.json").unwrap_err();
    assert!(matches!(error, HubError::Server { status: 503, .. }), "{error:?}");
}

#[test]
fn a_cached_model_is_usable_when_the_hub_cannot_be_reached() {
    let (server, folder) = (Server::start(site()), tempfile::tempdir().unwrap());
    get(&hub(&server.endpoint, folder.path()), "config.json").unwrap();
    let cut_off = hub("http://127.0.0.1:9", folder.path());
    let model = cut_off.repository("owner/model", None).unwrap();
    let modules = model.find("modules.json", &Silent).unwrap();
    assert!(matches!(modules, Lookup::Unknown(HubError::Unreachable { .. })), "{modules:?}");
    assert!(model.get("config.json", &Silent).is_ok());
}

#[test]
fn damaged_content_is_refused_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(Site { damaged: true, ..site() });
    let hub = hub(&server.endpoint, folder.path());
    for _ in 0..2 {
        assert!(matches!(get(&hub, "model.safetensors"), Err(HubError::Damaged { .. })));
    }
}

#[test]
fn a_cache_with_holes_is_mended_or_named() {
    let (server, folder) = (Server::start(site()), tempfile::tempdir().unwrap());
    let hub = hub(&server.endpoint, folder.path());
    let path = get(&hub, "model.safetensors").unwrap();
    fs::remove_file(fs::canonicalize(&path).unwrap()).unwrap();
    let offline = Hub { offline: true, ..hub.clone() };
    assert!(matches!(get(&offline, "model.safetensors"), Err(HubError::Cache { .. })));
    assert!(get(&hub, "model.safetensors").unwrap().is_file(), "with a network it is fetched again");
    fs::write(fs::canonicalize(&path).unwrap(), b"").unwrap();
    assert!(matches!(get(&hub, "model.safetensors"), Err(HubError::Cache { .. })));
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let (server, folder) = (Server::start(site()), tempfile::tempdir().unwrap());
    let occupied = folder.path().join("file");
    fs::write(&occupied, b"").unwrap();
    let kind_of = |error: io::Error| {
        let remote = hub(&server.endpoint, &occupied).remote("owner/model", "main").unwrap();
        remote.explain(ApiError::IoError(error), "f", false)
    };
    assert!(matches!(kind_of(io::ErrorKind::StorageFull.into()), HubError::DiskFull { .. }));
    assert!(matches!(kind_of(io::ErrorKind::PermissionDenied.into()), HubError::Write { .. }));
    assert!(matches!(kind_of(io::ErrorKind::ConnectionReset.into()), HubError::Unreachable { .. }));
    assert!(matches!(get(&hub(&server.endpoint, &occupied), "config.json"), Err(HubError::Write { .. })));
    let remote = hub(&server.endpoint, folder.path()).remote("owner/model", "main").unwrap();
    assert!(matches!(remote.explain(ApiError::LockAcquisition("x".into()), "f", false), HubError::Locked(_)));
}

#[test]
fn a_folder_stands_for_a_repository() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), b"{}").unwrap();
    let hub = hub("http://127.0.0.1:9", folder.path());
    let model = hub.repository(folder.path().to_str().unwrap(), None).unwrap();
    assert!(model.get("config.json", &Silent).is_ok());
    assert!(matches!(model.get("vocab.txt", &Silent), Err(HubError::NotInFolder { .. })));
    assert_eq!(model.commit(), None);
    assert_eq!(model.given(), [("config.json".to_owned(), folder.path().join("config.json"))].into());
}

#[test]
fn names_that_no_repository_can_have_are_refused() {
    let hub = hub("http://127.0.0.1:9", Path::new("/nowhere"));
    for name in ["./nothing", "/nothing/here", "a/b/c", "~/models"] {
        assert!(matches!(hub.repository(name, None), Err(HubError::NoFolder(_))), "{name}");
    }
    for name in ["", "a b", "a/", "a--b", "-x", "ü"] {
        assert!(matches!(hub.repository(name, None), Err(HubError::Name(_))), "{name}");
    }
    hub.repository("bert-base-uncased", None).unwrap();
}
