#![no_main]

use std::sync::LazyLock;

use data_process::sources::published;
use humea_fuzz::Folder;

static FOLDER: LazyLock<Folder> =
    LazyLock::new(|| Folder::new(&["train_links", "test_links", "valid_links", "ent_ids_1", "ent_ids_2"]));

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let uris = ["a", "b", "x", "y"].map(Box::from);
    let _ = published::read(FOLDER.fill(input), &uris, 2, &[[0, 2], [1, 3]]);
});
