//! Choosing the device: CPU everywhere, CUDA where libtorch's CUDA library can be loaded at run time.
#![allow(
    unsafe_code,
    reason = "loading a shared library runs its initialisers, and calling into it is unchecked; file descriptors and the allocator's settings are the process's own"
)]

use std::ffi::{c_int, c_uint, c_void};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::ptr::NonNull;
use std::str::FromStr;

use data_process::fault::{Fault, Kind as FaultKind};
use tch::{Device, Kind, TchError, Tensor};

use crate::refusal;

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
    /// CUDA was asked for, and libtorch's part for it is not there.
    #[error(
        "no CUDA device: libtorch_cuda.so cannot be loaded ({0}); point LD_LIBRARY_PATH at a libtorch 2.11 that has it (README, \"On a \
         GPU\"), or use --device cpu"
    )]
    NoLibrary(String),
    /// CUDA was asked for, and there is no GPU that computes.
    #[error("no CUDA device: {0}; use --device cpu, or --device auto to take a GPU only where there is one")]
    NoCuda(String),
    /// TF32 was asked for, or is to be ruled out.
    #[error("this libtorch has no switch for the precision of products ({0}); use libtorch 2.11")]
    NoSwitch(#[from] libloading::Error),
}

impl Fault for DeviceError {
    fn kind(&self) -> FaultKind {
        FaultKind::Device
    }
}

/// A device as the flags call it.
pub fn name(device: Device) -> &'static str {
    match device {
        Device::Cuda(_) => "cuda",
        Device::Mps => "mps",
        Device::Vulkan => "vulkan",
        Device::Cpu => "cpu",
    }
}

/// The libtorch device for what was asked.
///
/// # Errors
/// If CUDA was asked for and `libtorch_cuda.so` cannot be loaded or finds no GPU that computes.
pub fn choose(wanted: Wanted) -> Result<Device, DeviceError> {
    hush_beta_notice();
    match wanted {
        Wanted::Cpu => Ok(Device::Cpu),
        Wanted::Cuda => cuda(),
        Wanted::Auto => Ok(cuda().unwrap_or_else(|why| {
            if Path::new(DRIVER).exists() {
                log::warn!("the CPU computes, though there is a driver for GPUs: {why}");
            }
            Device::Cpu
        })),
    }
}

/// What NVIDIA's driver puts up where there is one.
const DRIVER: &str = "/dev/nvidiactl";

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

/// As many threads as libtorch's operators run on.
pub fn threads() -> usize {
    tch::get_num_threads().max(1) as usize
}

/// Where a GPU computes, keeps what little the host has to do in the thread that asks the GPU for everything else, for the rest of
/// the process: libtorch's other threads would spin for the next copy of a few numbers.
pub fn only_ask(device: Device) {
    if device.is_cuda() {
        tch::set_num_threads(1);
    }
}

/// Lets a GPU round the factors of float32 products to TF32's ten bits, or no longer, for the rest of the process. Products
/// of a CPU stay as they are.
///
/// # Errors
/// If libtorch has no such switch.
pub fn allow_tf32(allowed: bool) -> Result<(), DeviceError> {
    let (context, set) = switch::<unsafe extern "C" fn(Context, bool)>(b"_ZN2at7Context18setAllowTF32CuBLASEb\0")?;
    // SAFETY: see `switch`.
    unsafe { set(context, allowed) };
    Ok(())
}

/// Rules out what libtorch does by itself to be faster on a GPU: convolutions in TF32, and sums of half-precision products
/// in half precision.
fn sum_in_float32() -> Result<(), DeviceError> {
    let (context, set) = switch::<unsafe extern "C" fn(Context, bool)>(b"_ZN2at7Context17setAllowTF32CuDNNEb\0")?;
    // SAFETY: see `switch`.
    unsafe { set(context, false) };
    for name in
        [b"_ZN2at7Context27setAllowBF16ReductionCuBLASEbb\0", b"_ZN2at7Context27setAllowFP16ReductionCuBLASEbb\0"]
    {
        let (context, set) = switch::<unsafe extern "C" fn(Context, bool, bool)>(name)?;
        // SAFETY: see `switch`. The second is for sums split over blocks, whose parts are only then added up.
        unsafe { set(context, false, true) };
    }
    Ok(())
}

/// A place in the line of everything a GPU has been asked for, at which the host can wait: a CUDA event of the first stream, which is
/// the one libtorch uses.
#[derive(Debug)]
pub struct Mark(NonNull<c_void>);

