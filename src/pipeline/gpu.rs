//! Waiting until a GPU has nothing to do, asked of the driver itself (NVML), and keeping it for one run.

use std::collections::BTreeSet;
use std::env;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
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

/// Which GPUs a process may use, as its user says.
const VISIBLE: &str = "CUDA_VISIBLE_DEVICES";

/// The GPUs that runs of this process have taken, by the driver's numbers: a run that was just started does not keep its
/// own busy yet.
#[derive(Debug, Default)]
pub struct Gpus(Mutex<BTreeSet<u32>>);

/// A GPU taken for one run, until this is dropped.
#[derive(Debug)]
pub struct Gpu<'a> {
    number: u32,
    taken: &'a Gpus,
}

impl Gpus {
    /// Waits until some GPU runs no process of anyone's and takes it; none if the user wants to stop.
    ///
    /// # Errors
    /// If there is no NVIDIA driver, or it does not answer.
    pub fn wait_for_idle(&self, observer: &dyn Observer) -> Result<Option<Gpu<'_>>, GpuError> {
        let driver = Nvml::init()?;
        let mut said = false;
        while !interrupt::requested() {
            if let Some(gpu) = self.take(&idle(&driver)?) {
                return Ok(Some(gpu));
            }
            if !said {
                observer.on(Event::Note("every GPU is busy: waiting"));
                said = true;
            }
            std::thread::sleep(PAUSE);
        }
        Ok(None)
    }

    fn take(&self, idle: &[u32]) -> Option<Gpu<'_>> {
        let mut taken = self.taken();
        let number = idle.iter().copied().find(|number| taken.insert(*number))?;
        Some(Gpu { number, taken: self })
    }

    fn taken(&self) -> MutexGuard<'_, BTreeSet<u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gpu<'_> {
    /// Shows a command this GPU alone.
    pub fn show_to(&self, command: &mut Command) {
        // The driver numbers by bus, CUDA otherwise by speed.
        command.env("CUDA_DEVICE_ORDER", "PCI_BUS_ID").env(VISIBLE, self.number.to_string());
    }
}

impl Drop for Gpu<'_> {
    fn drop(&mut self) {
        self.taken.taken().remove(&self.number);
    }
}

fn idle(driver: &Nvml) -> Result<Vec<u32>, NvmlError> {
    let visible = env::var(VISIBLE).ok();
    let mut idle = Vec::new();
    for number in 0..driver.device_count()? {
        let device = driver.device_by_index(number)?;
        if visible.as_deref().is_none_or(|list| lists(list, number, &device.uuid().unwrap_or_default()))
            && device.running_compute_processes()?.is_empty()
        {
            idle.push(number);
        }
    }
    Ok(idle)
}

/// Whether a GPU is in a list of numbers, or of beginnings of identifiers.
fn lists(list: &str, number: u32, uuid: &str) -> bool {
    let is = |one: &str| one.parse() == Ok(number) || (one.starts_with("GPU-") && uuid.starts_with(one));
    list.split(',').map(str::trim).any(is)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_never_take_the_same_idle_gpu() {
        let gpus = Gpus::default();
        let first = gpus.take(&[1, 3]).unwrap();
        let second = gpus.take(&[1, 3]).unwrap();
        assert_eq!((first.number, second.number), (1, 3));
        assert!(gpus.take(&[1, 3]).is_none());
        drop(first);
        assert_eq!(gpus.take(&[1, 3]).unwrap().number, 1);
    }

    #[test]
    fn a_run_sees_the_gpu_taken_for_it_and_no_other() {
        let gpus = Gpus::default();
        let mut command = Command::new("humea");
        gpus.take(&[2]).unwrap().show_to(&mut command);
        let set: Vec<_> =
            command.get_envs().map(|(key, value)| (key.to_str(), value.and_then(|v| v.to_str()))).collect();
        let expected = [("CUDA_DEVICE_ORDER", "PCI_BUS_ID"), ("CUDA_VISIBLE_DEVICES", "2")];
        assert_eq!(set, expected.map(|(key, value)| (Some(key), Some(value))));
    }

    #[test]
    fn only_gpus_that_the_user_lets_be_seen_are_taken() {
        let uuid = "GPU-5a3c";
        for (list, seen) in
            [("0,2", true), (" 2 ", true), ("GPU-5a", true), ("1", false), ("", false), ("GPU-6,12", false)]
        {
            assert_eq!(lists(list, 2, uuid), seen, "{list:?}");
        }
    }
}
