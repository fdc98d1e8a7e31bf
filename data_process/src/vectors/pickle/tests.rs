use super::*;
use crate::vectors::fixtures::{assert_is_the_table, bytes, mutations, path, row};
use crate::vectors::table::Keys;

fn wrong(name: &str) -> PickleError {
    match read(&path(name)) {
        Err(VectorError::Pickle { source, .. }) => source,
        other => panic!("{name}: {other:?}"),
    }
}

fn wrong_bytes(bytes: &[u8]) -> PickleError {
    match parse(Path::new("v.pkl"), bytes) {
        Err(VectorError::Pickle { source, .. }) => source,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_protocol_of_both_numpys_gives_the_same_table() {
    for protocol in 2..=5 {
        for kind in ["numpy1", "numpy2", "lists", "odd"] {
            let name = format!("{kind}_p{protocol}.pkl");
            let table = read(&path(&name)).unwrap();
            assert_is_the_table(&table, &name);
            assert!(matches!(table.keys(), Keys::Ids(_)), "{name}");
        }
    }
}

#[test]
fn floats_of_every_width_and_byte_order_give_the_same_table() {
    for name in ["f2.pkl", "f8.pkl", "big_f4.pkl", "big_f8.pkl", "names.pkl"] {
        assert_is_the_table(&read(&path(name)).unwrap(), name);
    }
}

#[test]
fn a_permuted_array_is_read_in_its_own_order() {
    for protocol in 2..=5 {
        let table = read(&path(&format!("cube_p{protocol}.pkl"))).unwrap();
        assert_eq!(table.row(0), [0.0, 1.0, 4.0, 5.0, 2.0, 3.0, 6.0, 7.0], "protocol {protocol}");
    }
}

#[test]
fn a_matrix_has_no_keys() {
    let table = read(&path("matrix_fortran.pkl")).unwrap();
    assert_eq!(table.keys(), &Keys::Rows(3));
    assert_eq!(table.row(2), row(2));
}

/// `pickle.dumps([[0.5, 1.5], [2.5, 3.5]], protocol=2)`
#[test]
fn a_list_of_vectors_has_no_keys() {
    let floats = |numbers: [f64; 2]| {
        let [a, b] = numbers.map(|number| [b"G".to_vec(), number.to_be_bytes().to_vec()].concat());
        [b"](".to_vec(), a, b, b"e".to_vec()].concat()
    };
    let pickle = [b"\x80\x02](".to_vec(), floats([0.5, 1.5]), floats([2.5, 3.5]), b"e.".to_vec()].concat();
    let table = parse(Path::new("v.pkl"), &pickle).unwrap();
    assert_eq!((table.keys(), table.row(1)), (&Keys::Rows(2), &[2.5, 3.5][..]));
}

#[test]
fn a_pickle_that_would_run_code_is_refused_by_name() {
    for name in ["evil.pkl", "evil_p2.pkl"] {
        let error = wrong(name);
        let PickleError::Global { module, name, .. } = &error else { panic!("{error}") };
        assert!(["posix", "nt"].contains(&module.as_str()) && name == "system", "{error}");
        assert!(error.to_string().contains("was not run"));
    }
    assert!(!Path::new("/tmp/humea-was-here").exists());
}

#[test]
fn an_array_that_claims_2_to_the_60_elements_is_refused() {
    let error = wrong("claims_2_60.pkl");
    assert!(matches!(&error, PickleError::ArraySize { shape, found: 16, .. } if shape == &[1 << 60]), "{error}");
}

#[test]
fn every_truncation_is_a_clear_error() {
    for name in ["numpy1_p2.pkl", "numpy2_p3.pkl", "odd_p4.pkl", "lists_p5.pkl"] {
        let whole = bytes(name);
        for length in 0..whole.len() {
            let error = wrong_bytes(&whole[..length]);
            let cut = matches!(error, PickleError::Truncated { .. });
            assert!(cut, "{name} cut at {length}: {error}");
        }
    }
}

#[test]
fn damaged_pickles_never_panic() {
    for name in ["numpy1_p2.pkl", "odd_p4.pkl", "numpy2_p5.pkl", "lists_p3.pkl", "cube_p5.pkl", "evil.pkl"] {
        for damaged in mutations(&bytes(name), 3_000) {
            drop(parse(Path::new("v.pkl"), &damaged));
        }
    }
}

#[test]
fn deep_nesting_and_cycles_cost_nothing() {
    // A million lists, each in the next.
    let mut deep = vec![0x80, 4];
    deep.extend(std::iter::repeat_n(b']', 1_000_000));
    deep.extend(std::iter::repeat_n(b'a', 999_999));
    deep.push(b'.');
    assert!(matches!(wrong_bytes(&deep), PickleError::Kind { found: "a list", .. }));
    // A list that holds itself, as a vector.
    assert!(matches!(wrong_bytes(b"\x80\x04}K\x03]\x94h\x00as."), PickleError::Kind { .. }));
}

#[test]
fn one_vector_for_many_entities_is_fine_but_not_without_bound() {
    // One list of 1,000 numbers, named again and again through the memo.
    let mut bytes = b"\x80\x04}(K\x00]\x94(".to_vec();
    bytes.extend([b'K', 7].repeat(1_000));
    bytes.push(b'e');
    for id in 1..60_000_u16 {
        bytes.push(b'M');
        bytes.extend(id.to_le_bytes());
        bytes.extend(b"h\x00");
    }
    let shared = [&bytes[..], b"u."].concat();
    let error = parse(Path::new("v.pkl"), &[&shared[..shared.len() - 2], b"u."].concat());
    assert_eq!(error.unwrap().keys().len(), 60_000);
    for _ in 0..3 {
        let again = bytes[bytes.len() - 5 * 50_000..].to_vec();
        bytes.extend(again);
    }
    let error = parse(Path::new("v.pkl"), &[&bytes[..], b"u."].concat()).unwrap_err();
    assert!(matches!(error, VectorError::TooLarge { .. }), "{error}");
}

/// A dtype code of any length, which the memo gives again and again for two bytes, is not looked at.
#[test]
fn a_long_dtype_code_is_refused() {
    let pickle = |code: &[u8]| [&b"\x80\x04cnumpy\ndtype\n\x8c"[..], &[code.len() as u8], code, b"\x85R."].concat();
    assert!(matches!(wrong_bytes(&pickle(b"<f4")), PickleError::Kind { .. }));
    assert!(matches!(wrong_bytes(&pickle(b"<<<<<<<f4")), PickleError::Dtype { code } if code == "<<<<<<<f4"));
}

#[test]
fn what_is_not_a_vector_is_named() {
    assert!(matches!(wrong("integers.pkl"), PickleError::Kind { found: "an array of integers", .. }));
    assert!(matches!(wrong("objects.pkl"), PickleError::Dtype { code } if code == "O8"));
    assert!(matches!(
        wrong_bytes(b"\x80\x04}K\x01]X\x01\x00\x00\x00xas."),
        PickleError::Kind { found: "a string", .. }
    ));
    assert!(matches!(wrong_bytes(b"\x80\x04N."), PickleError::Kind { found: "None", .. }));
    assert!(matches!(wrong_bytes(b"\x80\x04}NNs."), PickleError::Kind { expected: "an entity's id or name", .. }));
    let error = read(&path("nan.pkl")).unwrap_err();
    assert!(matches!(&error, VectorError::NotFinite { key, position: 2, .. } if key == "1"), "{error}");
}

#[test]
fn every_kind_of_damage_has_its_own_words() {
    let empty = parse(Path::new("v.pkl"), b"\x80\x04}.").unwrap_err();
    assert!(matches!(empty, VectorError::Empty { .. }));
    assert_eq!(wrong_bytes(b"(dp0\n."), PickleError::NotAPickle);
    assert_eq!(wrong_bytes(b"\x80\x09."), PickleError::Protocol { protocol: 9 });
    assert_eq!(wrong_bytes(b"\x80\x04}K"), PickleError::Truncated { at: 4 });
    assert_eq!(wrong_bytes(b"\x80\x04\xff."), PickleError::Opcode { op: 0xff, at: 2 });
    assert_eq!(wrong_bytes(b"\x80\x04."), PickleError::Stack { at: 3 });
    assert_eq!(wrong_bytes(b"\x80\x04(N\x85\x85\x86."), PickleError::Stack { at: 7 });
    assert_eq!(wrong_bytes(b"\x80\x04h\x09."), PickleError::Memo { index: 9, at: 4 });
    assert!(matches!(wrong_bytes(b"\x80\x04}(K\x01u."), PickleError::Malformed { .. }));
    assert!(matches!(wrong_bytes(b"\x80\x04NNa."), PickleError::Malformed { .. }));
    assert_eq!(wrong_bytes(b"\x80\x04\x8c\x01\xff."), PickleError::Text { at: 3 });
    assert_eq!(wrong_bytes(b"\x80\x05\x97."), PickleError::OutOfBand { at: 3 });
    // Persistent ids belong to torch.
    assert_eq!(wrong_bytes(b"\x80\x04NQ."), PickleError::Opcode { op: b'Q', at: 3 });
    assert!(matches!(read(Path::new("/no/such.pkl")), Err(VectorError::Open { .. })));
}
