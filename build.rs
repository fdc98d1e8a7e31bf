//! Writes libtorch's folder into the binaries' run path, so that they start without any environment variable.

use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    if std::env::var_os("CARGO_FEATURE_TORCH").is_none() {
        return;
    }
    // Set by .cargo/config.toml if nobody else has.
    let Some(libtorch) = std::env::var_os("LIBTORCH").map(PathBuf::from) else { return };
    println!("cargo::rerun-if-changed={}", libtorch.join("lib").display());
    let library = libtorch.join("lib/libtorch_cpu.so");
    if !library.exists() {
        println!("cargo::error=no libtorch in {}: run `make libtorch` first", libtorch.display());
        return;
    }
    // First where the file itself lies: in a Python installation that is where the CUDA part is found. Then the link,
    // which still holds after `make libtorch` has chosen another libtorch, until the next build.
    let real = library.canonicalize().ok().and_then(|file| file.parent().map(Path::to_path_buf));
    for folder in real.into_iter().chain([libtorch.join("lib")]) {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{}", folder.display());
    }
}
