//! TAB-separated tables of a fixed number of fields, through Polars' CSV reader: the one file that knows Polars.
//!
//! The bytes are checked first (see [`lines`]), so that a wrong encoding or a giant line is named instead of read.

use std::path::Path;

use polars::prelude::{
    CsvParseOptions, CsvReadOptions, DataFrame, DataType, Field, PlSmallStr, PolarsResult, Schema, SerReader,
};

use super::lines::{self, Outcome};
use super::{FileReport, SourceError};
use crate::event::Observer;

/// Hands each row of a table of `N` whole numbers, with its line number, to `take`.
pub(super) fn numbers<const N: usize>(
    path: &Path,
    observer: &dyn Observer,
    mut take: impl FnMut(u64, [u32; N]) -> Result<Outcome, SourceError>,
) -> Result<FileReport, SourceError> {
    let table = Table::read(path, DataType::UInt32, N, observer)?;
    let columns = table.columns(|frame, name| Ok(frame.column(name)?.u32()?.iter().collect::<Vec<_>>()))?;
    table.tally("expected whole numbers separated by single TABs", |row| {
        let mut fields = [0; N];
        for (field, column) in fields.iter_mut().zip(&columns) {
            *field = column[row]?;
        }
        Some(take(row as u64 + 1, fields))
    })
}

/// Hands each row of a table of `N` texts, none of them empty, with its line number, to `take`.
pub(super) fn texts<const N: usize>(
    path: &Path,
    observer: &dyn Observer,
    mut take: impl FnMut(u64, [&str; N]) -> Result<Outcome, SourceError>,
) -> Result<FileReport, SourceError> {
    let table = Table::read(path, DataType::String, N, observer)?;
    let columns = table.columns(|frame, name| Ok(frame.column(name)?.str()?.iter().collect::<Vec<_>>()))?;
    table.tally("expected fields separated by single TABs, none of them empty", |row| {
        let mut fields = [""; N];
        for (field, column) in fields.iter_mut().zip(&columns) {
            *field = column[row]?;
        }
        Some(take(row as u64 + 1, fields))
    })
}

/// A table as Polars read it: one column per field, and one more that catches what a line has beyond them.
struct Table<'a> {
    path: &'a Path,
    frame: DataFrame,
    fields: usize,
}

impl<'a> Table<'a> {
    fn read(path: &'a Path, field: DataType, fields: usize, observer: &dyn Observer) -> Result<Self, SourceError> {
        let lines = lines::check(path, observer)?;
        let frame = frame(path, field, fields).map_err(|error| table_error(path, &error))?;
        if frame.height() as u64 != lines {
            let why = format!("it has {lines} lines, of which {} are rows", frame.height());
            return Err(SourceError::Table { path: path.to_owned(), why });
        }
        Ok(Self { path, frame, fields })
    }

    fn columns<'s, T>(
        &'s self,
        column: impl Fn(&'s DataFrame, &str) -> PolarsResult<T>,
    ) -> Result<Vec<T>, SourceError> {
        let columns = (0..self.fields).map(|field| column(&self.frame, &name(field)));
        columns.collect::<PolarsResult<_>>().map_err(|error| table_error(self.path, &error))
    }

    /// Counts what becomes of each row; `take` gives none for a row with a missing or malformed field.
    fn tally(
        &self,
        expected: &'static str,
        mut take: impl FnMut(usize) -> Option<Result<Outcome, SourceError>>,
    ) -> Result<FileReport, SourceError> {
        let surplus = self.frame.column(&name(self.fields)).map_err(|error| table_error(self.path, &error))?;
        let surplus = surplus.is_not_null();
        let mut report = FileReport::new(self.path.to_owned());
        for (row, surplus) in surplus.iter().enumerate() {
            report.lines += 1;
            let outcome = if surplus == Some(true) { None } else { take(row) };
            match outcome.transpose()?.unwrap_or(Outcome::Unreadable(expected)) {
                Outcome::Kept => {}
                Outcome::Repeated => report.repeated += 1,
                Outcome::Unreadable(why) => report.count_unreadable(report.lines, why),
            }
        }
        report.accepted()
    }
}

fn name(field: usize) -> PlSmallStr {
    PlSmallStr::from_string(field.to_string())
}

fn frame(path: &Path, field: DataType, fields: usize) -> PolarsResult<DataFrame> {
    let kinds = std::iter::repeat_n(field, fields).chain([DataType::String]);
    let schema: Schema = kinds.enumerate().map(|(number, kind)| Field::new(name(number), kind)).collect();
    let parse = CsvParseOptions::default()
        .with_separator(b'\t')
        .with_quote_char(None)
        .with_missing_is_null(true)
        .with_truncate_ragged_lines(true);
    CsvReadOptions::default()
        .with_has_header(false)
        .with_ignore_errors(true)
        .with_schema(Some(schema.into()))
        .with_parse_options(parse)
        .try_into_reader_with_file_path(Some(path.to_owned()))?
        .finish()
}

fn table_error(path: &Path, error: &polars::prelude::PolarsError) -> SourceError {
    SourceError::Table { path: path.to_owned(), why: error.to_string() }
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
        let error = with_file(b"1\t2\n", |path| {
            numbers::<2>(path, &Silent, |_, _| Err(SourceError::Empty { path: path.to_owned() }))
        });
        assert!(matches!(error, Err(SourceError::Empty { .. })));
    }

    #[test]
    fn what_polars_refuses_is_a_table_error() {
        let error = frame(Path::new("/nowhere/at/all"), DataType::String, 2).unwrap_err();
        assert!(matches!(table_error(Path::new("x"), &error), SourceError::Table { .. }));
    }
}
