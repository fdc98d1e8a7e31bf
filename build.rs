//! Writes libtorch's folder into the binaries' run path, so that they start without any environment variable.

use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    if std::env::var_os("CARGO_FEATURE_TORCH").is_none() {
        return;
    }
    let Some(libtorch) = std::env::var_os("LIBTORCH") else { return };
    let library = PathBuf::from(libtorch).join("lib/libtorch_cpu.so");
    // The file itself may be a link into a Python installation; its neighbours are what the loader must find.
    if let Some(folder) = library.canonicalize().ok().and_then(|file| file.parent().map(PathBuf::from)) {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", folder.display());
    }
}
