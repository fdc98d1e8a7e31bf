//! Definition and repetition levels of a vector column, as runs: written, and walked without being materialised.
//!
//! In Parquet a list of D floats is D levels of each kind. Written as runs (the hybrid encoding's RLE half) a row costs
//! about five bytes whatever D is, and walking the runs of a foreign file proves that every list has exactly D floats.

/// How levels of one column read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// Floats per vector.
    pub width: u64,
    /// Definition level of a float that is there: 1, and one more each if lists and if floats are declared nullable.
    pub max_def: u8,
    /// Whether a list may be null (definition level 0).
    pub optional: bool,
}

impl Shape {
    fn def_bits(self) -> u8 {
        (8 - self.max_def.leading_zeros()) as u8
    }
}

/// So many consecutive rows that all have a vector, or all lack one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RowRun {
    /// Whether they have a vector.
    pub present: bool,
    /// How many rows.
    pub rows: u64,
}

/// Turns strictly increasing row numbers into runs over `first..first + total`.
pub(super) fn runs_of(rows: &[u32], first: usize, total: usize) -> Vec<RowRun> {
    let mut runs = Runs::default();
    let mut next = first;
    for &row in rows {
        runs.push(false, (row as usize - next) as u64);
        runs.push(true, 1);
        next = row as usize + 1;
    }
    runs.push(false, (first + total - next) as u64);
    runs.0
}

/// Collects runs, joining equal neighbours.
#[derive(Debug, Default)]
pub(super) struct Runs(pub Vec<RowRun>);

impl Runs {
    pub(super) fn push(&mut self, present: bool, rows: u64) {
        match self.0.last_mut() {
            _ if rows == 0 => {}
            Some(last) if last.present == present => last.rows += rows,
            _ => self.0.push(RowRun { present, rows }),
        }
    }
}

/// The levels of one page: repetition levels, definition levels, and how many of each there are.
#[derive(Debug)]
pub(super) struct Encoded {
    pub repetition: Vec<u8>,
    pub definition: Vec<u8>,
    pub levels: u64,
}

/// Most rows of vectors that a page of so many bytes has room for, one at least.
///
/// Whoever cuts row groups and whoever cuts their chunks into pages both ask here: a row group is one page because of it.
pub(super) fn rows_per_page(page_bytes: usize, width: usize) -> usize {
    (page_bytes / (size_of::<f32>() * width + LEVEL_BYTES)).max(1)
}

/// Most bytes that the levels of a row of up to 2^20 floats take: its repetition levels are a run of one (a length and a value,
/// two bytes) and a run of `width - 1` (up to three bytes and one). Wider rows take one more and are few. Where rows with and without
/// a vector alternate, up to seven bytes of definition levels come to a pair, and one of the two has room for floats that it lacks.
const LEVEL_BYTES: usize = 6;

/// Writes the levels of a nullable list of `width` required floats.
pub(super) fn encode(runs: &[RowRun], width: usize) -> Encoded {
    let (mut repetition, mut definition) = (RunWriter::default(), RunWriter::default());
    let mut levels = 0;
    for run in runs {
        let each = if run.present { width as u64 } else { 1 };
        levels += run.rows * each;
        definition.push(if run.present { 2 } else { 0 }, run.rows * each);
        if each == 1 {
            repetition.push(0, run.rows);
        } else {
            for _ in 0..run.rows {
                repetition.push(0, 1);
                repetition.push(1, each - 1);
            }
        }
    }
    Encoded { repetition: repetition.finish(), definition: definition.finish(), levels }
}

#[derive(Default)]
struct RunWriter {
    bytes: Vec<u8>,
    value: u8,
    count: u64,
}

impl RunWriter {
    fn push(&mut self, value: u8, count: u64) {
        if value != self.value {
            self.flush();
            self.value = value;
        }
        self.count += count;
    }

    fn flush(&mut self) {
        if self.count > 0 {
            put_varint(&mut self.bytes, self.count << 1);
            self.bytes.push(self.value);
        }
        self.count = 0;
    }

    fn finish(mut self) -> Vec<u8> {
        self.flush();
        self.bytes
    }
}

