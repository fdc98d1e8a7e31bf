#![no_main]

use std::sync::LazyLock;

use data_process::event::Silent;
use data_process::sources::openea;
use humea_fuzz::Folder;

static FOLDER: LazyLock<Folder> = LazyLock::new(|| {
    Folder::new(&["rel_triples_1", "attr_triples_1", "rel_triples_2", "attr_triples_2", "ent_links"])
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _ = openea::read(FOLDER.fill(input), false, &Silent);
});
