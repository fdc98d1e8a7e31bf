//! Writes NumPy's array files: one little-endian matrix of float32, or a list of uint32. Read they are in [`crate::vectors::npy`].

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";

/// Writes an array; `kind` is NumPy's name of the type, such as `<f4`.
pub(super) fn write(path: &Path, kind: &str, shape: &[usize], values: &[u8]) -> io::Result<()> {
    let shape = shape.iter().map(|size| format!("{size}, ")).collect::<Vec<_>>().concat();
    let mut header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}");
    let unpadded = MAGIC.len() + 2 + header.len() + 1;
    header.push_str(&" ".repeat(unpadded.next_multiple_of(64) - unpadded));
    header.push('\n');
    let mut file = File::create(path)?;
    file.write_all(MAGIC)?;
    file.write_all(&(header.len() as u16).to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    file.write_all(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_padded_as_numpy_wants_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.npy");
        for shape in [&[2, 3][..], &[6]] {
            write(&path, "<f4", shape, &[0; 24]).unwrap();
            let whole = std::fs::read(&path).unwrap();
            assert_eq!((whole.len() - 24) % 64, 0);
            assert_eq!(whole[whole.len() - 25], b'\n');
        }
    }
}
