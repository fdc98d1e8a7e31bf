//! The pickle reader: no panic, nothing run, memory bounded (`-malloc_limit_mb`, `-rss_limit_mb`).
#![no_main]

use std::path::Path;

use data_process::vectors::pickle;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    drop(pickle::parse(Path::new("fuzz.pkl"), bytes));
});
