//! Opening a store and reading everything in it: an error or columns that agree with themselves.
#![no_main]

use std::panic;
use std::sync::LazyLock;

use data_process::store::{Store, StoreError};
use humea_fuzz::Folder;
use libfuzzer_sys::fuzz_target;

static FOLDER: LazyLock<Folder> = LazyLock::new(|| {
    // libFuzzer ends at every panic; those of the Parquet library are caught by the crate and must not count.
    let end = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let inside = |library: &str| info.location().is_some_and(|place| place.file().contains(library));
        if !["/parquet-", "/arrow-"].into_iter().any(inside) {
            end(info);
        }
    }));
    Folder::new(&["pair.parquet"])
});

fuzz_target!(|bytes: &[u8]| {
    drop(read(&FOLDER.fill(bytes).join("pair.parquet")));
});

fn read(path: &std::path::Path) -> Result<(), StoreError> {
    let store = Store::open(path)?;
    for column in store.vector_columns() {
        let vectors = store.vectors(&column.name)?;
        assert_eq!(vectors.as_slice()?.len(), vectors.rows().len() * vectors.width());
        assert!(vectors.rows().iter().all(|&row| (row as usize) < store.entities()));
    }
    store.structure()?;
    store.validate().map(drop)
}
