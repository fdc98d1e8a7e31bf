//! Files as memory that stays for the rest of the process: weight files under tensors, scratch files under slices.
//!
//! The only file of this room with `unsafe` in it.
#![allow(unsafe_code, reason = "mapping files and viewing them as tensors or floats")]

use std::fs::File;
use std::io;
use std::path::Path;

use tch::{Device, Kind, Tensor};

/// A file mapped privately (copy-on-write) and never unmapped, so that any number of tensors may look at it.
///
/// Cutting the file short while the process runs is a crash, as it is for every program that maps its weights.
#[derive(Clone, Copy, Debug)]
pub struct Mapping {
    bytes: &'static [u8],
}

impl Mapping {
    /// Maps a whole file; an empty one gives no bytes.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        if file.metadata()?.len() == 0 {
            return Ok(Self { bytes: &[] });
        }
        // SAFETY: the mapping is private, so writes through it (an in-place tensor operation) never reach the file and
        // nobody else's writes to other pages are relied upon; it is leaked, so the slice is valid for ever.
        let map = unsafe { memmap2::MmapOptions::new().map_copy(&file) }?;
        Ok(Self { bytes: Box::leak(Box::new(map)) })
    }

    /// The bytes of the file.
    pub fn bytes(self) -> &'static [u8] {
        self.bytes
    }

    /// The file as native-endian float32, or `None` if its length is no multiple of four.
    pub fn floats(self) -> Option<&'static [f32]> {
        // SAFETY: every bit pattern is an f32.
        let (before, floats, after) = unsafe { self.bytes.align_to::<f32>() };
        (before.is_empty() && after.is_empty()).then_some(floats)
    }
}

/// A CPU tensor over bytes that live for ever; a copy where they are not aligned for `kind`.
///
/// `None` if the number of bytes is not what the shape and kind need.
pub fn tensor_over(bytes: &'static [u8], shape: &[i64], kind: Kind) -> Option<Tensor> {
    let size = kind.elt_size_in_bytes();
    let expected = shape.iter().try_fold(size, |total, &n| total.checked_mul(usize::try_from(n).ok()?))?;
    if expected != bytes.len() {
        return None;
    }
    if bytes.is_empty() || bytes.as_ptr().align_offset(size) != 0 {
        return Tensor::f_from_data_size(bytes, shape, kind).ok();
    }
    // SAFETY: the bytes are as many as shape and kind need (checked above), aligned, and never freed; empty strides
    // mean contiguous. The memory is a private writable mapping, so even an in-place operation stays in this process.
    Some(unsafe { Tensor::from_blob(bytes.as_ptr(), shape, &[], kind, Device::Cpu) })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::io::Write;

    use super::*;

    fn file_of(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn floats_are_seen_in_place() {
        let values = [1.0_f32, -2.5, 3.25, 0.0];
        let file = file_of(&values.iter().flat_map(|v| v.to_ne_bytes()).collect::<Vec<_>>());
        let mapping = Mapping::open(file.path()).unwrap();
        assert_eq!(mapping.floats().unwrap(), values);
        let tensor = tensor_over(mapping.bytes(), &[2, 2], Kind::Float).unwrap();
        assert_eq!(tensor.data_ptr() as usize, mapping.bytes().as_ptr() as usize);
    }

    #[test]
    fn an_unaligned_tensor_is_copied_and_equal() {
        let mut bytes = vec![7_u8];
        bytes.extend(5.5_f32.to_ne_bytes());
        let file = file_of(&bytes);
        let mapping = Mapping::open(file.path()).unwrap();
        assert!(mapping.floats().is_none());
        let tensor = tensor_over(&mapping.bytes()[1..], &[1], Kind::Float).unwrap();
        assert_eq!(tensor.double_value(&[0]).to_bits(), 5.5_f64.to_bits());
    }

    #[test]
    fn a_shape_that_does_not_fit_is_no_tensor() {
        let file = file_of(&[0; 12]);
        let bytes = Mapping::open(file.path()).unwrap().bytes();
        assert!(tensor_over(bytes, &[4], Kind::Float).is_none());
        assert!(tensor_over(bytes, &[-3], Kind::Float).is_none());
        assert!(tensor_over(bytes, &[i64::MAX, 4], Kind::Float).is_none());
    }

    #[test]
    fn an_empty_file_maps_to_nothing() {
        assert!(Mapping::open(file_of(&[]).path()).unwrap().bytes().is_empty());
    }
}
