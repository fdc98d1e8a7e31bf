//! Vectors from Python pickles: `{entity id: numpy array}`, `{name: [numbers]}`, lists and matrices.
//!
//! Protocols 2 to 5, numpy 1 and 2, any memory order and byte order; nothing in the file is ever run. See
//! [`machine`] for the bounds.

mod globals;
pub(crate) mod machine;
pub(crate) mod value;

use std::path::Path;

use super::element::Element;
use super::error::VectorError;
use super::table::{Key, TableBuilder, VectorTable, allowance};
pub(crate) use globals::{Dialect, LONGEST_STORAGE_KEY};
use value::{Heap, Object, Value};

/// What can be wrong with a pickle.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum PickleError {
    /// The first byte is not that of a pickle.
    #[error("this is not a pickle of protocol 2 to 5; save it with `pickle.dump(data, file, protocol=4)`")]
    NotAPickle,
    /// The pickle is of a protocol that is not read.
    #[error("pickle protocol {protocol} is not read, only 2 to 5; save it again with `protocol=4`")]
    Protocol {
        /// The protocol in the header.
        protocol: u8,
    },
    /// The file ends too early.
    #[error("the pickle is cut off at byte {at}; fetch or save the file again")]
    Truncated {
        /// Where the file ends.
        at: usize,
    },
    /// An instruction that does not build data.
    #[error(
        "byte {at} is the pickle instruction {op:#04x}, which is not read: only numbers, strings, containers and arrays are"
    )]
    Opcode {
        /// The instruction.
        op: u8,
        /// Where it is.
        at: usize,
    },
    /// The pickle wants to import something that is not data.
    #[error(
        "the pickle asks for `{module}.{name}` (byte {at}), which is not data and was not run; \
         save plain numpy arrays or lists of numbers instead"
    )]
    Global {
        /// The Python module.
        module: String,
        /// The name in it.
        name: String,
        /// Where it is asked for.
        at: usize,
    },
    /// An instruction needs more values than there are.
    #[error("the pickle is damaged: at byte {at} a value is missing from the stack")]
    Stack {
        /// Where.
        at: usize,
    },
    /// A value is recalled that was never stored.
    #[error("the pickle is damaged: at byte {at} it recalls value {index}, which was never stored")]
    Memo {
        /// The number of the value.
        index: u64,
        /// Where.
        at: usize,
    },
    /// Values that do not fit together.
    #[error("the pickle is damaged: {what} (byte {at})")]
    Malformed {
        /// Where.
        at: usize,
        /// What does not fit.
        what: &'static str,
    },
    /// A string that is not UTF-8.
    #[error("the string at byte {at} of the pickle is not UTF-8")]
    Text {
        /// Where.
        at: usize,
    },
    /// Protocol 5 with buffers that were written somewhere else.
    #[error("at byte {at} the pickle refers to a buffer outside the file; save it without `buffer_callback`")]
    OutOfBand {
        /// Where.
        at: usize,
    },
    /// A numpy type that is neither a number nor a truth value.
    #[error("numpy type {code:?} is not read; convert the arrays with `.astype('float32')`")]
    Dtype {
        /// The numpy type code.
        code: String,
    },
    /// A shape that does not fit the bytes of its array.
    #[error("an array of shape {shape:?} and type {element:?} does not fit the {found} bytes it comes with")]
    ArraySize {
        /// The claimed shape.
        shape: Vec<usize>,
        /// The element type.
        element: Element,
        /// Bytes that are there.
        found: usize,
    },
    /// A tensor that reaches outside its storage.
    #[error("a tensor of shape {shape:?} does not lie inside its storage of {count} elements")]
    TensorSize {
        /// The claimed shape.
        shape: Vec<usize>,
        /// Elements in the storage.
        count: usize,
    },
    /// Something where a vector or a number should be.
    #[error("{found} where {expected} should be")]
    Kind {
        /// What was found.
        found: &'static str,
        /// What was expected.
        expected: &'static str,
    },
}

/// Reads the vectors in a pickle.
///
/// # Errors
/// If the file cannot be read, is not a pickle of vectors, or asks for anything but data.
pub fn read(path: &Path) -> Result<VectorTable, VectorError> {
    let bytes = std::fs::read(path).map_err(|source| VectorError::Open { path: path.to_owned(), source })?;
    parse(path, &bytes)
}

