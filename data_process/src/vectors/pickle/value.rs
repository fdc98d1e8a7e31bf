//! What a pickle may hold here: numbers, strings, containers, numpy arrays and torch tensors, and nothing else.
//!
//! Values are small and copied freely; containers live in one flat [`Heap`] and are named by number, so nesting of any
//! depth, sharing and cycles cost nothing to build and nothing to drop.

use crate::vectors::element::{Dtype, Element};

use super::PickleError;

/// The number of an object on the [`Heap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ObjectId(usize);

/// One value; strings and bytes borrow from the pickle.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    /// `None`.
    None,
    /// A truth value.
    Bool(bool),
    /// An integer of at most 64 bits.
    Int(i64),
    /// An integer of more than 64 bits, as its little-endian bytes; only ever compared.
    Huge(&'a [u8]),
    /// A float.
    Float(f64),
    /// A string.
    Text(&'a str),
    /// Bytes, a bytearray, or a string of Python 2.
    Bytes(&'a [u8]),
    /// One of the few importable names that are data.
    Global(super::globals::Global),
    /// Something on the heap.
    Object(ObjectId),
}

/// The bytes of an array.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Raw<'a> {
    /// As they are.
    Bytes(&'a [u8]),
    /// Protocol 2 writes bytes as text, one character (U+0000 to U+00FF) per byte.
    Latin1 { text: &'a str, bytes: usize },
}

/// A numpy array: element `[i, j, …]` lies at `i·strides[0] + j·strides[1] + …` elements.
#[derive(Clone, Debug)]
pub(crate) struct Array<'a> {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) strides: Vec<usize>,
    pub(crate) raw: Raw<'a>,
}

/// A torch storage that lies outside the pickle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Storage<'a> {
    pub(crate) element: Element,
    pub(crate) key: &'a str,
    /// Elements in the storage.
    pub(crate) count: usize,
}

/// A torch tensor: a strided view of a storage, all in elements, checked to lie inside it.
#[derive(Clone, Debug)]
pub(crate) struct TensorView<'a> {
    pub(crate) storage: Storage<'a>,
    pub(crate) offset: usize,
    pub(crate) shape: Vec<usize>,
    pub(crate) strides: Vec<usize>,
}

