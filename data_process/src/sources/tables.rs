//! TAB-separated tables of a fixed number of fields, line by line: what is held is what is kept of them.

use std::path::Path;

use super::lines::{self, Outcome};
use super::{FileReport, SourceError};
use crate::event::Observer;

/// Hands each row of a table of `N` whole numbers, with its line number, to `take`.
pub(super) fn numbers<const N: usize>(
    path: &Path,
    observer: &dyn Observer,
    mut take: impl FnMut(u64, [u32; N]) -> Result<Outcome, SourceError>,
) -> Result<FileReport, SourceError> {
    lines::read(path, observer, |line| match fields(line.text).and_then(whole_numbers) {
        Some(row) => take(line.number, row),
        None => Ok(Outcome::Unreadable("expected whole numbers separated by single TABs")),
    })
}

/// Hands each row of a table of `N` texts, none of them empty, with its line number, to `take`.
pub(super) fn texts<const N: usize>(
    path: &Path,
    observer: &dyn Observer,
    mut take: impl FnMut(u64, [&str; N]) -> Result<Outcome, SourceError>,
) -> Result<FileReport, SourceError> {
    lines::read(path, observer, |line| match fields(line.text) {
        Some(row) => take(line.number, row),
        None => Ok(Outcome::Unreadable("expected fields separated by single TABs, none of them empty")),
    })
}

/// The fields of a line: so many that are not empty, and none after them.
fn fields<const N: usize>(line: &str) -> Option<[&str; N]> {
    let mut fields = line.split('\t');
    let mut row = [""; N];
    for field in &mut row {
        *field = fields.next().filter(|field| !field.is_empty())?;
    }
    fields.all(str::is_empty).then_some(row)
}

fn whole_numbers<const N: usize>(fields: [&str; N]) -> Option<[u32; N]> {
    let mut row = [0; N];
    for (number, field) in row.iter_mut().zip(fields) {
        *number = field.trim_start().parse().ok()?;
    }
    Some(row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Silent;

    fn with_file<T>(content: &[u8], read: impl FnOnce(&Path) -> T) -> T {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table");
        std::fs::write(&path, content).unwrap();
        read(&path)
    }

    fn rows_of_numbers(content: &[u8]) -> Result<(Vec<[u32; 3]>, FileReport), SourceError> {
        let mut rows = Vec::new();
        with_file(content, |path| {
            numbers(path, &Silent, |line, row| {
                assert!(line > 0);
                rows.push(row);
                Ok(Outcome::Kept)
            })
        })
        .map(|report| (rows, report))
    }

    #[test]
    fn rows_keep_their_order_and_their_line_numbers() {
        let content = (0..300_000).map(|row| format!("{row}\t{}\t7\n", row + 1)).collect::<Vec<_>>().concat();
        let mut expected = 0;
        let report = with_file(content.as_bytes(), |path| {
            numbers(path, &Silent, |line, row| {
                assert_eq!((line, row), (expected + 1, [expected as u32, expected as u32 + 1, 7]));
                expected += 1;
                Ok(Outcome::Kept)
            })
        });
        assert_eq!(report.unwrap().lines, 300_000);
    }

    #[test]
    fn fields_beyond_the_last_may_be_empty() {
        let (rows, report) = rows_of_numbers(b"1\t2\t3\t\n1\t 2\t3\n").unwrap();
        assert_eq!((rows, report.unreadable), (vec![[1, 2, 3]; 2], 0));
    }

    #[test]
    fn a_malformed_row_is_counted_with_its_line() {
        for bad in ["1\t2", "1\t2\t3\t4", "1\tb\t3", "", "1\t-2\t3", "1\t2\t4294967296", "1 2 3"] {
            let good = "1\t2\t3\n".repeat(150);
            let (rows, report) = rows_of_numbers(format!("{good}{bad}\n{good}").as_bytes()).unwrap();
            assert_eq!((rows.len(), report.lines, report.unreadable), (300, 301, 1), "{bad:?}");
            assert_eq!(report.first_unreadable[0].line, 151, "{bad:?}");
        }
    }

    #[test]
    fn texts_are_taken_as_they_stand() {
        let content = "a\t\"b\nä ö\t#c\"\n'x'\tNULL".as_bytes();
        let mut rows = Vec::new();
        with_file(content, |path| {
            texts(path, &Silent, |_, [a, b]| {
                rows.push(format!("{a}|{b}"));
                Ok(Outcome::Kept)
            })
        })
        .unwrap();
        assert_eq!(rows, ["a|\"b", "ä ö|#c\"", "'x'|NULL"]);
    }

    #[test]
    fn a_table_of_blank_lines_or_wrong_bytes_is_refused() {
        for content in [&b""[..], b"\n\n\n", b"1\t2\t3\r\n", b"\xEF\xBB\xBF1\t2\t3\n", b"\0\x01\x02", b"a\t\xFF\n"] {
            assert!(rows_of_numbers(content).is_err(), "{content:?}");
        }
    }

    #[test]
    fn an_error_of_the_visitor_ends_the_reading() {
        // At once, before anything after it is looked at.
        let error = with_file(b"1\t2\n\xFF", |path| {
            numbers::<2>(path, &Silent, |_, _| Err(SourceError::Empty { path: path.to_owned() }))
        });
        assert!(matches!(error, Err(SourceError::Empty { .. })));
    }
}
