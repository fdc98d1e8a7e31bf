use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::event::Silent;
use crate::fault::{Fault, Kind};

/// The lines of a file of such content, or why it is refused.
fn lines_of(content: &[u8]) -> Result<Vec<String>, SourceError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lines.txt");
    std::fs::write(&path, content).unwrap();
    let mut found = Vec::new();
    read(&path, &Silent, |line| {
        assert_eq!(line.number as usize, found.len() + 1);
        found.push(line.text.to_owned());
        Ok(Outcome::Kept)
    })?;
    Ok(found)
}

/// Endless `x`, and how much of it was taken.
struct Endless(u64);

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        buffer.fill(b'x');
        self.0 += buffer.len() as u64;
        Ok(buffer.len())
    }
}

#[test]
fn lines_are_found_with_and_without_a_last_line_end() {
    assert_eq!(lines_of(b"a\n\nb").unwrap(), ["a", "", "b"]);
    assert_eq!(lines_of("ä\nb\n".as_bytes()).unwrap(), ["ä", "b"]);
}

#[test]
fn lines_longer_than_a_block_are_whole() {
    let long = "é".repeat(BLOCK);
    assert_eq!(lines_of(format!("{long}\nb\n{long}").as_bytes()).unwrap(), [&long, "b", &long]);
}

#[test]
fn a_line_of_a_gigabyte_is_refused_after_a_megabyte() {
    let mut lines = Lines::new(Path::new("giant"), Endless(0).take(1 << 30));
    let error = lines.next().unwrap_err();
    assert!(matches!(error, SourceError::LongLine { line: 1, limit: LONGEST_LINE, .. }), "{error}");
    assert!(lines.buffer.capacity() <= LONGEST_LINE + 4 * BLOCK, "{} bytes", lines.buffer.capacity());
    assert!(lines.source.get_ref().0 <= (LONGEST_LINE + 2 * BLOCK) as u64);
}

#[test]
fn each_kind_of_wrong_bytes_has_its_error() {
    let refused = |content: &[u8]| lines_of(content).unwrap_err();
    assert!(matches!(refused(b""), SourceError::Empty { .. }));
    assert!(matches!(refused(b"a\r\nb\r\n"), SourceError::CarriageReturn { line: 1, .. }));
    assert!(matches!(refused(b"\xEF\xBB\xBFa\n"), SourceError::ByteOrderMark { encoding: "UTF-8", .. }));
    assert!(matches!(refused(b"\xFF\xFEa\0\n\0"), SourceError::ByteOrderMark { encoding: "UTF-16", .. }));
    assert!(matches!(refused(b"a\nb\xC3(\n"), SourceError::NotUtf8 { line: 2, byte: 2, .. }));
    assert!(matches!(refused(b"a\nb\nc\0d\n"), SourceError::Binary { line: 3, .. }));
}

#[test]
fn compressed_files_are_expanded_and_the_bytes_of_the_file_are_counted() {
    struct Total(AtomicU64);
    impl Observer for Total {
        fn on(&self, event: Event<'_>) {
            if let Event::Advanced(bytes) = event {
                self.0.fetch_add(bytes, Ordering::Relaxed);
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lines.gz");
    let mut file = flate2::write::GzEncoder::new(File::create(&path).unwrap(), flate2::Compression::default());
    file.write_all(&b"same\n".repeat(1000)).unwrap();
    file.finish().unwrap();
    let total = Total(AtomicU64::new(0));
    assert_eq!(read(&path, &total, |_| Ok(Outcome::Kept)).unwrap().lines, 1000);
    assert_eq!(total.0.into_inner(), path.metadata().unwrap().len());
}

#[test]
fn a_compressed_file_cut_short_or_that_expands_without_end_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb.gz");
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    bomb.write_all(&vec![b' '; 64 << 20]).unwrap();
    let bomb = bomb.finish().unwrap();
    std::fs::write(&path, &bomb).unwrap();
    let error = read(&path, &Silent, |_| Ok(Outcome::Kept)).unwrap_err();
    assert!(matches!(error, SourceError::LongLine { line: 1, .. }), "{error}");
    std::fs::write(&path, &bomb[..10]).unwrap();
    let error = read(&path, &Silent, |_| Ok(Outcome::Kept)).unwrap_err();
    assert!(matches!(error, SourceError::Packed { .. }), "{error}");
    assert_eq!(error.kind(), Kind::Data);
}

#[test]
fn one_bad_line_in_a_hundred_is_counted_and_more_are_refused() {
    let report = |bad: usize| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines.txt");
        std::fs::write(&path, [&b"good\n".repeat(200 - bad)[..], &b"bad\n".repeat(bad)].concat()).unwrap();
        read(&path, &Silent, |line| Ok(if line.text == "bad" { Outcome::Unreadable("bad") } else { Outcome::Kept }))
    };
    let fine = report(2).unwrap();
    assert_eq!((fine.lines, fine.unreadable, fine.first_unreadable[0].line), (200, 2, 199));
    let error = report(5).unwrap_err();
    assert!(matches!(&error, SourceError::TooManyUnreadable { report } if report.first_unreadable.len() == 3));
    assert!(error.to_string().contains("lines.txt:196: bad"), "{error}");
}

#[test]
fn a_stopped_observer_stops_the_reading() {
    struct Stop;
    impl Observer for Stop {
        fn on(&self, _event: Event<'_>) {}
        fn stopped(&self) -> bool {
            true
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lines.txt");
    std::fs::write(&path, "\n".repeat(1 << 17)).unwrap();
    let error = read(&path, &Stop, |_| Ok(Outcome::Kept)).unwrap_err();
    assert_eq!(error.kind(), Kind::Interrupted);
}
