#![no_main]

use std::sync::LazyLock;

use data_process::event::Silent;
use data_process::sources::id_files;
use humea_fuzz::Folder;

static FOLDER: LazyLock<Folder> = LazyLock::new(|| {
    Folder::new(&["ent_ids_1", "ent_ids_2", "triples_1", "triples_2", "ill_ent_ids", "training_attrs_1", "rel_ids_1"])
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _ = id_files::read(FOLDER.fill(input), &Silent);
});
