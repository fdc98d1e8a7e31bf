//! TensorBoard's event file, written by hand: records of length, checksum, protocol-buffer bytes, checksum.
//!
//! `Event { wall_time = 1: double, step = 2: int64, file_version = 3: string, summary = 5: Summary }`,
//! `Summary { value = 1: Value }`, `Value { tag = 1: string, simple_value = 2: float }`.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// An event file, open for appending.
#[derive(Debug)]
pub struct EventFile {
    file: File,
}

impl EventFile {
    /// Begins a new event file in a folder. TensorBoard reads all of a folder's files as one run.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn begin(folder: &Path) -> std::io::Result<Self> {
        let started = seconds();
        let path = folder.join(format!("events.out.tfevents.{started:017.6}.humea"));
        let mut events = Self { file: OpenOptions::new().create(true).append(true).open(path)? };
        let mut event = Vec::new();
        put_double(&mut event, 1, started);
        put_bytes(&mut event, 3, b"brain.Event:2");
        events.record(&event)?;
        Ok(events)
    }

    /// Appends a number under a tag.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn scalar(&mut self, tag: &str, step: usize, number: f64) -> std::io::Result<()> {
        let mut value = Vec::new();
        put_bytes(&mut value, 1, tag.as_bytes());
        put_float(&mut value, 2, number as f32);
        let mut summary = Vec::new();
        put_bytes(&mut summary, 1, &value);
        let mut event = Vec::new();
        put_double(&mut event, 1, seconds());
        put_varint_field(&mut event, 2, step as u64);
        put_bytes(&mut event, 5, &summary);
        self.record(&event)
    }

    fn record(&mut self, data: &[u8]) -> std::io::Result<()> {
        let length = (data.len() as u64).to_le_bytes();
        let parts = [length.as_slice(), &masked(&length).to_le_bytes(), data, &masked(data).to_le_bytes()];
        self.file.write_all(&parts.concat())
    }
}

fn seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// The checksum of the record format: CRC-32C, rotated and offset.
fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_varint_field(out: &mut Vec<u8>, field: u64, number: u64) {
    put_varint(out, field << 3);
    put_varint(out, number);
}

fn put_double(out: &mut Vec<u8>, field: u64, number: f64) {
    put_varint(out, field << 3 | 1);
    out.extend_from_slice(&number.to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_varint(out, field << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_float(out: &mut Vec<u8>, field: u64, number: f32) {
    put_varint(out, field << 3 | 5);
    out.extend_from_slice(&number.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_record_formats_own() {
        // CRC-32C of "123456789" is e3069283 by its specification.
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(masked(b"123456789"), 0xe306_9283_u32.rotate_right(15).wrapping_add(0xa282_ead8));
    }

    #[test]
    fn records_carry_their_length_tag_and_number() {
        let folder = tempfile::tempdir().unwrap();
        let mut events = EventFile::begin(folder.path()).unwrap();
        events.scalar("loss/total", 300, 0.5).unwrap();
        let path = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        let bytes = std::fs::read(path).unwrap();
        let first = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        assert_eq!(bytes[8..12], masked(&bytes[..8]).to_le_bytes());
        let second = &bytes[12 + first + 4..];
        let length = u64::from_le_bytes(second[..8].try_into().unwrap()) as usize;
        let event = &second[12..12 + length];
        assert_eq!(second[12 + length..], masked(event).to_le_bytes());
        let tail = [b"\x10\xac\x02\x2a\x13\x0a\x11\x0a\x0aloss/total\x15".as_slice(), &0.5_f32.to_le_bytes()].concat();
        assert!(event.ends_with(&tail), "{event:02x?}");
    }
}
