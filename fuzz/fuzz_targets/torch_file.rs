//! The reader of files that `torch.save` wrote, zip and legacy.
#![no_main]

use data_process::vectors::torch_file::TorchFile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = tempfile::NamedTempFile::new() else { return };
    if std::fs::write(file.path(), bytes).is_err() {
        return;
    }
    if let Ok(torch) = TorchFile::open(file.path()) {
        for name in torch.names() {
            drop(torch.tensor(name));
        }
    }
});
