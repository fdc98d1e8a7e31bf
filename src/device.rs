//! Choosing the device: CPU everywhere, CUDA where libtorch's CUDA library can be loaded at run time.
#![allow(
    unsafe_code,
    reason = "loading a shared library runs its initialisers, and calling into it is unchecked; file descriptors and the allocator's settings are the process's own"
)]

use std::ffi::c_void;
use std::os::fd::AsRawFd;
use std::str::FromStr;

use data_process::fault::{Fault, Kind};
use tch::{Device, Tensor};

/// What the user may ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    /// CUDA if there is a usable GPU, otherwise the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The first CUDA device; an error if there is none.
    Cuda,
}

impl FromStr for Wanted {
    type Err = UnknownDevice;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda),
            other => Err(UnknownDevice(other.to_owned())),
        }
    }
}

/// A name that is not a device.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a device; write auto, cpu or cuda")]
pub struct UnknownDevice(String);

/// What was asked of the device is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// CUDA was asked for.
    #[error("no CUDA device: {0}; use --device cpu, or --device auto to take a GPU only where there is one")]
    NoCuda(String),
    /// TF32 was asked for.
    #[error("this libtorch has no switch for TF32 ({0}); set model.precision to float32 or bf16")]
    NoTf32(#[from] libloading::Error),
}

impl Fault for DeviceError {
    fn kind(&self) -> Kind {
        Kind::Device
    }
}

/// The libtorch device for what was asked.
///
/// # Errors
/// If CUDA was asked for and `libtorch_cuda.so` cannot be loaded or sees no GPU.
pub fn choose(wanted: Wanted) -> Result<Device, DeviceError> {
    hush_beta_notice();
    match wanted {
        Wanted::Cpu => Ok(Device::Cpu),
        Wanted::Cuda => cuda(),
        Wanted::Auto => Ok(cuda().unwrap_or(Device::Cpu)),
    }
}

/// Lets the allocator keep what is freed instead of handing it back to the system, for the rest of the process. Every epoch,
/// and every batch of texts, asks for the same large tensors again; fresh pages for them cost about a tenth of an epoch and a
/// twentieth of a batch on a CPU (`docs/benchmarks.md`).
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: sets two thresholds of glibc's allocator, which takes its own lock; no memory is touched.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
    }
}

/// Lets a GPU round the factors of float32 products to TF32's ten bits, or no longer, for the rest of the process. Products
/// of a CPU stay as they are.
///
/// # Errors
/// If libtorch has no such switch.
pub fn allow_tf32(allowed: bool) -> Result<(), DeviceError> {
    type Context = *mut c_void;
    let libtorch = libloading::os::unix::Library::this();
    // SAFETY: `at::globalContext()` and `at::Context::setAllowTF32CuBLAS(bool)`, which the binding has no names for, as C++
    // declares them: a reference and `this` are pointers. The context lives as long as the process.
    unsafe {
        let context = libtorch.get::<unsafe extern "C" fn() -> Context>(b"_ZN2at13globalContextEv\0")?;
        let allow = libtorch.get::<unsafe extern "C" fn(Context, bool)>(b"_ZN2at7Context18setAllowTF32CuBLASEb\0")?;
        allow(context(), allowed);
    }
    Ok(())
}

fn cuda() -> Result<Device, DeviceError> {
    load_cuda_library()?;
    if tch::Cuda::is_available() {
        Ok(Device::Cuda(0))
    } else {
        Err(DeviceError::NoCuda("libtorch sees no GPU".to_owned()))
    }
}

/// Loads `libtorch_cuda.so` for the rest of the process; it registers its kernels with the libtorch already there.
fn load_cuda_library() -> Result<(), DeviceError> {
    // SAFETY: the library is libtorch's own, of the version this program is linked with; its initialisers only
    // register kernels. It is never unloaded.
    let library = unsafe { libloading::Library::new("libtorch_cuda.so") }
        .map_err(|error| DeviceError::NoCuda(format!("libtorch_cuda.so cannot be loaded ({error})")))?;
    std::mem::forget(library);
    Ok(())
}

/// libtorch tells standard error, once in a process, that its sparse matrices are "in beta state". The golden tests hold
/// them to account; this makes the first one while standard error leads nowhere, so that no user has to read that.
fn hush_beta_notice() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let Ok(nowhere) = std::fs::OpenOptions::new().write(true).open("/dev/null") else { return };
        // SAFETY: duplicates the process's own standard error; the result is checked before it is used.
        let kept = unsafe { libc::dup(libc::STDERR_FILENO) };
        if kept < 0 {
            return;
        }
        // SAFETY: both descriptors are open; standard error is put back below.
        unsafe { libc::dup2(nowhere.as_raw_fd(), libc::STDERR_FILENO) };
        let _ = Tensor::eye(1, (tch::Kind::Float, Device::Cpu)).to_sparse_csr(None);
        // SAFETY: `kept` is the open descriptor made above; it is closed exactly once.
        unsafe {
            libc::dup2(kept, libc::STDERR_FILENO);
            libc::close(kept);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_device_is_told_the_known_ones() {
        assert!("gpu".parse::<Wanted>().unwrap_err().to_string().contains("cuda"));
    }

    #[test]
    fn libtorch_has_a_switch_for_tf32() {
        allow_tf32(true).unwrap();
        allow_tf32(false).unwrap();
    }
}
