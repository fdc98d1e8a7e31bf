use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use tempfile::TempDir;

use super::*;
use crate::event::{Notes, Silent};

/// How a server on loopback answers one request.
#[derive(Clone, Debug)]
enum Answer {
    /// The whole content, or the rest of it where a range is asked for.
    Whole,
    /// A promise of the whole content, and only so many bytes of it.
    CutAfter(usize),
    /// So many bytes, then nothing, with the connection left open.
    StandStillAfter(usize),
    /// The whole content, whatever range is asked for.
    NoRanges,
    /// A status line without content.
    Status(&'static str),
    /// A promise of so many bytes.
    Promise(u64),
}

const CONTENT: &[u8] = b"/m/01 /r /m/02 .\n/m/02 /r /m/01 .\n";

/// Serves [`CONTENT`] to one request after another, each answered as told; gives the address and the request heads.
fn serve(answers: Vec<Answer>) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (heads, seen) = channel();
    thread::spawn(move || {
        for answer in answers {
            let (stream, _) = listener.accept().unwrap();
            let head = head_of(&stream);
            if heads.send(head.clone()).is_err() {
                return;
            }
            // The client may hang up first; that is its right.
            let _ = reply(stream, &head, &answer);
        }
    });
    (address, seen)
}

fn head_of(stream: &TcpStream) -> String {
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join("\n").to_lowercase()
}

fn reply(mut stream: TcpStream, head: &str, answer: &Answer) -> io::Result<()> {
    let asked = head.split_once("range: bytes=").and_then(|(_, range)| range.split_once('-')?.0.parse().ok());
    let from: usize = asked.filter(|_| !matches!(answer, Answer::NoRanges)).unwrap_or(0);
    let rest = &CONTENT[from..];
    let (length, sent) = match *answer {
        Answer::Whole | Answer::NoRanges => (rest.len() as u64, rest.len()),
        Answer::CutAfter(bytes) | Answer::StandStillAfter(bytes) => (rest.len() as u64, bytes.min(rest.len())),
        Answer::Status(_) => (0, 0),
        Answer::Promise(length) => (length, 0),
    };
    let status = match answer {
        Answer::Status(status) => (*status).to_owned(),
        _ if from > 0 => {
            let (last, all) = (CONTENT.len() - 1, CONTENT.len());
            format!("206 Partial Content\r\nContent-Range: bytes {from}-{last}/{all}")
        }
        _ => "200 OK".to_owned(),
    };
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
    stream.write_all(&rest[..sent])?;
    if matches!(answer, Answer::StandStillAfter(_)) {
        thread::sleep(Duration::from_secs(5));
    }
    Ok(())
}

fn client(observer: &dyn Observer) -> Client<'_> {
    let patience = Duration::from_millis(800);
    Client { agent: agent(patience, None), patience, observer }
}

/// Where [`fetched`] puts the file.
fn target_in(folder: &TempDir) -> PathBuf {
    folder.path().join("FB15K/triples.txt")
}

/// Fetches the target from a server that answers so: the outcome, and the heads of the requests.
fn fetched(folder: &TempDir, answers: &[Answer], hash: &str) -> (Result<(), DownloadError>, Vec<String>) {
    let (address, seen) = serve(answers.to_vec());
    let outcome = client(&Silent).fetch_one(&format!("{address}/triples.txt"), &target_in(folder), hash);
    (outcome, seen.try_iter().collect())
}

fn leave_part(folder: &TempDir, content: &[u8]) {
    let target = target_in(folder);
    fs::create_dir_all(target.parent().unwrap()).unwrap();
    fs::write(part_of(&target), content).unwrap();
}

fn content_hash() -> String {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("x"), CONTENT).unwrap();
    blob_hash(&folder.path().join("x")).unwrap()
}

#[test]
fn the_hash_is_the_one_git_gives() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    fs::write(&path, "hello\n").unwrap();
    assert_eq!(blob_hash(&path).unwrap(), "ce013625030ba8dba906f756967f9e9ca394464a");
}

#[test]
fn every_file_of_a_pair_is_among_the_published_ones() {
    for file in Pair::ALL.into_iter().flat_map(Pair::files) {
        assert!(PUBLISHED.iter().any(|(name, _)| *name == file), "{file}");
    }
    assert!(PUBLISHED.iter().all(|(_, hash)| hash.len() == 40));
}

#[test]
fn a_file_is_fetched_and_no_part_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let (outcome, heads) = fetched(&folder, &[Answer::Whole], &content_hash());
    outcome.unwrap();
    assert_eq!(fs::read(target_in(&folder)).unwrap(), CONTENT);
    assert!(!part_of(&target_in(&folder)).exists());
    assert!(heads[0].starts_with("get /triples.txt") && !heads[0].contains("range:"), "{heads:?}");
}

#[test]
fn a_broken_connection_is_taken_up_where_it_broke() {
    let folder = tempfile::tempdir().unwrap();
    let (outcome, heads) = fetched(&folder, &[Answer::CutAfter(10), Answer::Whole], &content_hash());
    outcome.unwrap();
    assert_eq!(fs::read(target_in(&folder)).unwrap(), CONTENT);
    assert!(heads[1].contains("range: bytes=10-"), "{heads:?}");
}

