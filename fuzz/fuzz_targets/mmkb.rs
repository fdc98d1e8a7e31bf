#![no_main]

use std::sync::LazyLock;

use data_process::event::Silent;
use data_process::sources::mmkb::{self, Pair};
use humea_fuzz::Folder;

static FOLDER: LazyLock<Folder> = LazyLock::new(|| {
    Folder::new(&[
        "FB15K/FB15K_EntityTriples.txt",
        "FB15K/FB15K_NumericalTriples.txt",
        "DB15K/DB15K_EntityTriples.txt",
        "DB15K/DB15K_NumericalTriples.txt",
        "DB15K/DB15K_SameAsLink.txt",
    ])
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _ = mmkb::read(FOLDER.fill(input), Pair::Fb15kDb15k, &Silent);
});
