//! Text files, line by line, in bounded memory: the one place that looks at raw bytes.
//!
//! Written by hand and not with a table reader because MMKB mixes separators within a file, attribute files have as many
//! fields as an entity has attributes, and a bad line must be named by its number and left out, not end the run.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::{FileReport, SourceError};
use crate::event::{Event, Observer};

/// The most bytes one line may have; the longest line of the benchmarks has 30,000.
pub(super) const LONGEST_LINE: usize = 1 << 20;

/// Bytes read at a time, and the least room the buffer has.
const BLOCK: usize = 1 << 18;

/// A line and its number, from 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    /// Its number, from 1.
    pub(super) number: u64,
    /// Its text without the line end.
    pub(super) text: &'a str,
}

/// What a reader made of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It said something new.
    Kept,
    /// It said again what an earlier line said.
    Repeated,
    /// It could not be read, and why.
    Unreadable(&'static str),
}

/// Hands each line of a file to `take` and counts what becomes of them. Compressed files are expanded on the way.
pub(super) fn read(
    path: &Path,
    observer: &dyn Observer,
    take: impl FnMut(Line<'_>) -> Result<Outcome, SourceError>,
) -> Result<FileReport, SourceError> {
    tally(Lines::new(path, open(path, observer)?), observer, take)
}

/// The content of a file, expanded on the way if its name ends in `.gz` or `.zst`. Each block read from the file itself is
/// told to the observer.
pub(super) fn open<'a>(path: &Path, observer: &'a dyn Observer) -> Result<Box<dyn Read + 'a>, SourceError> {
    let failed = |source| failed(path, source);
    let counted = Counted { source: File::open(path).map_err(failed)?, observer };
    Ok(match format(path) {
        Some(GZIP) => Box::new(MultiGzDecoder::new(counted)),
        Some(_) => Box::new(zstd::Decoder::new(counted).map_err(failed)?),
        None => Box::new(counted),
    })
}

const GZIP: &str = "gzip";

/// How a file is compressed, by its name.
fn format(path: &Path) -> Option<&'static str> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("gz") => Some(GZIP),
        Some("zst") => Some("zstd"),
        _ => None,
    }
}

/// What a failure to read a file means: the system's, or, of a compressed one, the unpacker's.
pub(super) fn failed(path: &Path, source: io::Error) -> SourceError {
    let path = path.to_owned();
    match format(&path) {
        Some(format) if source.raw_os_error().is_none() => SourceError::Packed { path, format, source },
        _ => SourceError::Read { path, source },
    }
}

/// Checks that every line of a file is text of bounded length, without keeping any; gives the number of lines.
pub(super) fn check(path: &Path, observer: &dyn Observer) -> Result<u64, SourceError> {
    read(path, observer, |_| Ok(Outcome::Kept)).map(|report| report.lines)
}

fn tally<R: Read>(
    mut lines: Lines<R>,
    observer: &dyn Observer,
    mut take: impl FnMut(Line<'_>) -> Result<Outcome, SourceError>,
) -> Result<FileReport, SourceError> {
    let mut report = FileReport::new(lines.path.clone());
    while let Some(line) = lines.next()? {
        let number = line.number;
        match take(line)? {
            Outcome::Kept => {}
            Outcome::Repeated => report.repeated += 1,
            Outcome::Unreadable(why) => report.count_unreadable(number, why),
        }
        report.lines = number;
        if number.is_multiple_of(1 << 16) && observer.stopped() {
            return Err(SourceError::Interrupted { path: report.path });
        }
    }
    report.accepted()
}

/// Tells the observer of each byte that is read from the file itself.
struct Counted<'a, R> {
    source: R,
    observer: &'a dyn Observer,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.observer.on(Event::Advanced(read as u64));
        Ok(read)
    }
}

/// Lends the lines of a source one by one from a buffer that never outgrows [`LONGEST_LINE`] by more than a block.
struct Lines<R> {
    path: PathBuf,
    source: R,
    buffer: Vec<u8>,
    /// What is left of the buffer to be lent.
    start: usize,
    end: usize,
    number: u64,
    exhausted: bool,
}

impl<R: Read> Lines<R> {
    fn new(path: &Path, source: R) -> Self {
        let path = path.to_owned();
        Self { path, source, buffer: vec![0; BLOCK], start: 0, end: 0, number: 0, exhausted: false }
    }

    fn next(&mut self) -> Result<Option<Line<'_>>, SourceError> {
        let Some(length) = self.find_line()? else { return Ok(None) };
        let begin = self.start;
        self.start = (begin + length + 1).min(self.end);
        self.number += 1;
        let text = self.as_text(begin, begin + length)?;
        Ok(Some(Line { number: self.number, text }))
    }

    /// The length of the next line, once all of it is in the buffer; none at the end of the file.
    fn find_line(&mut self) -> Result<Option<usize>, SourceError> {
        let mut searched = 0;
        loop {
            let left = &self.buffer[self.start..self.end];
            if let Some(at) = memchr::memchr(b'\n', &left[searched..]) {
                return Ok(Some(searched + at));
            }
            searched = left.len();
            if self.exhausted {
                return Ok((searched > 0).then_some(searched));
            }
            if searched > LONGEST_LINE {
                return Err(SourceError::LongLine {
                    path: self.path.clone(),
                    line: self.number + 1,
                    limit: LONGEST_LINE,
                });
            }
            self.fill()?;
        }
    }

    /// Moves what is left to the front of the buffer and reads one more block behind it.
    fn fill(&mut self) -> Result<(), SourceError> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.buffer.len() < self.end + BLOCK {
            self.buffer.resize(self.end + BLOCK, 0);
        }
        let read =
            read_some(&mut self.source, &mut self.buffer[self.end..]).map_err(|source| failed(&self.path, source))?;
        self.end += read;
        self.exhausted = read == 0;
        if self.number == 0 && self.start == 0 {
            self.refuse_mark()?;
        }
        Ok(())
    }

    fn refuse_mark(&self) -> Result<(), SourceError> {
        let encoding = match &self.buffer[..self.end] {
            [0xEF, 0xBB, 0xBF, ..] => "UTF-8",
            [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => "UTF-16",
            _ => return Ok(()),
        };
        Err(SourceError::ByteOrderMark { path: self.path.clone(), encoding })
    }

    fn as_text(&self, begin: usize, end: usize) -> Result<&str, SourceError> {
        let bytes = &self.buffer[begin..end];
        let (path, line) = (|| self.path.clone(), self.number);
        if bytes.last() == Some(&b'\r') {
            return Err(SourceError::CarriageReturn { path: path(), line });
        }
        if memchr::memchr(0, bytes).is_some() {
            return Err(SourceError::Binary { path: path(), line });
        }
        std::str::from_utf8(bytes).map_err(|error| SourceError::NotUtf8 {
            path: path(),
            line,
            byte: error.valid_up_to() + 1,
        })
    }
}

fn read_some(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match source.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests;