#[test]
fn a_part_of_an_earlier_run_is_continued() {
    for answer in [Answer::Whole, Answer::NoRanges] {
        let folder = tempfile::tempdir().unwrap();
        leave_part(&folder, &CONTENT[..7]);
        let (outcome, heads) = fetched(&folder, &[answer], &content_hash());
        outcome.unwrap();
        assert_eq!(fs::read(target_in(&folder)).unwrap(), CONTENT);
        assert!(heads[0].contains("range: bytes=7-"), "{heads:?}");
    }
}

#[test]
fn a_part_that_is_whole_already_only_needs_its_hash() {
    let folder = tempfile::tempdir().unwrap();
    leave_part(&folder, CONTENT);
    let (outcome, _) = fetched(&folder, &[Answer::Status("416 Range Not Satisfiable")], &content_hash());
    outcome.unwrap();
    assert_eq!(fs::read(target_in(&folder)).unwrap(), CONTENT);
}

#[test]
fn a_server_that_cuts_each_answer_short_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let error = fetched(&folder, &vec![Answer::CutAfter(0); 3], &content_hash()).0.unwrap_err();
    assert!(matches!(error, DownloadError::Truncated { expected: 34, received: 0, .. }), "{error}");
    assert!(!target_in(&folder).exists());
}

#[test]
fn a_connection_that_stands_still_is_given_up_and_keeps_what_came() {
    let folder = tempfile::tempdir().unwrap();
    let error = fetched(&folder, &[Answer::StandStillAfter(5)], &content_hash()).0.unwrap_err();
    assert!(matches!(error, DownloadError::Stalled { received: 5, .. }), "{error}");
    assert_eq!(error.kind(), Kind::Network);
    assert_eq!(fs::read(part_of(&target_in(&folder))).unwrap(), &CONTENT[..5]);
}

#[test]
fn a_wrong_file_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let error = fetched(&folder, &[Answer::Whole], "0000").0.unwrap_err();
    assert!(matches!(&error, DownloadError::WrongHash { found, .. } if *found == content_hash()), "{error}");
    assert!(!target_in(&folder).exists() && !part_of(&target_in(&folder)).exists());
}

#[test]
fn a_missing_file_and_a_giant_one_are_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let error = fetched(&folder, &[Answer::Status("404 Not Found")], "").0.unwrap_err();
    assert!(matches!(error, DownloadError::Status { status: 404, .. }), "{error}");
    let error = fetched(&folder, &[Answer::Promise(LARGEST + 1)], "").0.unwrap_err();
    assert!(matches!(error, DownloadError::TooLarge { .. }), "{error}");
    assert!(!target_in(&folder).exists() && !part_of(&target_in(&folder)).exists());
}

#[test]
fn a_server_that_is_not_there_is_a_connection_error() {
    let folder = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = client(&Silent).fetch_one(&format!("http://127.0.0.1:{port}/x"), &target_in(&folder), "").unwrap_err();
    assert!(matches!(error, DownloadError::Connection { .. }), "{error}");
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("FB15K"), "").unwrap();
    let error = fetched(&folder, &[], "").0.unwrap_err();
    assert!(matches!(error, DownloadError::Write { .. }), "{error}");
    assert_eq!(error.kind(), Kind::Output);
}

#[test]
fn a_stopped_observer_stops_the_fetching() {
    struct Stop;
    impl Observer for Stop {
        fn on(&self, _event: Event<'_>) {}
        fn stopped(&self) -> bool {
            true
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let (address, _seen) = serve(vec![Answer::Whole]);
    let error = client(&Stop).fetch_one(&format!("{address}/x"), &target_in(&folder), "").unwrap_err();
    assert_eq!(error.kind(), Kind::Interrupted);
}

#[test]
fn a_proxy_is_asked_instead_of_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let (proxy, seen) = serve(vec![Answer::Status("403 Forbidden"); 3]);
    let patience = Duration::from_secs(2);
    let agent = agent(patience, Some(ureq::Proxy::new(&proxy).unwrap()));
    let client = Client { agent, patience, observer: &Silent };
    client.fetch_one("http://nowhere.invalid/x", &target_in(&folder), "").unwrap_err();
    assert!(seen.recv().unwrap().contains("nowhere.invalid"));
}

#[test]
fn files_that_are_there_are_left_alone_and_a_different_one_is_noted() {
    let folder = tempfile::tempdir().unwrap();
    for (name, _) in PUBLISHED {
        let target = folder.path().join(name);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::write(target, "mine").unwrap();
    }
    let notes = Notes::default();
    client(&notes).fetch_all(folder.path(), Pair::Fb15kDb15k, "http://nowhere.invalid").unwrap();
    let notes = notes.into_lines();
    assert_eq!(notes.len(), 7, "{notes:?}");
    assert!(notes[0].contains("FB15K_EntityTriples.txt is not the published file"), "{notes:?}");
}
