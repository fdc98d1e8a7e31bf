//! A tensor over a mapped column: the one place where memory of the store and of libtorch meet.
#![allow(unsafe_code, reason = "libtorch takes a raw pointer to memory it does not own")]

use tch::{Device, Kind, Tensor};

/// A `[rows, width]` float32 tensor over memory that lives as long as the process; nothing is copied.
pub(super) fn tensor(values: &'static mut [f32], width: usize) -> Tensor {
    let rows = values.len() / width.max(1);
    let shape = [rows as i64, width as i64];
    let strides = [width as i64, 1];
    // SAFETY: the slice is never freed and nobody else holds it ('static and exclusive); shape and strides stay within
    // it; float32 rows are contiguous. Writes through the tensor reach a private mapping or a buffer, never the file.
    unsafe { Tensor::from_blob(values.as_mut_ptr().cast(), &shape, &strides, Kind::Float, Device::Cpu) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_tensor_reads_and_writes_the_memory_it_was_given() {
        let values: &'static mut [f32] = Box::leak(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0].into_boxed_slice());
        let address = values.as_ptr() as usize;
        let mut tensor = super::tensor(values, 3);
        assert_eq!((tensor.size(), tensor.data_ptr() as usize), (vec![2, 3], address));
        let _ = tensor.g_mul_scalar_(2.0);
        assert_eq!(Vec::<f32>::try_from(tensor.get(1)).unwrap(), [8.0, 10.0, 12.0]);
    }
}
