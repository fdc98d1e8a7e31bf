//! Parquet page headers (Thrift's compact protocol), written and read by hand.
//!
//! Only what a vector column needs: the headers of data pages, with everything else skipped. Reading never trusts a
//! length: a header that does not end within the bytes it is given is `None`.

use super::levels::{put_varint, take_varint};

const DATA_PAGE: i64 = 0;
const DATA_PAGE_V2: i64 = 3;
const PLAIN: i64 = 0;
const RLE: i64 = 3;

/// A data page whose values are plain and whose levels are runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PlainPage {
    /// Length of the header itself.
    pub header: usize,
    /// Bytes after the header, as in the file.
    pub size: usize,
    /// Levels of each kind.
    pub levels: u64,
    /// Rows, where the header says it (version 2).
    pub rows: Option<u64>,
    /// Lengths of repetition and definition levels in a version 2 page; a version 1 page says them in the page.
    pub v2: Option<(usize, usize)>,
}

/// Writes the header of an uncompressed version 2 page of plain floats.
pub(super) fn write_v2(
    size: usize,
    levels: u64,
    nulls: u64,
    rows: u64,
    repetition: usize,
    definition: usize,
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(48);
    let field = |bytes: &mut Vec<u8>, tag: u8, value: u64| {
        bytes.push(tag);
        put_varint(bytes, value << 1);
    };
    // `15` is "next field, a 32-bit number": page type, uncompressed size, compressed size.
    field(&mut bytes, 0x15, DATA_PAGE_V2 as u64);
    field(&mut bytes, 0x15, size as u64);
    field(&mut bytes, 0x15, size as u64);
    // `5c` is "five fields on, a struct": the version 2 header.
    bytes.push(0x5c);
    for value in [levels, nulls, rows, PLAIN as u64, definition as u64, repetition as u64] {
        field(&mut bytes, 0x15, value);
    }
    // Not compressed; end of both structs.
    bytes.extend([0x12, 0, 0]);
    bytes
}

/// Reads a page header: `Some(Ok)` for a page of plain values, `Some(Err)` with the reason for a page of another kind,
/// `None` for something that is no page header.
pub(super) fn read(bytes: &[u8]) -> Option<Result<PlainPage, &'static str>> {
    let mut thrift = Thrift { bytes, depth: 0 };
    let (mut kind, mut sizes, mut v1, mut v2) = (None, [None; 2], None, None);
    let mut last = 0;
    loop {
        match thrift.field(&mut last)? {
            (_, STOP) => break,
            (1, I32) => kind = Some(thrift.signed()?),
            (2, I32) => sizes[0] = Some(thrift.signed()?),
            (3, I32) => sizes[1] = Some(thrift.signed()?),
            (5, STRUCT) => v1 = Some(thrift.numbers()?),
            (8, STRUCT) => v2 = Some(thrift.numbers()?),
            (_, wire) => thrift.skip(wire)?,
        }
    }
    let header = bytes.len() - thrift.bytes.len();
    let [uncompressed, size] = sizes;
    let (uncompressed, size) = (usize::try_from(uncompressed?).ok()?, usize::try_from(size?).ok()?);
    Some(
        match (kind?, v1, v2) {
            (DATA_PAGE_V2, _, Some(fields)) => from_v2(&fields, header, size)?,
            (DATA_PAGE, Some(fields), _) => from_v1(&fields, header, size)?,
            _ => Err("it has a dictionary or an index page"),
        }
        .and_then(|page| if uncompressed == size { Ok(page) } else { Err("it is compressed") }),
    )
}

/// How many values a page of any kind claims to hold; `None` if its header does not end within these bytes. The Parquet
/// library must not be given such a header: it would count out all that a list in it claims to hold, which may take hours.
pub(super) fn values(bytes: &[u8]) -> Option<u64> {
    let mut thrift = Thrift { bytes, depth: 0 };
    let (mut values, mut last) = (0_u64, 0);
    loop {
        match thrift.field(&mut last)? {
            (_, STOP) => return Some(values),
            // The headers of a data page, a dictionary and a version 2 data page all begin with it.
            (5 | 7 | 8, STRUCT) => values = values.saturating_add(u64::try_from(thrift.numbers()?[1]?).ok()?),
            (_, wire) => thrift.skip(wire)?,
        }
    }
}

