//! The importable names that are data: a closed list. Whatever else a pickle asks for is refused by name, so nothing
//! in a pickle can ever be run.

use crate::vectors::element::{Dtype, Element, Number};

use super::PickleError;
use super::value::{Array, Heap, Object, Storage, TensorView, Value, elements, size};

/// Whose pickles are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Arrays of numpy 1 and 2.
    Numpy,
    /// State dictionaries of torch (numpy arrays among them are fine).
    Torch,
}

/// A name a pickle may import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Global {
    Reconstruct,
    NdArray,
    Dtype,
    Scalar,
    FromBuffer,
    Encode,
    EmptyBytes,
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Element),
}

impl Global {
    /// The name, if it is on the list of this dialect.
    pub(crate) fn find(dialect: Dialect, module: &str, name: &str) -> Option<Self> {
        Self::numpy(module, name).or_else(|| if dialect == Dialect::Torch { Self::torch(module, name) } else { None })
    }

    /// numpy 2 moved `numpy.core` to `numpy._core`; the rest is the same.
    fn numpy(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => Self::Reconstruct,
            ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => Self::Scalar,
            ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => Self::FromBuffer,
            ("numpy", "ndarray") => Self::NdArray,
            ("numpy", "dtype") => Self::Dtype,
            ("_codecs", "encode") => Self::Encode,
            ("__builtin__" | "builtins", "bytes") => Self::EmptyBytes,
            ("collections", "OrderedDict") => Self::OrderedDict,
            _ => return None,
        })
    }

    fn torch(module: &str, name: &str) -> Option<Self> {
        match (module, name) {
            ("torch._utils", "_rebuild_tensor_v2") => Some(Self::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => Some(Self::RebuildParameter),
            ("torch" | "torch.cuda", storage) => Self::storage(storage).map(Self::Storage),
            _ => None,
        }
    }

    fn storage(name: &str) -> Option<Element> {
        Some(match name {
            "FloatStorage" => Element::F32,
            "DoubleStorage" => Element::F64,
            "HalfStorage" => Element::F16,
            "BFloat16Storage" => Element::Bf16,
            "LongStorage" => Element::I64,
            "IntStorage" => Element::I32,
            "ShortStorage" => Element::I16,
            "CharStorage" => Element::I8,
            "ByteStorage" => Element::U8,
            "BoolStorage" => Element::Bool,
            _ => return None,
        })
    }
}

/// "Calls" a name of the list: builds the value it stands for.
pub(crate) fn call<'a>(
    heap: &mut Heap<'a>,
    global: Global,
    args: &[Value<'a>],
    at: usize,
) -> Result<Value<'a>, PickleError> {
    let built = match (global, args) {
        (Global::Reconstruct, [Value::Global(Global::NdArray), ..]) => Some(heap.put(Object::Unbuilt)),
        (Global::Dtype, [Value::Text(code), ..]) => Some(dtype(heap, code.as_bytes())?),
        (Global::Dtype, [Value::Bytes(code), ..]) => Some(dtype(heap, code)?),
        (Global::Scalar, [dtype, raw]) => scalar(heap, *dtype, *raw),
        (Global::FromBuffer, [data, dtype, shape, order, axes @ ..]) => {
            from_buffer(heap, *data, *dtype, *shape, *order, axes.first().copied())?
        }
        (Global::Encode, [Value::Text(text), Value::Text("latin1" | "latin-1")]) => heap.latin1(text),
        (Global::EmptyBytes, []) => Some(Value::Bytes(&[])),
        (Global::OrderedDict, []) => Some(heap.put(Object::Dict(Vec::new()))),
        (Global::RebuildTensor, [storage, offset, shape, strides, ..]) => {
            tensor(heap, *storage, *offset, *shape, *strides)?
        }
        (Global::RebuildParameter, [tensor, ..]) => Some(*tensor),
        _ => None,
    };
    built.ok_or(PickleError::Malformed { at, what: "a call with arguments that do not fit what is called" })
}

/// The codes of numbers have four letters; a longer one, named again and again, would take long to look at.
const LONGEST_CODE: usize = 8;

fn dtype<'a>(heap: &mut Heap<'a>, code: &[u8]) -> Result<Value<'a>, PickleError> {
    let unknown = || PickleError::Dtype { code: String::from_utf8_lossy(&code[..code.len().min(80)]).into_owned() };
    if code.len() > LONGEST_CODE {
        return Err(unknown());
    }
    let text = std::str::from_utf8(code).map_err(|_| unknown())?;
    let element = Element::from_numpy(text.trim_start_matches(['<', '>', '=', '|'])).ok_or_else(unknown)?;
    let big_endian = text.starts_with('>');
    Ok(heap.put(Object::Dtype(Dtype { element, big_endian })))
}

fn scalar<'a>(heap: &Heap<'a>, dtype: Value<'a>, raw: Value<'a>) -> Option<Value<'a>> {
    let (dtype, raw) = (heap.dtype(dtype)?, heap.raw(raw)?);
    let bytes = raw.bytes();
    if bytes.len() != dtype.element.size() {
        return None;
    }
    match dtype.number(&bytes) {
        Number::Int(value) => i64::try_from(value).ok().map(Value::Int),
        Number::Float(value) => Some(Value::Float(value)),
    }
}

