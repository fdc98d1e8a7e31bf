//! NumPy's array files, as far as a vector column needs them: one little-endian matrix of float32, or a list of uint32.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use super::StoreError;

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

/// Reads a float32 matrix from a NumPy file, which must have a row for each of so many entities: its width and its values,
/// row after row.
///
/// # Errors
/// If the file cannot be read, is no such matrix, or has another number of rows.
pub fn read_matrix(path: &Path, entities: usize) -> Result<(usize, Vec<f32>), StoreError> {
    let wrong = |reason: String| StoreError::Matrix { path: path.to_owned(), reason, entities };
    let (width, values) = matrix(path).map_err(|source| match source.kind() {
        io::ErrorKind::InvalidData => wrong(source.to_string()),
        io::ErrorKind::UnexpectedEof => wrong("it is cut short".to_owned()),
        _ => StoreError::Read { path: path.to_owned(), source },
    })?;
    let rows = values.len() / width.max(1);
    if rows == entities { Ok((width, values)) } else { Err(wrong(format!("it has {rows} rows"))) }
}

/// Any float32 matrix.
fn matrix(path: &Path) -> io::Result<(usize, Vec<f32>)> {
    let wrong = |reason: &str| io::Error::new(io::ErrorKind::InvalidData, reason.to_owned());
    let mut file = File::open(path)?;
    let mut start = [0; 10];
    file.read_exact(&mut start)?;
    if start[..MAGIC.len()] != *MAGIC {
        return Err(wrong("not a NumPy file of version 1.0"));
    }
    let length = usize::from(u16::from_le_bytes([start[8], start[9]]));
    let mut header = vec![0; length];
    file.read_exact(&mut header)?;
    let header = String::from_utf8_lossy(&header).replace(' ', "");
    if !header.contains("'descr':'<f4'") || !header.contains("'fortran_order':False") {
        return Err(wrong("expected little-endian float32 in C order; save it with `array.astype('<f4')`"));
    }
    let shape = header.split_once("'shape':(").and_then(|(_, rest)| rest.split_once(')')).map(|(shape, _)| shape);
    let sizes: Vec<usize> = shape.unwrap_or_default().split(',').filter_map(|size| size.parse().ok()).collect();
    let [rows, width] = sizes[..] else { return Err(wrong("expected a matrix of two dimensions")) };
    let bytes = rows.checked_mul(width).and_then(|count| count.checked_mul(4)).ok_or_else(|| wrong("too large"))?;
    let whole = bytes.checked_add(start.len() + length).ok_or_else(|| wrong("too large"))?;
    if file.metadata()?.len() != whole as u64 {
        return Err(wrong("its length is not what its header says"));
    }
    let mut values = vec![0_f32; rows * width];
    file.read_exact(bytemuck::cast_slice_mut(&mut values))?;
    Ok((width, values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_comes_back_and_a_file_cut_short_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.npy");
        let values = [1.0_f32, -2.0, 3.5, 0.0, 7.0, 8.0];
        write(&path, "<f4", &[2, 3], bytemuck::cast_slice(&values)).unwrap();
        assert_eq!(matrix(&path).unwrap(), (3, values.to_vec()));
        let whole = std::fs::read(&path).unwrap();
        assert_eq!((whole.len() - 24) % 64, 0, "NumPy wants the header padded to 64 bytes");
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(matrix(&path).is_err(), "{length}");
        }
    }

    #[test]
    fn a_shape_that_cannot_be_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.npy");
        for rows in [usize::MAX / 4, usize::MAX / 8, usize::MAX] {
            write(&path, "<f4", &[rows, 1], &[]).unwrap();
            assert_eq!(matrix(&path).unwrap_err().kind(), io::ErrorKind::InvalidData, "{rows}");
        }
    }
}
