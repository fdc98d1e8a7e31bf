use super::*;
use crate::vectors::fixtures::{assert_is_the_table, bytes, mutations, path, row};

fn choice(column: Option<&str>, key: Option<&str>) -> Choice {
    Choice { column: column.map(str::to_owned), key: key.map(str::to_owned) }
}

fn parse_bytes(bytes: &[u8]) -> Result<VectorTable, VectorError> {
    parse(Path::new("v.npy"), bytes, bytes.len() as u64)
}

fn npz(bytes: &[u8]) -> Result<VectorTable, VectorError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    read_npz(file.path(), &Choice::default())
}

#[test]
fn a_matrix_in_either_order_is_read_row_by_row() {
    for name in ["matrix.npy", "matrix_fortran.npy", "matrix_big_f8.npy"] {
        let table = read(&path(name)).unwrap();
        assert_eq!(table.keys(), &Keys::Rows(3), "{name}");
        assert_eq!([table.row(0), table.row(1), table.row(2)], [&row(3)[..], &row(1), &row(20)], "{name}");
    }
}

#[test]
fn a_matrix_of_all_entities_is_read_in_either_order_and_width_and_must_have_their_number() {
    for name in ["matrix.npy", "matrix_fortran.npy", "matrix_big_f8.npy"] {
        let expected = [row(3), row(1), row(20)].concat();
        assert_eq!(read_matrix(&path(name), 3).unwrap(), (4, expected), "{name}");
        let error = read_matrix(&path(name), 4).unwrap_err();
        assert!(matches!(error, VectorError::Rows { rows: 3, entities: 4, .. }), "{error}");
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut absent = bytes("matrix.npy");
    let end = absent.len();
    absent[end - 16..].copy_from_slice(&[f32::NAN; 4].map(f32::to_le_bytes).concat());
    std::fs::write(file.path(), absent).unwrap();
    assert!(read_matrix(file.path(), 3).unwrap().1[8..].iter().all(|value| value.is_nan()), "a row that is no vector");
}

#[test]
fn the_rows_beside_a_matrix_are_its_keys() {
    let folder = tempfile::tempdir().unwrap();
    let [matrix, rows] = ["image.npy", "image.rows.npy"].map(|name| folder.path().join(name));
    std::fs::copy(path("matrix.npy"), &matrix).unwrap();
    let write = |header: &str, data: &[u8]| std::fs::write(&rows, [&file(header), data].concat()).unwrap();
    write("{'descr': '<u4', 'fortran_order': False, 'shape': (3,), }", &[3, 0, 0, 0, 1, 0, 0, 0, 20, 0, 0, 0]);
    assert_is_the_table(&read(&matrix).unwrap(), "image.npy");
    write("{'descr': '<u4', 'fortran_order': False, 'shape': (2,), }", &[0; 8]);
    assert!(matches!(read(&matrix), Err(VectorError::KeyCount { keys: 2, vectors: 3, .. })));
    for no_keys in [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }",
        "{'descr': '<u4', 'fortran_order': False, 'shape': (3, 1), }",
    ] {
        write(no_keys, &[0; 12]);
        assert!(matches!(read(&matrix), Err(VectorError::NotKeys { path, .. }) if path == rows));
    }
}

/// A file of so much header and nothing else.
fn file(header: &str) -> Vec<u8> {
    [&b"\x93NUMPY\x01\x00"[..], &(header.len() as u16).to_le_bytes(), header.as_bytes()].concat()
}

#[test]
fn two_columns_of_integers_are_pairs_in_either_order() {
    let pairs = |descr: &str, fortran: &str, shape: &str, data: &[u8]| {
        let header = file(&format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}"));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [&header, data].concat()).unwrap();
        read_pairs(file.path())
    };
    let wide = |numbers: [u64; 4]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>();
    assert_eq!(pairs("<i8", "False", "(2, 2)", &wide([3, 103, 4, 104])).unwrap(), [[3, 103], [4, 104]]);
    assert_eq!(pairs("<u8", "True", "(2, 2)", &wide([3, u64::MAX, 103, 104])).unwrap(), [[3, 103], [-1, 104]]);
    assert_eq!(pairs(">u2", "False", "(1, 2)", &[1, 0, 0, 2]).unwrap(), [[256, 2]]);
    for (descr, shape) in [("<f4", "(1, 2)"), ("<i4", "(1, 3)"), ("<i4", "(2,)"), ("<U1", "(1, 2)"), ("|b1", "(1, 2)")]
    {
        let error = pairs(descr, "False", shape, &[0; 12]).unwrap_err();
        assert!(matches!(error, VectorError::NoCandidate { .. }), "{descr} {shape}: {error}");
    }
    let huge = pairs("<i4", "False", "(4611686018427387904, 2)", &[0; 8]).unwrap_err();
    assert!(matches!(huge, VectorError::TooLarge { .. }), "{huge}");
}

