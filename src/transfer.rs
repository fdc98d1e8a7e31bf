//! From the host's memory to a device's.
//!
//! A copy to a GPU out of ordinary memory is done only when everything the GPU was given before is done, and the host waits
//! for that. Out of pinned memory it takes its turn like any other work, and the host goes on.

use tch::kind::Element;
use tch::{Device, Kind, Tensor};

use crate::device::Mark;

/// Bytes of float32 rows that go to a GPU at a time.
const CHUNK: i64 = 16 << 20;

/// What the host holds, on a device. libtorch keeps the pinned memory on the way until the copy is done.
pub fn send(tensor: &Tensor, device: Device) -> Tensor {
    if !device.is_cuda() {
        return tensor.to_device(device);
    }
    // `pin_memory` warns users of its own argument.
    tensor.internal_pin_memory(device).to_device_(device, tensor.kind(), true, false)
}

/// Numbers of the host, `[n]`, on a device.
pub fn slice<T: Element>(values: &[T], device: Device) -> Tensor {
    send(&Tensor::from_slice(values), device)
}

/// Rows `[n, d]` that the host holds or has mapped, in a kind on a device. They go to a GPU in chunks: while one is on its way
/// the host reads the next.
pub fn rows(rows: &Tensor, kind: Kind, device: Device) -> Tensor {
    if !device.is_cuda() {
        return rows.to_kind(kind).to_device(device);
    }
    let there = Tensor::empty(rows.size(), (kind, device));
    let together = (CHUNK / (4 * rows.size()[1].max(1))).max(1);
    for (part, mut place) in rows.split(together, 0).iter().zip(there.split(together, 0)) {
        place.copy_(&send(&part.to_kind(kind), device));
    }
    there
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

    #[test]
    fn on_the_cpu_nothing_is_copied() {
        let here = Tensor::from_slice(&[1.0_f32, 2.0]).view([1, 2]);
        for there in [send(&here, Device::Cpu), rows(&here, Kind::Float, Device::Cpu)] {
            assert_eq!(there.data_ptr(), here.data_ptr());
        }
        assert_eq!(rows(&here, Kind::BFloat16, Device::Cpu).kind(), Kind::BFloat16);
        assert_eq!(slice(&[3_i64], Device::Cpu), Tensor::from_slice(&[3_i64]));
        let arriving = Arriving::begin(&here);
        assert!(arriving.are_there());
        assert_eq!(arriving.wait().data_ptr(), here.data_ptr());
    }
}
