use super::*;
use crate::vectors::fixtures::{bytes, mutations, path};

fn floats(tensor: &TorchTensor) -> Vec<f32> {
    let mut out = Vec::new();
    crate::vectors::element::Dtype::little(tensor.element).floats(&tensor.bytes, &mut out);
    out
}

fn written(bytes: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    file
}

#[test]
fn both_forms_give_every_tensor_whatever_its_strides() {
    for name in ["state_zip.bin", "state_legacy.bin"] {
        let file = TorchFile::open(&path(name)).unwrap();
        let expected: [(&str, Element, &[usize], &[f32]); 8] = [
            ("plain.weight", Element::F32, &[2, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
            ("transposed", Element::F32, &[3, 2], &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0]),
            ("slice", Element::F64, &[3], &[2.0, 4.0, 6.0]),
            ("half", Element::F16, &[2], &[1.5, -2.0]),
            ("bfloat", Element::Bf16, &[2], &[1.5, -2.0]),
            ("ids", Element::I64, &[1, 2], &[1.0, 2.0]),
            ("number", Element::F32, &[], &[2.5]),
            ("parameter", Element::F32, &[1], &[0.25]),
        ];
        assert_eq!(file.names(), expected.map(|(name, ..)| name), "{name}");
        for (tensor, element, shape, values) in expected {
            assert_eq!(file.outline(tensor), Some((element, shape)), "{name}: {tensor}");
            assert_eq!(floats(&file.tensor(tensor).unwrap()), values, "{name}: {tensor}");
        }
        assert!(matches!(file.tensor("x"), Err(TorchFileError::Missing { .. })));
    }
}

#[test]
fn dictionaries_inside_are_flattened_and_other_values_passed_over() {
    let file = TorchFile::open(&path("nested.pt")).unwrap();
    assert_eq!(file.names(), ["state_dict.a"]);
}

#[test]
fn a_file_that_would_run_code_is_refused_by_name() {
    let error = TorchFile::open(&path("evil.bin")).unwrap_err();
    let TorchFileError::Pickle { source: PickleError::Global { name, .. }, .. } = &error else { panic!("{error}") };
    assert_eq!(name, "system");
}

#[test]
fn every_truncation_is_an_error() {
    for (name, step) in [("state_zip.bin", 7), ("state_legacy.bin", 3)] {
        let whole = bytes(name);
        for length in (0..whole.len()).step_by(step) {
            assert!(TorchFile::open(written(&whole[..length]).path()).is_err(), "{name} cut at {length}");
        }
    }
}

#[test]
fn damaged_files_never_panic() {
    for name in ["state_zip.bin", "state_legacy.bin"] {
        for damaged in mutations(&bytes(name), 200) {
            let file = written(&damaged);
            if let Ok(file) = TorchFile::open(file.path()) {
                file.names().iter().for_each(|name| drop(file.tensor(name)));
            }
        }
    }
}

#[test]
fn other_files_are_told_apart() {
    let not_tensors = |bytes: &[u8]| TorchFile::open(written(bytes).path()).unwrap_err();
    assert!(matches!(not_tensors(b"\x80\x02K\x01."), TorchFileError::NotTensors { .. }));
    assert!(matches!(not_tensors(b"hello"), TorchFileError::Pickle { source: PickleError::NotAPickle, .. }));
    assert!(matches!(not_tensors(b"PK\x03\x04 and no more"), TorchFileError::Archive { .. }));
    let npz = TorchFile::open(&path("entities.npz")).unwrap_err();
    assert!(matches!(npz, TorchFileError::NotTensors { what: "the archive has no data.pkl", .. }), "{npz}");
    assert!(matches!(TorchFile::open(Path::new("/no/such")), Err(TorchFileError::Read { .. })));
}

#[test]
fn data_that_is_missing_is_named() {
    let mut whole = bytes("state_legacy.bin");
    // The element count of the last storage, made larger than the file.
    let at = whole.len() - 12;
    whole[at..at + 8].copy_from_slice(&(1_u64 << 60).to_le_bytes());
    let error = TorchFile::open(written(&whole).path()).unwrap_err();
    assert!(matches!(&error, TorchFileError::Storage { .. }), "{error}");
}

#[test]
fn both_forms_are_recognised() {
    assert!(TorchFile::recognise(&bytes("state_zip.bin")));
    assert!(TorchFile::recognise(&bytes("state_legacy.bin")));
    assert!(!TorchFile::recognise(&bytes("numpy2_p4.pkl")));
}

#[test]
fn an_archive_that_claims_more_than_the_file_is_refused() {
    let mut whole = bytes("state_zip.bin");
    // The central directory's last entry of a storage: its compressed size is 20 bytes after the mark.
    let data = whole.windows(6).rposition(|name| name == b"/data/").unwrap();
    let mark = whole[..data].windows(4).rposition(|mark| mark == b"PK\x01\x02").unwrap();
    whole[mark + 20..mark + 24].copy_from_slice(&0xffff_fff0_u32.to_le_bytes());
    let error = TorchFile::open(written(&whole).path()).unwrap_err();
    assert!(matches!(error, TorchFileError::Storage { what: "is cut off", .. }), "{error}");
}

#[test]
fn a_tensor_without_elements_may_lie_anywhere() {
    let mut file = TorchFile::open(&path("state_zip.bin")).unwrap();
    let outline = file.outlines.get_mut("plain.weight").unwrap();
    (outline.shape, outline.strides, outline.offset) = (vec![0], vec![1], 1 << 62);
    assert!(file.tensor("plain.weight").unwrap().bytes.is_empty());
}

fn text(text: &[u8]) -> Vec<u8> {
    [&b"X"[..], &(text.len() as u32).to_le_bytes(), text].concat()
}

fn storage(key: &[u8]) -> Vec<u8> {
    [&b"(\x8c\x07storagectorch\nFloatStorage\n"[..], &text(key), b"\x8c\x03cpuK\x02tQ"].concat()
}

/// `[2, 1]`, of a storage of two floats.
fn column(key: &[u8]) -> Vec<u8> {
    let view = b"K\x00K\x02K\x01\x86K\x01K\x01\x86\x89NtR";
    [&b"ctorch._utils\n_rebuild_tensor_v2\n("[..], &storage(key), view].concat()
}

/// A legacy file of one object and storages of two floats.
fn legacy(object: &[u8], keys: &[&[u8]]) -> Vec<u8> {
    let magic = [&b"\x80\x02\x8a\x0a"[..], &LEGACY_MAGIC, b"."].concat();
    let names = [&b"\x80\x02]("[..], &keys.iter().flat_map(|key| text(key)).collect::<Vec<u8>>(), b"e."].concat();
    let mut file = [&magic[..], b"\x80\x02M\xe9\x03.", b"\x80\x02}.", b"\x80\x02", object, b".", &names].concat();
    for number in 0..keys.len() {
        file.extend(2_u64.to_le_bytes());
        file.extend([number as f32, 0.5].iter().flat_map(|float| float.to_le_bytes()));
    }
    file
}

#[test]
fn storages_of_tensors_deep_inside_take_their_places() {
    let deep = [&b"}"[..], &text(b"b"), b"}", &text(b"c"), b"}", &text(b"d"), &column(b"0"), b"sss"].concat();
    let object = [&deep[..deep.len() - 1], &text(b"e"), &column(b"1"), b"ss"].concat();
    let file = TorchFile::open(written(&legacy(&object, &[b"0", b"1"])).path()).unwrap();
    assert_eq!(file.names(), ["b.e"]);
    assert_eq!(floats(&file.tensor("b.e").unwrap()), [1.0, 0.5]);
    let nobodys = TorchFile::open(written(&legacy(&object, &[b"0", b"2", b"1"])).path()).unwrap_err();
    assert!(matches!(nobodys, TorchFileError::Storage { what: "belongs to no tensor", .. }), "{nobodys}");
}

#[test]
fn a_bare_tensor_is_read_and_a_list_is_told_what_to_be() {
    let file = TorchFile::open(written(&legacy(&column(b"0"), &[b"0"])).path()).unwrap();
    assert_eq!((file.names(), file.outline(BARE)), (&[BARE.to_owned()][..], Some((Element::F32, &[2, 1][..]))));
    let list = [&b"]"[..], &column(b"0"), b"a"].concat();
    let error = TorchFile::open(written(&legacy(&list, &[b"0"])).path()).unwrap_err();
    assert!(matches!(error, TorchFileError::NoDictionary { .. }), "{error}");
    assert!(error.to_string().ends_with("save `{'vectors': tensor}`"), "{error}");
}

/// Tensors of one storage, in a dictionary whose name is said once and counts for each of them.
fn named(key: &[u8], tensors: u16) -> Result<Vec<String>, TorchFileError> {
    let tensor =
        [&b"ctorch._utils\n_rebuild_tensor_v2\n("[..], &storage(key), b"K\x00K\x01\x85K\x01\x85\x89NtR\x94"].concat();
    let mut pickle = [&b"\x80\x02}"[..], &text(&[b'n'; 5_000]), b"}(K\x00", &tensor].concat();
    for name in 1..tensors {
        pickle.extend([&b"M"[..], &name.to_le_bytes(), b"h\x00"].concat());
    }
    pickle.extend(b"us.");
    let path = Path::new("v.pt");
    let root = unpickle(&pickle, Dialect::Torch).map_err(|source| pickle_error(path, source))?;
    outlines(path, &root.heap, root.root, pickle.len()).map(|(names, _)| names)
}

#[test]
fn long_names_that_are_said_once_are_refused() {
    assert_eq!(named(b"0", 2).unwrap().len(), 2);
    let error = named(b"0", 1_000).unwrap_err();
    assert!(matches!(&error, TorchFileError::NotTensors { what, .. } if what.contains("names")), "{error}");
    let error = named(&[b'0'; 300], 2).unwrap_err();
    assert!(matches!(error, TorchFileError::Pickle { source: PickleError::Malformed { .. }, .. }), "{error}");
}