#[test]
fn an_archive_of_either_layout_is_read() {
    for name in ["entities.npz", "matrix.npz"] {
        assert_is_the_table(&read_npz(&path(name), &Choice::default()).unwrap(), name);
    }
    assert_is_the_table(&read_npz(&path("ids.npz"), &choice(Some("vectors"), None)).unwrap(), "ids.npz");
    let error = read_npz(&path("ids.npz"), &Choice::default()).unwrap_err();
    assert!(matches!(error, VectorError::Ambiguous { .. }), "{error}");
}

#[test]
fn an_array_that_is_not_read_spoils_no_archive() {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let fields = file("{'descr': [('f4', '<f4'), ('b', '<i8')], 'fortran_order': False, 'shape': (3, 1), }");
    let objects = file("{'descr': '|O', 'fortran_order': False, 'shape': (3,), }");
    for (name, content) in [("notes", objects), ("fields", fields), ("vectors", bytes("matrix.npy"))] {
        zip.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
        std::io::Write::write_all(&mut zip, &content).unwrap();
    }
    let archive = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(archive.path(), zip.finish().unwrap().into_inner()).unwrap();
    let read = |choice: Choice| read_npz(archive.path(), &choice);
    assert_eq!(read(choice(None, None)).unwrap().row(1), row(1));
    assert_eq!(read(choice(Some("vectors"), None)).unwrap().keys(), &Keys::Rows(3));
    let chosen = read(choice(Some("fields"), None)).unwrap_err();
    assert!(matches!(&chosen, VectorError::NotFloats { name, .. } if name == "fields"), "{chosen}");
    let keys = read(choice(None, Some("notes"))).unwrap_err();
    assert!(matches!(&keys, VectorError::NotKeys { name, .. } if name == "notes"), "{keys}");
}

/// More than one block, and no whole number of them.
#[test]
fn a_matrix_is_decoded_block_by_block() {
    let rows = BLOCK as usize / 8 + 3;
    let header = file(&format!("{{'descr': '<f2', 'fortran_order': False, 'shape': ({rows}, 5), }}"));
    let halves: Vec<u8> = (0..rows * 5).flat_map(|at| half::f16::from_f32((at % 2048) as f32).to_le_bytes()).collect();
    let table = parse_bytes(&[header, halves].concat()).unwrap();
    assert_eq!(table.values(), (0..rows * 5).map(|at| (at % 2048) as f32).collect::<Vec<_>>());
}

#[test]
fn a_zip_bomb_is_refused_before_it_unfolds() {
    let error = read_npz(&path("bomb.npz"), &Choice::default()).unwrap_err();
    assert!(matches!(error, VectorError::TooLarge { claimed: 100_000_000_000, .. }), "{error}");
}

#[test]
fn every_truncation_is_an_error() {
    let whole = bytes("matrix.npy");
    for length in 0..whole.len() {
        let error = parse_bytes(&whole[..length]).unwrap_err();
        assert!(matches!(error, VectorError::Npy { .. } | VectorError::TooLarge { .. }), "{length}: {error}");
    }
    let whole = bytes("matrix.npz");
    for length in 0..whole.len() {
        let error = npz(&whole[..length]).unwrap_err();
        assert!(matches!(error, VectorError::Npy { source: NpyError::Archive { .. }, .. }), "{length}: {error}");
    }
}

#[test]
fn damaged_files_never_panic() {
    for name in ["matrix.npy", "matrix_fortran.npy"] {
        for damaged in mutations(&bytes(name), 3_000) {
            drop(parse_bytes(&damaged));
        }
    }
    for damaged in mutations(&bytes("entities.npz"), 500) {
        drop(npz(&damaged));
    }
}

#[test]
fn every_kind_of_damage_has_its_own_words() {
    let npy = |bytes: &[u8]| match parse_bytes(bytes) {
        Err(VectorError::Npy { source, .. }) => source,
        other => panic!("{other:?}"),
    };
    assert!(matches!(npy(b"PK\x03\x04\0\0\0\0"), NpyError::Magic { .. }));
    assert!(matches!(npy(&file("{'descr': '<f4'}")), NpyError::Header { .. }));
    let objects = file("{'descr': '|O', 'fortran_order': False, 'shape': (2, 2), }");
    assert!(matches!(npy(&objects), NpyError::Descr { descr, .. } if descr == "|O"));
    let claims = file("{'descr': '<f4', 'fortran_order': False, 'shape': (1152921504606846976, 2), }");
    assert!(matches!(parse_bytes(&claims), Err(VectorError::TooLarge { .. })));
    let nothing = file("{'descr': '<f4', 'fortran_order': False, 'shape': (1152921504606846976, 0), }");
    assert!(matches!(parse_bytes(&nothing), Err(VectorError::Empty { .. })));
    let flat = file("{'descr': '<f4', 'fortran_order': False, 'shape': (0,), }");
    assert!(matches!(parse_bytes(&flat), Err(VectorError::NoCandidate { .. })));
    let integers = file("{'descr': '<i4', 'fortran_order': False, 'shape': (0, 2), }");
    assert!(matches!(parse_bytes(&integers), Err(VectorError::NotFloats { .. })));
}
