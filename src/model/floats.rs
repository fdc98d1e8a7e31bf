//! A tensor's numbers as a slice, for the work that libtorch has no operator for: the one place of this room that reads its memory.
#![allow(unsafe_code, reason = "libtorch gives its memory as a raw pointer")]

use tch::{Device, Kind, Tensor};

/// The numbers of a contiguous float32 tensor on a CPU.
pub(super) fn floats(tensor: &Tensor) -> &[f32] {
    match extent(tensor) {
        0 => &[],
        // SAFETY: the tensor is alive as long as the slice, and has as many float32 one after another from there on.
        // Nothing changes it meanwhile: this room runs in one thread, which holds no other slice of it that can be written.
        count => unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast(), count) },
    }
}

/// The same, to be written: of a tensor that is nobody else's.
pub(super) fn floats_mut(tensor: &mut Tensor) -> &mut [f32] {
    match extent(tensor) {
        0 => &mut [],
        // SAFETY: as above, and the caller has just made the tensor: nothing else looks at its memory.
        count => unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast(), count) },
    }
}

fn extent(tensor: &Tensor) -> usize {
    assert!(
        tensor.device() == Device::Cpu && tensor.kind() == Kind::Float && tensor.is_contiguous() && !tensor.is_sparse(),
        "only float32 on a CPU, one row behind the other, can be looked at"
    );
    tensor.numel()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_the_tensors_own_memory() {
        let mut tensor = Tensor::from_slice(&[1.0_f32, 2.0, 3.0, 4.0]).view([2, 2]);
        floats_mut(&mut tensor)[3] = 5.0;
        assert!(floats(&tensor) == [1.0, 2.0, 3.0, 5.0] && floats(&tensor.get(1)) == [3.0, 5.0]);
        assert!(
            floats(&tensor.narrow(0, 0, 0)).is_empty() && tensor.double_value(&[1, 1]).to_bits() == 5.0_f64.to_bits()
        );
    }

    #[test]
    #[should_panic(expected = "one row behind the other")]
    fn a_transposed_tensor_has_no_slice() {
        let _ = floats(&Tensor::zeros([2, 3], (Kind::Float, Device::Cpu)).tr());
    }

    #[test]
    #[should_panic(expected = "only float32")]
    fn numbers_of_another_format_are_not_taken_for_float32() {
        let _ = floats(&Tensor::zeros([4], (Kind::Double, Device::Cpu)));
    }
}
