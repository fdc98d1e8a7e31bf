#![no_main]

use std::sync::LazyLock;

use data_process::event::Silent;
use data_process::sources::rdf::{self, Source};
use humea_fuzz::Folder;

static FOLDER: LazyLock<Folder> = LazyLock::new(|| Folder::new(&["left.nt", "right.ttl", "other.rdf", "links.nt"]));

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let at = |name: &str| FOLDER.fill(input).join(name);
    for (left, right) in [("left.nt", "right.ttl"), ("left.nt", "other.rdf")] {
        let source = Source { left: at(left), right: at(right), links: Some(at("links.nt")), use_labels: true };
        if let Ok(loaded) = rdf::read(&source, &Silent) {
            assert!(loaded.pair.links.len() <= input.len());
        }
    }
});
