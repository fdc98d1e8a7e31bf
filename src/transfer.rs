//! From the host's memory to a device's.
//!
//! A copy to a GPU out of ordinary memory is done only when everything the GPU was given before is done, and the host waits
//! for that. Out of pinned memory it takes its turn like any other work, and the host goes on.

use tch::kind::Element;
use tch::{Device, TchError, Tensor};

use crate::device::Mark;

/// Bytes of float32 rows that go to a GPU at a time.
const CHUNK: i64 = 16 << 20;

/// What the host holds, where a device can fetch it by itself.
#[derive(Debug)]
pub struct Staged {
    tensor: Tensor,
    device: Device,
}

impl Staged {
    /// A copy in pinned memory for a GPU, and nothing new for a CPU.
    pub fn new(tensor: &Tensor, device: Device) -> Self {
        // `pin_memory` warns users of its own argument.
        let tensor = if device.is_cuda() { tensor.internal_pin_memory(device) } else { tensor.shallow_clone() };
        Self { tensor, device }
    }

    /// On the device. libtorch keeps the pinned memory until the copy is done.
    pub fn send(&self) -> Tensor {
        self.tensor.to_device_(self.device, self.tensor.kind(), true, false)
    }
}

/// What the host holds, on a device.
pub fn send(tensor: &Tensor, device: Device) -> Tensor {
    Staged::new(tensor, device).send()
}

/// The same, for a device that may have no room left.
///
/// # Errors
/// If libtorch refuses, usually for want of memory.
pub fn f_send(tensor: &Tensor, device: Device) -> Result<Tensor, TchError> {
    let tensor = if device.is_cuda() { tensor.f_internal_pin_memory(device)? } else { tensor.shallow_clone() };
    tensor.f_to_device_(device, tensor.kind(), true, false)
}

/// Numbers of the host, `[n]`, on a device.
pub fn slice<T: Element>(values: &[T], device: Device) -> Tensor {
    send(&Tensor::from_slice(values), device)
}

/// Puts float32 rows `[n, d]` that the host holds or has mapped, each times its `scale` `[n, 1]`, in their `place` on a device, in its
/// kind. They go to a GPU in chunks: while one is on its way the host reads the next.
pub fn rows(rows: &Tensor, scale: &Tensor, place: &Tensor) {
    let device = place.device();
    let together = (CHUNK / (4 * rows.size()[1].max(1))).max(1);
    let scales = send(scale, device).split(together, 0);
    for ((part, scale), mut place) in rows.split(together, 0).iter().zip(scales).zip(place.split(together, 0)) {
        place.copy_(&(send(part, device) * scale));
    }
}

/// Numbers on their way from a device to the host. What the device is asked for meanwhile does not delay them.
#[derive(Debug)]
pub struct Arriving {
    numbers: Tensor,
    mark: Option<Mark>,
}

impl Arriving {
    /// Lets them go. From a CPU they are there at once; so they are where CUDA gives no mark, and then the host has waited.
    pub fn begin(numbers: &Tensor) -> Self {
        if let Some(mark) = numbers.device().is_cuda().then(Mark::new).flatten() {
            let there = numbers.to_device_(Device::Cpu, numbers.kind(), true, false);
            if mark.set() {
                return Self { numbers: there, mark: Some(mark) };
            }
        }
        Self { numbers: numbers.to_device(Device::Cpu), mark: None }
    }

    /// Whether they are there already, as far as one can tell without asking.
    pub fn are_there(&self) -> bool {
        self.mark.is_none()
    }

    /// The numbers, once they are there.
    pub fn wait(&self) -> &Tensor {
        if let Some(mark) = &self.mark {
            mark.wait();
        }
        &self.numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    #[test]
    fn rows_come_scaled_to_their_place_whatever_their_number() {
        let width = CHUNK / 8;
        let here = Tensor::from_slice(&[1.0_f32, 2.0, 3.0]).view([3, 1]).repeat([1, width]);
        let place = Tensor::zeros([3, width], (Kind::BFloat16, Device::Cpu));
        rows(&here, &Tensor::from_slice(&[2.0_f32, 0.5, 3.0]).view([3, 1]), &place);
        for (row, expected) in [2.0, 1.0, 9.0].into_iter().enumerate() {
            assert_eq!(place.get(row as i64), Tensor::full([width], expected, (Kind::BFloat16, Device::Cpu)));
        }
    }

    #[test]
    fn on_the_cpu_nothing_is_copied() {
        let here = Tensor::from_slice(&[1.0_f32, 2.0]).view([1, 2]);
        assert_eq!(send(&here, Device::Cpu).data_ptr(), here.data_ptr());
        assert_eq!(slice(&[3_i64], Device::Cpu), Tensor::from_slice(&[3_i64]));
        let arriving = Arriving::begin(&here);
        assert!(arriving.are_there());
        assert_eq!(arriving.wait().data_ptr(), here.data_ptr());
    }
}
