//! The readers of `.npy` and safetensors.
#![no_main]

use std::path::Path;

use data_process::vectors::{Choice, npy, safetensors};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    drop(npy::parse(Path::new("fuzz.npy"), bytes, bytes.len() as u64));
    drop(safetensors::parse(Path::new("fuzz.safetensors"), bytes, &Choice::default()));
});
