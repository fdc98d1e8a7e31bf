//! Writes safetensors files into a file that is open already. The library's own way to a file makes a temporary one of its
//! own, for the user alone, which nobody sweeps and nobody syncs.

use std::collections::HashMap;
use std::io::{self, Write};

use safetensors::tensor::{Metadata, TensorInfo, View};

/// Writes a whole file, tensor by tensor, so that never more than one is asked for its bytes.
///
/// # Errors
/// If the disk refuses.
#[expect(clippy::implicit_hasher, reason = "the map is the library's")]
pub fn write<N: AsRef<str>, V: View>(
    out: &mut impl Write,
    mut tensors: Vec<(N, V)>,
    metadata: Option<HashMap<String, String>>,
) -> io::Result<()> {
    // As the library does, so that every tensor is aligned: the widest elements first, then by name.
    tensors.sort_by(|(name, one), (other_name, other)| {
        other.dtype().cmp(&one.dtype()).then_with(|| name.as_ref().cmp(other_name.as_ref()))
    });
    let header = header(&tensors, metadata)?;
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    tensors.iter().try_for_each(|(_, tensor)| out.write_all(&tensor.data()))
}

fn header<N: AsRef<str>, V: View>(
    tensors: &[(N, V)],
    metadata: Option<HashMap<String, String>>,
) -> io::Result<Vec<u8>> {
    let mut end = 0;
    let place = |(name, tensor): &(N, V)| {
        let start = end;
        end += tensor.data_len();
        let info = TensorInfo { dtype: tensor.dtype(), shape: tensor.shape().to_vec(), data_offsets: (start, end) };
        (name.as_ref().to_owned(), info)
    };
    let places = tensors.iter().map(place).collect();
    let header = Metadata::new(metadata, places).map_err(io::Error::other)?;
    let mut header = serde_json::to_vec(&header)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok(header)
}

#[cfg(test)]
mod tests {
    use safetensors::Dtype;
    use safetensors::tensor::TensorView;

    use super::*;

    #[test]
    fn a_file_is_the_one_that_the_library_would_write() {
        let bytes: Vec<u8> = (0..24).collect();
        let view = |dtype, shape: &[usize], length| TensorView::new(dtype, shape.to_vec(), &bytes[..length]).unwrap();
        let tensors = vec![
            ("b", view(Dtype::F32, &[2, 3], 24)),
            ("wide", view(Dtype::I64, &[1], 8)),
            ("a", view(Dtype::F32, &[1], 4)),
            ("empty", view(Dtype::F32, &[0, 4], 0)),
        ];
        for metadata in [None, Some(HashMap::from([("state".to_owned(), "{}".to_owned())]))] {
            let mut written = Vec::new();
            write(&mut written, tensors.clone(), metadata.clone()).unwrap();
            assert_eq!(written, safetensors::serialize(tensors.clone(), metadata).unwrap());
        }
    }

    #[test]
    fn what_the_disk_refuses_is_an_error() {
        let bytes = [0; 100];
        let tensors = vec![("a", TensorView::new(Dtype::U8, vec![100], &bytes).unwrap())];
        let mut room = [0; 90];
        assert_eq!(write(&mut &mut room[..], tensors, None).unwrap_err().kind(), io::ErrorKind::WriteZero);
    }
}