/// Appends an unsigned number, seven bits a byte.
pub(super) fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// Reads an unsigned number from the front of `bytes`.
pub(super) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Walks the levels of one page: which rows have a vector. `None` if they are not whole lists of exactly D floats. A few
/// bytes may claim any number of levels, so the walk ends one row beyond the `open` ones of the row group.
pub(super) fn rows(repetition: &[u8], definition: &[u8], shape: Shape, levels: u64, open: u64) -> Option<Vec<RowRun>> {
    let mut repetition = LevelReader::new(repetition, 1);
    let mut definition = LevelReader::new(definition, shape.def_bits());
    let mut runs = Runs::default();
    let (mut left, mut open) = (levels, open.saturating_add(1));
    while left > 0 && open > 0 {
        let level = definition.peek()?;
        let present = level == shape.max_def;
        if !present && (!shape.optional || level != 0) {
            return None;
        }
        let rows = if present && shape.width > 1 {
            left = left.checked_sub(shape.width)?;
            let before = repetition.boundary();
            repetition.take(0, 1)?;
            definition.take(shape.max_def, shape.width)?;
            repetition.take(1, shape.width - 1)?;
            // Most rows are written like the one before: they are compared, not walked.
            let most = (definition.count / shape.width).min(left / shape.width).min(open - 1);
            let alike = before.map_or(0, |before| repetition.skip_repeats(before, most));
            definition.take(shape.max_def, alike * shape.width)?;
            left -= alike * shape.width;
            1 + alike
        } else {
            // One level a row: as many rows as the shorter of both runs has.
            repetition.peek()?;
            let rows = repetition.count.min(definition.count).min(left).min(open);
            repetition.take(0, rows)?;
            definition.take(level, rows)?;
            left -= rows;
            rows
        };
        open -= rows;
        runs.push(present, rows);
    }
    Some(runs.0)
}

/// Reads levels in the RLE / bit-packed hybrid encoding as runs.
struct LevelReader<'a> {
    bytes: &'a [u8],
    bits: u8,
    value: u8,
    count: u64,
    packed: &'a [u8],
    /// Levels of `packed` already read.
    read: usize,
}

impl<'a> LevelReader<'a> {
    fn new(bytes: &'a [u8], bits: u8) -> Self {
        Self { bytes, bits, value: 0, count: 0, packed: &[], read: 0 }
    }

    fn peek(&mut self) -> Option<u8> {
        while self.count == 0 {
            self.fill()?;
        }
        Some(self.value)
    }