impl Mark {
    /// A mark that is yet to be set; none where CUDA gives none.
    pub fn new() -> Option<Self> {
        const DISABLE_TIMING: c_uint = 2;
        let mut event = std::ptr::null_mut();
        let create: unsafe extern "C" fn(*mut *mut c_void, c_uint) -> c_int = runtime(b"cudaEventCreateWithFlags\0")?;
        // SAFETY: writes a handle of CUDA's to `event`.
        let code = unsafe { create(&raw mut event, DISABLE_TIMING) };
        NonNull::new(event).filter(|_| code == 0).map(Self)
    }

    /// Sets it behind everything asked for so far; whether that could be done.
    pub fn set(&self) -> bool {
        let record = runtime::<unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int>(b"cudaEventRecord\0");
        // SAFETY: the handle is of CUDA's and not destroyed yet; null is the first stream.
        record.is_some_and(|record| unsafe { record(self.0.as_ptr(), std::ptr::null_mut()) } == 0)
    }

    /// Waits until the GPU has done everything before it. Should that have failed, libtorch is asked to say so, and panics with its words.
    pub fn wait(&self) {
        if let Some(wait) = runtime::<unsafe extern "C" fn(*mut c_void) -> c_int>(b"cudaEventSynchronize\0") {
            // SAFETY: the handle is of CUDA's and not destroyed yet.
            if unsafe { wait(self.0.as_ptr()) } != 0 {
                tch::Cuda::synchronize(0);
            }
        }
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        if let Some(destroy) = runtime::<unsafe extern "C" fn(*mut c_void) -> c_int>(b"cudaEventDestroy\0") {
            // SAFETY: the handle is of CUDA's and destroyed here only.
            unsafe { destroy(self.0.as_ptr()) };
        }
    }
}

/// A function of CUDA's runtime, which libtorch has brought along; `F` is its type in C.
fn runtime<F: Copy>(name: &[u8]) -> Option<F> {
    // SAFETY: the callers write out what the CUDA runtime's header declares; the library stays as long as the process.
    unsafe { libloading::os::unix::Library::this().get::<F>(name).ok().map(|function| *function) }
}

/// `at::Context`.
type Context = *mut c_void;

/// `at::globalContext()`, and a method of it that the binding has no name for, as a function `F` of the context.
fn switch<F: Copy>(name: &[u8]) -> Result<(Context, F), libloading::Error> {
    let libtorch = libloading::os::unix::Library::this();
    // SAFETY: `F` is what C++ declares, a reference and `this` being pointers, as the callers write it out. Both symbols and
    // the context live as long as the process.
    unsafe {
        let context = libtorch.get::<unsafe extern "C" fn() -> Context>(b"_ZN2at13globalContextEv\0")?;
        Ok((context(), *libtorch.get::<F>(name)?))
    }
}

fn cuda() -> Result<Device, DeviceError> {
    load_cuda_library()?;
    if !tch::Cuda::is_available() {
        let why =
            "libtorch sees no GPU: there is none, CUDA_VISIBLE_DEVICES hides it, or its driver is older than CUDA 13";
        return Err(DeviceError::NoCuda(why.to_owned()));
    }
    let device = Device::Cuda(0);
    computes(device).map_err(|error| {
        DeviceError::NoCuda(format!("the GPU does not compute ({})", refusal::without_stack(&error.to_string())))
    })?;
    sum_in_float32()?;
    Ok(device)
}

/// That a GPU is seen does not mean that it is of a generation libtorch has kernels for, or that nobody else fills it.
fn computes(device: Device) -> Result<(), TchError> {
    let numbers = Tensor::f_ones([4, 4], (Kind::Float, device))?;
    numbers.f_mm(&numbers)?.f_sum(Kind::Float)?.f_to_device(Device::Cpu).map(|_| ())
}

/// Loads `libtorch_cuda.so` for the rest of the process; it registers its kernels with the libtorch already there.
fn load_cuda_library() -> Result<(), DeviceError> {
    // SAFETY: the library is libtorch's own, of the version this program is linked with; its initialisers only
    // register kernels. It is never unloaded.
    let library = unsafe { libloading::Library::new("libtorch_cuda.so") }.map_err(|error| {
        // The loader's own words are the cause.
        DeviceError::NoLibrary(std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string))
    })?;
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
        let _ = Tensor::eye(1, (Kind::Float, Device::Cpu)).to_sparse_csr(None);
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
    fn a_mark_can_be_set_where_there_is_one() {
        if let Some(mark) = Mark::new() {
            assert!(mark.set());
            mark.wait();
        }
    }

    #[test]
    fn libtorch_has_the_switches_for_precision() {
        allow_tf32(true).unwrap();
        allow_tf32(false).unwrap();
        sum_in_float32().unwrap();
        let unknown = switch::<unsafe extern "C" fn(Context)>(b"no such switch\0").map_err(DeviceError::from);
        assert!(matches!(unknown, Err(DeviceError::NoSwitch(_))));
    }
}