/// Something with parts.
#[derive(Clone, Debug)]
pub(crate) enum Object<'a> {
    List(Vec<Value<'a>>),
    Tuple(Vec<Value<'a>>),
    Set(Vec<Value<'a>>),
    Dict(Vec<(Value<'a>, Value<'a>)>),
    /// Bytes that protocol 2 wrote as text.
    Latin1 {
        text: &'a str,
        bytes: usize,
    },
    Dtype(Dtype),
    /// An array whose state has not been read yet.
    Unbuilt,
    Array(Array<'a>),
    Storage(Storage<'a>),
    Tensor(TensorView<'a>),
}

/// Every container of one pickle.
#[derive(Debug)]
pub(crate) struct Heap<'a> {
    objects: Vec<Object<'a>>,
    /// Bytes of text that may still be looked at as Latin-1: a pickle can name the same text again and again, and must
    /// not buy a scan of it for the few bytes that takes.
    scans: usize,
}

impl<'a> Heap<'a> {
    /// An empty heap for a pickle of that many bytes.
    pub(crate) fn new(input: usize) -> Self {
        Self { objects: Vec::new(), scans: input.saturating_mul(4) }
    }

    /// Puts an object on the heap.
    pub(crate) fn put(&mut self, object: Object<'a>) -> Value<'a> {
        self.objects.push(object);
        Value::Object(ObjectId(self.objects.len() - 1))
    }

    /// The object behind a value, if it is one.
    pub(crate) fn get(&self, value: Value<'a>) -> Option<&Object<'a>> {
        match value {
            Value::Object(ObjectId(id)) => self.objects.get(id),
            _ => None,
        }
    }

    /// Every storage that is named, whatever holds the tensors over it; more than once where several do.
    pub(crate) fn storages(&self) -> impl Iterator<Item = Storage<'a>> {
        self.objects
            .iter()
            .filter_map(|object| if let Object::Storage(storage) = object { Some(*storage) } else { None })
    }

    /// The object behind a value, to be changed.
    pub(crate) fn get_mut(&mut self, value: Value<'a>) -> Option<&mut Object<'a>> {
        match value {
            Value::Object(ObjectId(id)) => self.objects.get_mut(id),
            _ => None,
        }
    }

    /// The text as Latin-1 bytes: only if every character is one byte, and the scans are not used up.
    pub(crate) fn latin1(&mut self, text: &'a str) -> Option<Value<'a>> {
        self.scans = self.scans.checked_sub(text.len())?;
        let utf8 = text.as_bytes();
        // In UTF-8 only characters above U+00FF have a byte above C3, and each character has one byte that continues none.
        if utf8.iter().fold(0, |most, &byte| most.max(byte)) > 0xc3 {
            return None;
        }
        let bytes = utf8.iter().map(|&byte| usize::from(!continues(byte))).sum();
        Some(self.put(Object::Latin1 { text, bytes }))
    }

    /// The items of a tuple or list.
    pub(crate) fn items(&self, value: Value<'a>) -> Option<&[Value<'a>]> {
        match self.get(value)? {
            Object::Tuple(items) | Object::List(items) => Some(items),
            _ => None,
        }
    }

    /// A tuple or list of integers that are not negative: a shape or strides.
    pub(crate) fn sizes(&self, value: Value<'a>) -> Option<Vec<usize>> {
        let items = self.items(value)?;
        // numpy and torch stop at 64 axes.
        (items.len() <= 64).then_some(())?;
        items.iter().map(|item| size(*item)).collect()
    }

    /// The bytes behind a value.
    pub(crate) fn raw(&self, value: Value<'a>) -> Option<Raw<'a>> {
        match value {
            Value::Bytes(bytes) => Some(Raw::Bytes(bytes)),
            Value::Object(_) => match self.get(value)? {
                &Object::Latin1 { text, bytes } => Some(Raw::Latin1 { text, bytes }),
                _ => None,
            },
            _ => None,
        }
    }

    /// The dtype behind a value.
    pub(crate) fn dtype(&self, value: Value<'a>) -> Option<Dtype> {
        match self.get(value)? {
            Object::Dtype(dtype) => Some(*dtype),
            _ => None,
        }
    }
}

/// An integer that is not negative.
pub(crate) fn size(value: Value<'_>) -> Option<usize> {
    match value {
        Value::Int(number) => usize::try_from(number).ok(),
        _ => None,
    }
}

impl Raw<'_> {
    /// How many bytes there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Latin1 { bytes, .. } => *bytes,
        }
    }

    /// The bytes themselves.
    pub(crate) fn bytes(&self) -> std::borrow::Cow<'_, [u8]> {
        match self {
            Self::Bytes(bytes) => (*bytes).into(),
            Self::Latin1 { text, bytes } => latin1_bytes(text, *bytes).into(),
        }
    }
}

/// Whether a byte of UTF-8 continues a character.
fn continues(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// The `count` characters of `text`, all up to U+00FF, as a byte each; without branches, as half of them are ASCII in no
/// order that a processor could foresee.
fn latin1_bytes(text: &str, count: usize) -> Vec<u8> {
    // One slot more for the last lead byte, if any, before its character is complete.
    let (mut bytes, mut at, mut before) = (vec![0; count + 1], 0, 0);
    for &byte in text.as_bytes() {
        // A lead byte (C2 or C3) gives the two bits that its second byte lacks.
        let whole = if continues(byte) { byte & 0x3f | before << 6 } else { byte };
        bytes[at.min(count)] = whole;
        at += usize::from(byte < 0xc0);
        before = byte;
    }
    bytes.truncate(count);
    bytes
}

/// The product of a shape, if it fits the machine.
pub(crate) fn elements(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |product, axis| product.checked_mul(*axis))
}

/// The strides of a contiguous array, last axis fastest (`C`) or first axis fastest (`Fortran`).
pub(crate) fn contiguous(shape: &[usize], fortran: bool) -> Vec<usize> {
    let mut strides = vec![0; shape.len()];
    let mut step = 1_usize;
    let mut fill = |axis: usize| {
        strides[axis] = step;
        step = step.saturating_mul(shape[axis].max(1));
    };
    if fortran {
        (0..shape.len()).for_each(&mut fill);
    } else {
        (0..shape.len()).rev().for_each(&mut fill);
    }
    strides
}

/// Calls `visit` with the place of each element, last axis fastest. The caller has checked that the view lies inside
/// its data, so the work is bounded by what the view holds.
pub(crate) fn walk(shape: &[usize], strides: &[usize], mut visit: impl FnMut(usize)) {
    if shape.contains(&0) {
        return;
    }
    let mut index = vec![0_usize; shape.len()];
    let mut place = 0;
    loop {
        visit(place);
        let Some(axis) = (0..shape.len()).rev().find(|axis| index[*axis] + 1 < shape[*axis]) else { return };
        index[axis] += 1;
        place += strides[axis];
        for inner in axis + 1..shape.len() {
            place -= index[inner] * strides[inner];
            index[inner] = 0;
        }
    }
}

impl<'a> Array<'a> {
    /// An array over `raw`, refused unless the shape needs exactly those bytes.
    pub(crate) fn new(dtype: Dtype, shape: Vec<usize>, fortran: bool, raw: Raw<'a>) -> Result<Self, PickleError> {
        let needed = elements(&shape).and_then(|count| count.checked_mul(dtype.element.size()));
        let found = raw.len();
        if needed != Some(found) {
            return Err(PickleError::ArraySize { shape, element: dtype.element, found });
        }
        let strides = contiguous(&shape, fortran);
        Ok(Self { dtype, shape, strides, raw })
    }

    /// The same elements with the axes in another order, as `numpy.transpose` does it.
    pub(crate) fn transpose(mut self, order: &[usize]) -> Option<Self> {
        let mut seen = order.to_vec();
        seen.sort_unstable();
        if !seen.into_iter().eq(0..self.shape.len()) {
            return None;
        }
        self.strides = order.iter().map(|axis| self.strides[*axis]).collect();
        self.shape = order.iter().map(|axis| self.shape[*axis]).collect();
        Some(self)
    }

    /// Appends all elements, last axis fastest, to `out` as float32.
    pub(crate) fn floats(&self, out: &mut Vec<f32>) {
        let bytes = self.raw.bytes();
        if self.strides == contiguous(&self.shape, false) {
            self.dtype.floats(&bytes, out);
            return;
        }
        let size = self.dtype.element.size();
        walk(&self.shape, &self.strides, |place| {
            self.dtype.floats(&bytes[place * size..(place + 1) * size], out);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(shape: &[usize], strides: &[usize]) -> Vec<usize> {
        let mut places = Vec::new();
        walk(shape, strides, |place| places.push(place));
        places
    }

    #[test]
    fn a_walk_follows_the_strides_with_the_last_axis_fastest() {
        assert_eq!(places(&[2, 3], &contiguous(&[2, 3], false)), [0, 1, 2, 3, 4, 5]);
        assert_eq!(places(&[2, 3], &contiguous(&[2, 3], true)), [0, 2, 4, 1, 3, 5]);
        assert_eq!(places(&[], &[]), [0], "a number has one element and no axis");
        assert_eq!(places(&[3, 0, 2], &[0, 2, 1]), [] as [usize; 0]);
    }

    #[test]
    fn text_is_latin_1_only_up_to_its_last_character() {
        let all: String = (0..=255_u8).rev().map(char::from).cycle().step_by(7).take(1000).collect();
        let expected: Vec<u8> = all.chars().map(|letter| letter as u8).collect();
        let mut heap = Heap::new(10_000);
        let value = heap.latin1(&all).unwrap();
        assert_eq!(heap.raw(value).unwrap().bytes(), expected);
        let empty = heap.latin1("").unwrap();
        assert!(heap.raw(empty).unwrap().bytes().is_empty());
        for beyond in ["Ā", "aé€", "😀"] {
            assert!(heap.latin1(beyond).is_none(), "{beyond}");
        }
    }

    #[test]
    fn a_shape_must_need_exactly_the_bytes_there_are() {
        let make = |shape: Vec<usize>| Array::new(Dtype::little(Element::F32), shape, false, Raw::Bytes(&[0; 8]));
        assert!(make(vec![2]).is_ok());
        assert!(matches!(make(vec![1 << 60]), Err(PickleError::ArraySize { found: 8, .. })));
        assert!(make(vec![1 << 40, 1 << 40]).is_err(), "a product beyond 64 bits");
    }
}