/// Reads the vectors in the bytes of a pickle; `path` is for messages.
///
/// # Errors
/// As [`read`].
pub fn parse(path: &Path, bytes: &[u8]) -> Result<VectorTable, VectorError> {
    let wrong = |source| VectorError::Pickle { path: path.to_owned(), source };
    let pickle = machine::unpickle(bytes, Dialect::Numpy).map_err(wrong)?;
    let heap = &pickle.heap;
    let mut table = TableBuilder::new(path, allowance(bytes.len() as u64));
    match heap.get(pickle.root) {
        Some(Object::Dict(pairs)) => {
            for (key, value) in pairs {
                table.push(key_of(heap, *key).map_err(wrong)?, |out| vector(heap, *value, out).map_err(wrong))?;
            }
        }
        Some(Object::List(rows) | Object::Tuple(rows)) => {
            for (row, value) in rows.iter().enumerate() {
                table.push(Key::Id(row as i64), |out| vector(heap, *value, out).map_err(wrong))?;
            }
            table.forget_keys();
        }
        Some(Object::Array(array)) if array.shape.len() >= 2 => {
            table.matrix(&array.shape, array.dtype.element, |out| array.floats(out))?;
        }
        _ => return Err(wrong(unexpected(heap, pickle.root, "a dictionary {entity: vector} or a matrix"))),
    }
    table.finish()
}

fn key_of<'a>(heap: &Heap<'a>, key: Value<'a>) -> Result<Key<'a>, PickleError> {
    match key {
        Value::Int(id) => Ok(Key::Id(id)),
        Value::Text(name) => Ok(Key::Name(name)),
        Value::Bytes(name) => std::str::from_utf8(name).map(Key::Name).map_err(|_| PickleError::Kind {
            found: "a key of bytes that are not UTF-8",
            expected: "an entity's id or name",
        }),
        _ => Err(unexpected(heap, key, "an entity's id or name")),
    }
}

/// Appends the numbers of one vector; `[1, d]` is as good as `[d]`.
fn vector<'a>(heap: &Heap<'a>, value: Value<'a>, out: &mut Vec<f32>) -> Result<(), PickleError> {
    let mut value = value;
    // A list in a list, as in `array.tolist()` of shape [1, d]; two levels are all that makes sense.
    for _ in 0..2 {
        match heap.items(value) {
            Some(&[only]) if matches!(only, Value::Object(_)) => value = only,
            _ => break,
        }
    }
    match heap.get(value) {
        Some(Object::Array(array)) if array.dtype.element.is_float() => {
            array.floats(out);
            Ok(())
        }
        Some(Object::List(items) | Object::Tuple(items)) => {
            for item in items {
                out.push(number(heap, *item)?);
            }
            Ok(())
        }
        _ => Err(unexpected(heap, value, "a vector of floats")),
    }
}

fn number<'a>(heap: &Heap<'a>, value: Value<'a>) -> Result<f32, PickleError> {
    match value {
        Value::Int(number) => Ok(number as f32),
        Value::Float(number) => Ok(number as f32),
        _ => Err(unexpected(heap, value, "a number")),
    }
}

fn unexpected<'a>(heap: &Heap<'a>, value: Value<'a>, expected: &'static str) -> PickleError {
    let found = match value {
        Value::None => "None",
        Value::Bool(_) => "a truth value",
        Value::Int(_) | Value::Huge(_) => "an integer",
        Value::Float(_) => "a float",
        Value::Text(_) => "a string",
        Value::Bytes(_) => "bytes",
        Value::Global(_) => "a class",
        Value::Object(_) => match heap.get(value) {
            Some(Object::List(_)) => "a list",
            Some(Object::Tuple(_)) => "a tuple",
            Some(Object::Set(_)) => "a set",
            Some(Object::Dict(_)) => "a dictionary",
            Some(Object::Latin1 { .. }) => "bytes",
            Some(Object::Array(array)) if !array.dtype.element.is_float() => "an array of integers",
            Some(Object::Array(_)) => "an array of one axis",
            Some(Object::Storage(_) | Object::Tensor(_)) => "a torch tensor",
            Some(Object::Dtype(_) | Object::Unbuilt) | None => "an unfinished array",
        },
    };
    PickleError::Kind { found, expected }
}

#[cfg(test)]
mod tests;
