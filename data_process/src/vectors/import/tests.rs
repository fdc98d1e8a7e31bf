use super::*;
use crate::event::Silent;
use crate::pair::{Graph, GraphPair};
use crate::store;
use crate::vectors::fixtures::{path, row};

/// Twenty-one entities: `/m/0` to `/m/9` left, `<http://x/10>` to `<http://x/20>` right.
fn store() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pair.parquet");
    let graph = |name: &str, entities: Vec<String>| Graph {
        name: name.to_owned(),
        entities: entities.into_iter().map(Into::into).collect(),
        ..Graph::default()
    };
    let left = graph("FB", (0..10).map(|id| format!("/m/{id}")).collect());
    let right = graph("DB", (10..21).map(|id| format!("<http://x/{id}>")).collect());
    store::write(&path, &GraphPair { left, right, links: vec![(0, 0)] }, &[]).unwrap();
    (folder, path)
}

fn request(store: &Path, file: &str) -> Request {
    Request {
        store: store.to_owned(),
        column: "image".to_owned(),
        files: vec![path(file)],
        indexes: Vec::new(),
        choice: Choice::default(),
        ids: IdSpace::Store,
    }
}

#[test]
fn a_pickle_of_store_ids_becomes_a_column_with_its_provenance() {
    let (_folder, path) = store();
    let imported = import(&request(&path, "numpy2_p4.pkl"), &Silent, &|| false).unwrap();
    assert_eq!((imported.width, imported.coverage.present), (4, [2, 1]));
    assert_eq!(imported.graphs, ["FB", "DB"]);
    let store = Store::open(&path).unwrap();
    let vectors = store.vectors("image").unwrap();
    assert_eq!(vectors.rows(), [1, 3, 20]);
    assert_eq!(vectors.as_slice().unwrap(), [row(1), row(3), row(20)].concat());
    let provenance = store.vector_columns()[0].provenance.clone().unwrap();
    assert!(provenance.source.ends_with("numpy2_p4.pkl"));
    assert_eq!(provenance.sha256.unwrap().len(), 64);
    assert_eq!(provenance.details["coverage"]["right"]["entities"], 11);
    assert_eq!(provenance.details["coverage"]["left"]["present"], 2);
}

#[test]
fn images_of_both_sides_come_in_through_their_indexes() {
    let (folder, path) = store();
    let [left, right] = ["left.txt", "right.txt"].map(|name| folder.path().join(name));
    // The image numbered 3 belongs to entity 5, not to entity 3.
    std::fs::write(&left, "/m/5\t3\n/m/5\t1\n").unwrap();
    std::fs::write(&right, "http://x/12\t20\nhttp://x/13\t99\n").unwrap();
    let request = Request { indexes: vec![left, right], ..request(&path, "images.h5") };
    let imported = import(&request, &Silent, &|| false).unwrap();
    let Coverage { present, duplicates, missing, .. } = imported.coverage;
    assert_eq!((present, duplicates, missing), ([1, 1], 1, 1));
    let store = Store::open(&path).unwrap();
    let vectors = store.vectors("image").unwrap();
    assert_eq!(vectors.rows(), [5, 12]);
    assert_eq!(vectors.as_slice().unwrap(), [row(3), row(20)].concat());
}

#[test]
fn a_failed_or_stopped_import_leaves_the_store_as_it_was() {
    let (_folder, path) = store();
    let before = std::fs::read(&path).unwrap();
    let evil = import(&request(&path, "evil.pkl"), &Silent, &|| false).unwrap_err();
    assert_eq!(evil.kind(), Kind::Data);
    let stopped = import(&request(&path, "numpy2_p4.pkl"), &Silent, &|| true).unwrap_err();
    assert_eq!(stopped.kind(), Kind::Interrupted);
    assert_eq!(std::fs::read(&path).unwrap(), before);
    let missing = Request { store: "/no/such.parquet".into(), ..request(&path, "evil.pkl") };
    assert!(matches!(import(&missing, &Silent, &|| false), Err(ImportError::Store(_))));
}

#[test]
fn what_a_store_exports_comes_back_as_it_was() {
    let (folder, path) = store();
    let values = [row(1), row(3), row(20)].concat();
    let (rows, provenance) = ([1, 3, 20], Provenance::default());
    let columns = ["image", "relation_text"].map(|name| NewVectors {
        name,
        width: 4,
        rows: &rows,
        values: &values,
        provenance: &provenance,
    });
    Store::open(&path).unwrap().put_vectors(&columns).unwrap();
    for format in [store::Format::Npy, store::Format::Safetensors] {
        store::export(&Store::open(&path).unwrap(), format, folder.path()).unwrap();
    }
    let choice = Choice { column: Some("image".to_owned()), key: None };
    for (column, file) in [("npy", "image.npy"), ("tensors", "vectors.safetensors")] {
        let files = vec![folder.path().join(file)];
        let request = Request { column: column.to_owned(), files, choice: choice.clone(), ..request(&path, "") };
        import(&request, &Silent, &|| false).unwrap();
        let store = Store::open(&path).unwrap();
        let back = store.vectors(column).unwrap();
        assert_eq!((back.rows(), back.as_slice().unwrap()), (&rows[..], &values[..]), "{file}");
    }
    std::fs::remove_file(folder.path().join("image.rows.npy")).unwrap();
    let request = Request { files: vec![folder.path().join("image.npy")], ..request(&path, "") };
    let error = import(&request, &Silent, &|| false).unwrap_err();
    let compacted = matches!(error, ImportError::Vectors(VectorError::Keyless { rows: 3, entities: 21, .. }));
    assert!(compacted && error.to_string().contains("NAME.rows.npy"), "{error}");
}

#[test]
fn more_files_than_graphs_are_refused() {
    let (_folder, path) = store();
    let three = vec![path.clone(); 3];
    let one = request(&path, "numpy2_p4.pkl");
    for (option, request) in
        [("--from", Request { files: three.clone(), ..one.clone() }), ("--index", Request { indexes: three, ..one })]
    {
        let error = import(&request, &Silent, &|| false).unwrap_err();
        assert!(matches!(error, ImportError::Vectors(VectorError::Files { found: 3, .. })), "{error}");
        assert!(error.to_string().contains(option), "{error}");
    }
}

#[test]
fn several_files_are_each_hashed() {
    let (_folder, path) = store();
    let mut both = request(&path, "fixed_f32.parquet");
    both.files.push(super::super::fixtures::path("numpy2_p4.pkl"));
    let imported = import(&both, &Silent, &|| false).unwrap();
    assert_eq!((imported.coverage.present, imported.coverage.unmatched), ([2, 1], 3), "each file is of one graph");
    let provenance = Store::open(&path).unwrap().vector_columns()[0].provenance.clone().unwrap();
    assert_eq!(provenance.details["files"].as_object().unwrap().len(), 2);
}
