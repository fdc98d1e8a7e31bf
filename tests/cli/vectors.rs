//! `humea import-vectors` and `humea embed-image`.

use std::path::{Path, PathBuf};

use data_process::pair::{Graph, GraphPair};
use data_process::store::{self, Store};

use super::{humea, stdout};

fn fixture(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name).display().to_string()
}

/// Ten entities `/m/0` to `/m/9` on the left, eleven `http://x/10` to `http://x/20` on the right.
fn new_store(folder: &Path) -> PathBuf {
    let path = folder.join("pair.parquet");
    let graph = |name: &str, entities: Vec<String>| Graph {
        name: name.to_owned(),
        entities: entities.into_iter().map(Into::into).collect(),
        ..Graph::default()
    };
    let left = graph("FB", (0..10).map(|id| format!("/m/{id}")).collect());
    let right = graph("DB", (10..21).map(|id| format!("http://x/{id}")).collect());
    store::write(&path, &GraphPair { left, right, links: vec![(0, 0)] }, &[]).unwrap();
    path
}

#[test]
fn vectors_are_imported_and_their_coverage_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let path = new_store(folder.path()).display().to_string();
    let pickle = fixture("vectors/numpy1_p4.pkl");
    let said = stdout(&["import-vectors", "--store", &path, "--modality", "image", "--from", &pickle]);
    assert!(said.contains("image: 4 floats each") && said.contains("FB: 2 of 10 entities (20.0 %)"), "{said}");
    assert_eq!(Store::open(Path::new(&path)).unwrap().vector_columns()[0].present, [2, 1]);
}

#[test]
fn a_pickle_that_would_run_code_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = new_store(folder.path()).display().to_string();
    let evil = fixture("vectors/evil.pkl");
    let run = humea(&["import-vectors", "--store", &path, "--modality", "image", "--from", &evil]).assert().code(4);
    let said = String::from_utf8_lossy(&run.get_output().stderr).into_owned();
    assert!(said.contains("system") && said.contains("was not run"), "{said}");
}

#[cfg(feature = "torch")]
#[test]
fn images_are_embedded_and_damaged_ones_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = new_store(folder.path()).display().to_string();
    let images = folder.path().join("images");
    std::fs::create_dir(&images).unwrap();
    for (from, to) in [("picture.jpg", "m.3.jpg"), ("grey.png", "14.png"), ("make.py", "20.jpg")] {
        std::fs::copy(fixture(&format!("vision/{from}")), images.join(to)).unwrap();
    }
    let (weights, images) = (fixture("vision/timm.safetensors"), images.display().to_string());
    let arguments = ["embed-image", "--store", &path, "--images", &images, "--model", &weights, "--device", "cpu"];
    let said = stdout(&arguments);
    assert!(said.contains("image: 16 floats each") && said.contains("1 images could not be decoded"), "{said}");
    let column = &Store::open(Path::new(&path)).unwrap().vector_columns()[0].clone();
    assert_eq!((column.width, column.present), (16, [1, 1]));
    let hostile = fixture("vectors/evil.bin");
    humea(&["embed-image", "--store", &path, "--images", &images, "--model", &hostile, "--device", "cpu"])
        .assert()
        .code(4);
}