    /// What is still to be read, if that begins with a run.
    fn boundary(&self) -> Option<&'a [u8]> {
        (self.count == 0 && self.read >= self.packed_levels()).then_some(self.bytes)
    }

    /// Consumes repeats of what was read since `before`, a boundary, `most` at most: how many there were.
    fn skip_repeats(&mut self, before: &'a [u8], most: u64) -> u64 {
        let Some(rest) = self.boundary() else { return 0 };
        let period = before.len() - rest.len();
        let same = before.iter().zip(rest).take_while(|(one, other)| one == other).count();
        let repeats = (same / period.max(1)).min(usize::try_from(most).unwrap_or(usize::MAX));
        self.bytes = &rest[repeats * period..];
        repeats as u64
    }

    /// Consumes `count` levels, all of which must be `value`.
    fn take(&mut self, value: u8, mut count: u64) -> Option<()> {
        while count > 0 {
            if self.peek()? != value {
                return None;
            }
            let now = count.min(self.count);
            self.count -= now;
            count -= now;
        }
        Some(())
    }

    fn fill(&mut self) -> Option<()> {
        if self.read < self.packed_levels() {
            self.fill_packed();
            return Some(());
        }
        let header = take_varint(&mut self.bytes)?;
        if header & 1 == 0 {
            let (&value, rest) = self.bytes.split_first()?;
            (self.bytes, self.value, self.count) = (rest, value, header >> 1);
        } else {
            let length = usize::try_from(header >> 1).ok()?.checked_mul(self.bits as usize)?;
            // The last group may be cut short.
            let (packed, rest) = self.bytes.split_at(length.min(self.bytes.len()));
            (self.packed, self.bytes, self.read) = (packed, rest, 0);
        }
        Some(())
    }

    fn packed_levels(&self) -> usize {
        self.packed.len() * 8 / self.bits as usize
    }

    fn packed_at(&self, index: usize) -> u8 {
        let bit = index * self.bits as usize;
        let low = u16::from(self.packed[bit / 8]);
        let high = self.packed.get(bit / 8 + 1).map_or(0, |&byte| u16::from(byte));
        ((low | high << 8) >> (bit % 8)) as u8 & ((1 << self.bits) - 1)
    }

    fn fill_packed(&mut self) {
        let total = self.packed_levels();
        self.value = self.packed_at(self.read);
        let start = self.read;
        while self.read < total && self.packed_at(self.read) == self.value {
            self.read += 1;
        }
        self.count = (self.read - start) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { width: 5, max_def: 2, optional: true };

    fn run(present: bool, rows: u64) -> RowRun {
        RowRun { present, rows }
    }

    #[test]
    fn what_is_written_is_walked_back() {
        for width in [1, 2, 5, 64, 65, 300] {
            let runs = [run(false, 2), run(true, 3), run(false, 1), run(true, 200), run(false, 70)];
            let encoded = encode(&runs, width);
            let shape = Shape { width: width as u64, ..SHAPE };
            assert_eq!(rows(&encoded.repetition, &encoded.definition, shape, encoded.levels, 276).unwrap(), runs);
        }
    }

    /// Rows that are written alike are compared with the first; the walk must end where they, or the levels, end.
    #[test]
    fn rows_written_alike_are_counted_up_to_what_is_open_and_no_further() {
        let encoded = encode(&[run(true, 50), run(false, 3), run(true, 7)], 5);
        let walk = |levels, open| rows(&encoded.repetition, &encoded.definition, SHAPE, levels, open);
        assert_eq!(walk(encoded.levels, 60).unwrap(), [run(true, 50), run(false, 3), run(true, 7)]);
        assert_eq!(walk(encoded.levels, 20).unwrap(), [run(true, 21)], "one beyond what is open");
        assert_eq!(walk(5 * 30, 60).unwrap(), [run(true, 30)]);
        assert!(walk(5 * 30 + 1, 60).is_none(), "a vector of one float");
        // The same rows with one of another width among them, and one whose runs are cut otherwise.
        let mut other = encoded.repetition.clone();
        other[4 * 20 + 2] += 2;
        assert!(rows(&other, &encoded.definition, SHAPE, encoded.levels, 60).is_none());
        let mut cut = encoded.repetition[..4 * 20].to_vec();
        cut.extend([2, 0, 4, 1, 4, 1]);
        cut.extend(&encoded.repetition[4 * 21..]);
        assert_eq!(
            rows(&cut, &encoded.definition, SHAPE, encoded.levels, 60).unwrap(),
            walk(encoded.levels, 60).unwrap()
        );
    }

    #[test]
    fn as_many_rows_as_a_page_has_room_for_fit() {
        for (width, page_bytes) in
            [(1, 1 << 12), (2, 1 << 12), (64, 1 << 16), (65, 1 << 16), (9000, 1 << 30), (1 << 20, 1 << 30)]
        {
            let most = rows_per_page(page_bytes, width) as u64;
            let alternating: Vec<RowRun> = (0..most).map(|row| run(row % 2 == 0, 1)).collect();
            for runs in [vec![run(true, most)], vec![run(false, most)], alternating] {
                let encoded = encode(&runs, width);
                let present: u64 = runs.iter().filter(|run| run.present).map(|run| run.rows).sum();
                let size = encoded.repetition.len() + encoded.definition.len() + present as usize * width * 4;
                assert!(size <= page_bytes, "{width}: {size} bytes of {page_bytes}");
            }
        }
        assert_eq!(rows_per_page(10, 1000), 1, "a row is not cut");
    }

    #[test]
    fn row_numbers_become_runs() {
        assert_eq!(
            runs_of(&[12, 13, 15], 10, 7),
            [run(false, 2), run(true, 2), run(false, 1), run(true, 1), run(false, 1)]
        );
        assert_eq!(runs_of(&[], 3, 4), [run(false, 4)]);
    }

    #[test]
    fn bit_packed_levels_are_understood() {
        // One vector of five: repetition 0 1 1 1 1, definition 2 2 2 2 2, both bit-packed in one group of eight.
        let repetition = [0b11, 0b0001_1110];
        let definition = [0b11, 0b1010_1010, 0b0000_0010];
        assert_eq!(rows(&repetition, &definition, SHAPE, 5, 1).unwrap(), [run(true, 1)]);
    }

    #[test]
    fn lists_of_another_length_empty_lists_and_null_floats_are_refused() {
        let four = encode(&[run(true, 1)], 4);
        assert!(rows(&four.repetition, &four.definition, SHAPE, 4, 1).is_none());
        let six = encode(&[run(true, 1)], 6);
        assert!(rows(&six.repetition, &six.definition, SHAPE, 6, 1).is_none());
        assert!(rows(&[2, 0], &[2, 1], SHAPE, 1, 1).is_none(), "definition level 1 is an empty list");
        assert!(rows(&[2, 0], &[2, 0], Shape { optional: false, ..SHAPE }, 1, 1).is_none());
    }

    #[test]
    fn levels_that_end_early_or_lie_about_their_length_are_refused() {
        let whole = encode(&[run(true, 3)], 5);
        for length in 0..whole.repetition.len() {
            assert!(rows(&whole.repetition[..length], &whole.definition, SHAPE, 15, 3).is_none());
        }
        assert!(rows(&[0xff; 12], &[0xff; 12], SHAPE, u64::MAX, 1).is_none());
        assert!(rows(&[0, 0, 0, 0], &[0, 0], SHAPE, 5, 1).is_none(), "runs of nothing end");
    }

    /// Ten bytes may claim 2^62 rows, without a vector or with one of one float.
    #[test]
    fn rows_without_end_are_not_counted_out() {
        let claim = |value: u8| {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, 1 << 63);
            bytes.push(value);
            bytes
        };
        let walk =
            |level, width, open| rows(&claim(0), &claim(level), Shape { width, ..SHAPE }, 1 << 62, open).unwrap();
        assert_eq!(walk(0, 5, 7), [run(false, 8)]);
        assert_eq!(walk(2, 1, 7), [run(true, 8)]);
        assert_eq!(walk(0, 5, u64::MAX), [run(false, 1 << 62)]);
    }
}