fn from_v1(fields: &Numbers, header: usize, size: usize) -> Option<Result<PlainPage, &'static str>> {
    let levels = u64::try_from(fields[1]?).ok()?;
    let encodings = [fields[2]?, fields[3]?, fields[4]?];
    if encodings != [PLAIN, RLE, RLE] {
        return Some(Err("its values are not plain or its levels are not runs"));
    }
    Some(Ok(PlainPage { header, size, levels, rows: None, v2: None }))
}

fn from_v2(fields: &Numbers, header: usize, size: usize) -> Option<Result<PlainPage, &'static str>> {
    let number = |id: usize| usize::try_from(fields[id]?).ok();
    let (levels, rows) = (number(1)? as u64, number(3)? as u64);
    if fields[4]? != PLAIN {
        return Some(Err("its values are not plain"));
    }
    let (definition, repetition) = (number(5)?, number(6)?);
    if repetition.checked_add(definition)? > size {
        return None;
    }
    Some(Ok(PlainPage { header, size, levels, rows: Some(rows), v2: Some((repetition, definition)) }))
}

const STOP: u8 = 0;
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const I32: u8 = 5;
const STRUCT: u8 = 12;

/// The numeric fields of a small struct, by field id.
type Numbers = [Option<i64>; 8];

struct Thrift<'a> {
    bytes: &'a [u8],
    depth: u8,
}

impl Thrift<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(byte)
    }

    fn signed(&mut self) -> Option<i64> {
        let value = take_varint(&mut self.bytes)?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// The next field's id and wire type; the type is [`STOP`] at the end of the struct.
    fn field(&mut self, last: &mut i64) -> Option<(i64, u8)> {
        let byte = self.byte()?;
        if byte == STOP {
            return Some((0, STOP));
        }
        *last = match byte >> 4 {
            0 => self.signed()?,
            delta => last.checked_add(i64::from(delta))?,
        };
        Some((*last, byte & 0x0f))
    }

    fn numbers(&mut self) -> Option<Numbers> {
        let mut found = Numbers::default();
        let mut last = 0;
        loop {
            let (id, wire) = self.field(&mut last)?;
            if wire == STOP {
                return Some(found);
            }
            match (usize::try_from(id).ok().filter(|&id| id < found.len()), wire) {
                (Some(id), I32) => found[id] = Some(self.signed()?),
                _ => self.skip(wire)?,
            }
        }
    }

    fn skip(&mut self, wire: u8) -> Option<()> {
        match wire {
            TRUE | FALSE => {}
            3 => {
                self.byte()?;
            }
            4..=6 => {
                self.signed()?;
            }
            7 => self.bytes = self.bytes.get(8..)?,
            8 => {
                let length = usize::try_from(take_varint(&mut self.bytes)?).ok()?;
                self.bytes = self.bytes.get(length..)?;
            }
            STRUCT => self.skip_struct()?,
            // A list, a set or a map: no page header has one, and what it claims to hold may be without end.
            _ => return None,
        }
        Some(())
    }

    fn skip_struct(&mut self) -> Option<()> {
        self.depth += 1;
        if self.depth > 16 {
            return None;
        }
        let mut last = 0;
        loop {
            match self.field(&mut last)? {
                (_, STOP) => break,
                (_, wire) => self.skip(wire)?,
            }
        }
        self.depth -= 1;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let bytes = write_v2(1_000_000, 250_000, 7, 61, 300, 9);
        let page = read(&bytes).unwrap().unwrap();
        let expected =
            PlainPage { header: bytes.len(), size: 1_000_000, levels: 250_000, rows: Some(61), v2: Some((300, 9)) };
        assert_eq!(page, expected);
    }

    #[test]
    fn a_header_cut_short_is_no_header() {
        let bytes = write_v2(1_000_000, 250_000, 7, 61, 300, 9);
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length]).is_none() && values(&bytes[..length]).is_none(), "{length}");
        }
        assert_eq!(values(&bytes), Some(250_000));
    }

    #[test]
    fn levels_longer_than_the_page_are_refused() {
        assert!(read(&write_v2(100, 25, 0, 5, 90, 11)).is_none());
    }

    #[test]
    fn random_bytes_never_hang_or_panic() {
        use rand::{RngExt, SeedableRng};
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        for _ in 0..20_000 {
            let length = random.random_range(0..80);
            let bytes: Vec<u8> = (0..length).map(|_| random.random()).collect();
            let _ = read(&bytes);
        }
        // Deep nesting and a list of 2^63 items.
        let _ = read(&[0x9c; 4000]);
        assert!(values(&[0x19, 0xf5, 0xff, 0xff, 0xff, 0xff, 0x07, 0]).is_none());
        let _ = read(&[0x19, 0xf5, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
    }
}