fn from_buffer<'a>(
    heap: &mut Heap<'a>,
    data: Value<'a>,
    dtype: Value<'a>,
    shape: Value<'a>,
    order: Value<'a>,
    axes: Option<Value<'a>>,
) -> Result<Option<Value<'a>>, PickleError> {
    let (Some(raw), Some(dtype), Some(shape)) = (heap.raw(data), heap.dtype(dtype), heap.sizes(shape)) else {
        return Ok(None);
    };
    let fortran = matches!(order, Value::Text("F"));
    let array = Array::new(dtype, shape, fortran, raw)?;
    // "K": the bytes are in C order for `shape`, whose axes are then permuted.
    let array = match (order, axes.and_then(|axes| heap.sizes(axes))) {
        (Value::Text("K"), Some(axes)) => array.transpose(&axes),
        (Value::Text("C" | "F"), _) => Some(array),
        _ => None,
    };
    Ok(array.map(|array| heap.put(Object::Array(array))))
}

fn tensor<'a>(
    heap: &mut Heap<'a>,
    storage: Value<'a>,
    offset: Value<'a>,
    shape: Value<'a>,
    strides: Value<'a>,
) -> Result<Option<Value<'a>>, PickleError> {
    let Some(&Object::Storage(storage)) = heap.get(storage) else { return Ok(None) };
    let (Some(offset), Some(shape), Some(strides)) = (size(offset), heap.sizes(shape), heap.sizes(strides)) else {
        return Ok(None);
    };
    let view = TensorView { storage, offset, shape, strides };
    view.check()?;
    Ok(Some(heap.put(Object::Tensor(view))))
}

impl TensorView<'_> {
    /// The tensor must lie inside its storage, and not be larger than it (views that repeat elements are not weights).
    fn check(&self) -> Result<(), PickleError> {
        let outside = || PickleError::TensorSize { shape: self.shape.clone(), count: self.storage.count };
        if self.shape.len() != self.strides.len() {
            return Err(outside());
        }
        let count = elements(&self.shape).ok_or_else(outside)?;
        let reach = self.shape.iter().zip(&self.strides).try_fold(self.offset, |reach, (axis, stride)| {
            reach.checked_add(axis.saturating_sub(1).checked_mul(*stride)?)
        });
        let inside = count == 0 || reach.is_some_and(|last| last < self.storage.count);
        if inside && count <= self.storage.count { Ok(()) } else { Err(outside()) }
    }
}

/// The state of a numpy object, or of a dictionary (ignored: torch keeps versions there).
pub(crate) fn build<'a>(
    heap: &mut Heap<'a>,
    target: Value<'a>,
    state: Value<'a>,
    at: usize,
) -> Result<(), PickleError> {
    let wrong = PickleError::Malformed { at, what: "a state that does not fit its object" };
    let built = match heap.get(target) {
        Some(Object::Unbuilt) => Object::Array(array_state(heap, state)?.ok_or(wrong)?),
        Some(Object::Dtype(dtype)) => Object::Dtype(dtype_state(heap, *dtype, state).ok_or(wrong)?),
        Some(Object::Dict(_)) => return Ok(()),
        _ => return Err(wrong),
    };
    if let Some(slot) = heap.get_mut(target) {
        *slot = built;
    }
    Ok(())
}

/// `(version, shape, dtype, is_fortran, bytes)`
fn array_state<'a>(heap: &Heap<'a>, state: Value<'a>) -> Result<Option<Array<'a>>, PickleError> {
    let Some(&[_, shape, dtype, fortran, data]) = heap.items(state) else { return Ok(None) };
    let (Some(shape), Some(dtype)) = (heap.sizes(shape), heap.dtype(dtype)) else { return Ok(None) };
    let (Some(raw), Value::Bool(_) | Value::Int(_)) = (heap.raw(data), fortran) else { return Ok(None) };
    let fortran = matches!(fortran, Value::Bool(true) | Value::Int(1));
    Array::new(dtype, shape, fortran, raw).map(Some)
}

/// `(version, byte order, …)`; "|" leaves the order as it is.
fn dtype_state<'a>(heap: &Heap<'a>, dtype: Dtype, state: Value<'a>) -> Option<Dtype> {
    let order = match heap.items(state)?.get(1)? {
        Value::Text(order) => order.as_bytes(),
        Value::Bytes(order) => order,
        _ => return None,
    };
    let big_endian = match order {
        b"<" | b"=" => false,
        b">" => true,
        b"|" => dtype.big_endian,
        _ => return None,
    };
    Some(Dtype { big_endian, ..dtype })
}

/// Torch names a storage by a number.
pub(crate) const LONGEST_STORAGE_KEY: usize = 255;

/// A torch storage: `('storage', class, key, place, count)`, with a view after it in legacy files.
pub(crate) fn storage<'a>(heap: &mut Heap<'a>, id: Value<'a>, at: usize) -> Result<Value<'a>, PickleError> {
    let wrong = PickleError::Malformed { at, what: "a storage that torch would not write" };
    let Some(items) = heap.items(id) else { return Err(wrong) };
    let ([Value::Text("storage"), Value::Global(Global::Storage(element)), key, _, count]
    | [Value::Text("storage"), Value::Global(Global::Storage(element)), key, _, count, Value::None]) = items
    else {
        return Err(wrong);
    };
    let (Value::Text(key), Some(count)) = (*key, size(*count)) else { return Err(wrong) };
    if key.len() > LONGEST_STORAGE_KEY {
        return Err(wrong);
    }
    let storage = Storage { element: *element, key, count };
    Ok(heap.put(Object::Storage(storage)))
}
