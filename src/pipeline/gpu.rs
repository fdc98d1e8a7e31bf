//! Waiting until a GPU has nothing to do, asked of the driver itself (NVML).

use std::time::Duration;

use data_process::event::{Event, Observer};
use data_process::fault::{Fault, Kind};
use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;

use crate::interrupt;

/// The driver cannot be asked.
#[derive(Debug, thiserror::Error)]
#[error("--wait-for-gpu: the NVIDIA driver cannot be asked ({0}); leave the flag out on a machine without one")]
pub struct GpuError(#[from] NvmlError);

impl Fault for GpuError {
    fn kind(&self) -> Kind {
        Kind::Device
    }
}

/// Seconds between two looks.
const PAUSE: Duration = Duration::from_secs(5);

/// Returns when some GPU runs no process of anyone's, or when the user wants to stop.
///
/// # Errors
/// If there is no NVIDIA driver, or it does not answer.
pub fn wait_for_idle_gpu(observer: &dyn Observer) -> Result<(), GpuError> {
    let driver = Nvml::init()?;
    let mut said = false;
    while !interrupt::requested() {
        for number in 0..driver.device_count()? {
            if driver.device_by_index(number)?.running_compute_processes()?.is_empty() {
                return Ok(());
            }
        }
        if !said {
            observer.on(Event::Note("every GPU is busy: waiting"));
            said = true;
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}
