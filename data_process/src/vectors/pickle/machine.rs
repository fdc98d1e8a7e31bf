//! The pickle machine: opcodes of protocols 2 to 5 onto a stack, a memo and a [`Heap`].
//!
//! Bounds: every opcode makes at most one value and one object, strings and arrays borrow from the file, and a call
//! looks at no more than [`MAX_ARGUMENTS`] arguments; memory is therefore below 512 bytes per byte of input, whatever
//! the input (by construction). Nesting is limited by nothing, because nothing recurses.

use rustc_hash::FxHashMap;

use super::PickleError;
use super::globals::{self, Dialect, Global};
use super::value::{Heap, Object, Value};

/// No call of the allow-list takes more.
const MAX_ARGUMENTS: usize = 8;

/// What a pickle held.
#[derive(Debug)]
pub(crate) struct Unpickled<'a> {
    pub(crate) heap: Heap<'a>,
    pub(crate) root: Value<'a>,
    /// Where the pickle ended: legacy torch files hold several, one after the other.
    pub(crate) end: usize,
}

/// Reads the pickle at the start of `input`.
pub(crate) fn unpickle(input: &[u8], dialect: Dialect) -> Result<Unpickled<'_>, PickleError> {
    let mut machine = Machine {
        input,
        at: 0,
        dialect,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: FxHashMap::default(),
        heap: Heap::new(input.len()),
    };
    machine.start()?;
    while machine.step()? {}
    let root = machine.pop()?;
    Ok(Unpickled { heap: machine.heap, root, end: machine.at })
}

struct Machine<'a> {
    input: &'a [u8],
    at: usize,
    dialect: Dialect,
    stack: Vec<Value<'a>>,
    marks: Vec<usize>,
    memo: FxHashMap<u64, Value<'a>>,
    heap: Heap<'a>,
}

impl<'a> Machine<'a> {
    fn start(&mut self) -> Result<(), PickleError> {
        match self.input {
            [] => Err(PickleError::Truncated { at: 0 }),
            [0x80] => Err(PickleError::Truncated { at: 1 }),
            [0x80, protocol @ 2..=5, ..] => {
                log::debug!("a pickle of protocol {protocol}");
                self.at = 2;
                Ok(())
            }
            [0x80, protocol, ..] => Err(PickleError::Protocol { protocol: *protocol }),
            _ => Err(PickleError::NotAPickle),
        }
    }

    /// One opcode; false at the end of the pickle.
    fn step(&mut self) -> Result<bool, PickleError> {
        let op = self.byte()?;
        if op == b'.' {
            return Ok(false);
        }
        if self.number(op)? || self.text(op)? || self.container(op)? || self.memory(op)? || self.object(op)? {
            return Ok(true);
        }
        Err(PickleError::Opcode { op, at: self.at - 1 })
    }

    /// Numbers, truth values and `None`.
    fn number(&mut self, op: u8) -> Result<bool, PickleError> {
        let value = match op {
            b'N' => Value::None,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'K' => Value::Int(self.byte()?.into()),
            b'M' => Value::Int(u16::from_le_bytes(self.array()?).into()),
            b'J' => Value::Int(i32::from_le_bytes(self.array()?).into()),
            b'G' => Value::Float(f64::from_be_bytes(self.array()?)),
            0x8a => self.long(1)?,
            0x8b => self.long(4)?,
            _ => return Ok(false),
        };
        self.stack.push(value);
        Ok(true)
    }

    /// An integer in two's complement of any length; beyond 64 bits it is kept as bytes.
    fn long(&mut self, width: usize) -> Result<Value<'a>, PickleError> {
        let bytes = self.counted(width)?;
        if bytes.len() > 8 {
            return Ok(Value::Huge(bytes));
        }
        let fill = if bytes.last().is_some_and(|top| top & 0x80 != 0) { 0xff } else { 0 };
        let mut word = [fill; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        Ok(Value::Int(i64::from_le_bytes(word)))
    }

    /// Strings and bytes.
    fn text(&mut self, op: u8) -> Result<bool, PickleError> {
        let value = match op {
            0x8c => self.string(1)?,
            b'X' => self.string(4)?,
            0x8d => self.string(8)?,
            b'U' | b'C' => Value::Bytes(self.counted(1)?),
            b'T' | b'B' => Value::Bytes(self.counted(4)?),
            0x8e | 0x96 => Value::Bytes(self.counted(8)?),
            _ => return Ok(false),
        };
        self.stack.push(value);
        Ok(true)
    }

    fn string(&mut self, width: usize) -> Result<Value<'a>, PickleError> {
        let at = self.at;
        let bytes = self.counted(width)?;
        // Protocol 2 writes arrays as text, so this is most of the work on some files.
        simdutf8::basic::from_utf8(bytes).map(Value::Text).map_err(|_| PickleError::Text { at })
    }

    /// Lists, tuples, sets and dictionaries.
    fn container(&mut self, op: u8) -> Result<bool, PickleError> {
        match op {
            b'(' => self.marks.push(self.stack.len()),
            b']' => self.put(Object::List(Vec::new())),
            b'}' => self.put(Object::Dict(Vec::new())),
            b')' => self.put(Object::Tuple(Vec::new())),
            0x8f => self.put(Object::Set(Vec::new())),
            b't' => self.collect(Object::Tuple)?,
            b'l' => self.collect(Object::List)?,
            0x91 => self.collect(Object::Set)?,
            b'd' => {
                let pairs = self.pairs()?;
                self.put(Object::Dict(pairs));
            }
            0x85..=0x87 => self.tuple(usize::from(op - 0x84))?,
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' | 0x90 => {
                let items = self.since_mark()?;
                self.append(items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set_items(vec![(key, value)])?;
            }
            b'u' => {
                let pairs = self.pairs()?;
                self.set_items(pairs)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn put(&mut self, object: Object<'a>) {
        let value = self.heap.put(object);
        self.stack.push(value);
    }

    fn collect(&mut self, make: impl FnOnce(Vec<Value<'a>>) -> Object<'a>) -> Result<(), PickleError> {
        let items = self.since_mark()?;
        self.put(make(items));
        Ok(())
    }

    fn tuple(&mut self, length: usize) -> Result<(), PickleError> {
        let from = self.stack.len().checked_sub(length).ok_or(PickleError::Stack { at: self.at })?;
        if self.marks.last().is_some_and(|mark| from < *mark) {
            return Err(PickleError::Stack { at: self.at });
        }
        let items = self.stack.split_off(from);
        self.put(Object::Tuple(items));
        Ok(())
    }

    /// The items since the last mark, two by two.
    fn pairs(&mut self) -> Result<Vec<(Value<'a>, Value<'a>)>, PickleError> {
        let items = self.since_mark()?;
        let (pairs, []) = items.as_chunks::<2>() else {
            return Err(PickleError::Malformed { at: self.at, what: "a dictionary key without a value" });
        };
        Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect())
    }

    fn append(&mut self, items: Vec<Value<'a>>) -> Result<(), PickleError> {
        let target = self.top()?;
        match self.heap.get_mut(target) {
            Some(Object::List(list) | Object::Set(list)) => list.extend(items),
            _ => return Err(PickleError::Malformed { at: self.at, what: "items for something that is not a list" }),
        }
        Ok(())
    }

    fn set_items(&mut self, pairs: Vec<(Value<'a>, Value<'a>)>) -> Result<(), PickleError> {
        let target = self.top()?;
        match self.heap.get_mut(target) {
            Some(Object::Dict(dict)) => dict.extend(pairs),
            _ => {
                return Err(PickleError::Malformed {
                    at: self.at,
                    what: "items for something that is not a dictionary",
                });
            }
        }
        Ok(())
    }

    /// Stack and memo.
    fn memory(&mut self, op: u8) -> Result<bool, PickleError> {
        match op {
            b'0' => drop(self.pop()?),
            b'1' => drop(self.since_mark()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'q' => self.memoize(1)?,
            b'r' => self.memoize(4)?,
            0x94 => {
                let top = self.top()?;
                self.memo.insert(self.memo.len() as u64, top);
            }
            b'h' => self.recall(1)?,
            b'j' => self.recall(4)?,
            // A frame only announces how much follows.
            0x95 => drop(self.array::<8>()?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn memoize(&mut self, width: usize) -> Result<(), PickleError> {
        let (index, top) = (self.uint(width)?, self.top()?);
        self.memo.insert(index, top);
        Ok(())
    }

    fn recall(&mut self, width: usize) -> Result<(), PickleError> {
        let index = self.uint(width)?;
        let value = self.memo.get(&index).ok_or(PickleError::Memo { index, at: self.at })?;
        self.stack.push(*value);
        Ok(())
    }

    /// Names, calls and states: only what the allow-list knows.
    fn object(&mut self, op: u8) -> Result<bool, PickleError> {
        match op {
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.import(module, name)?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Value::Text(module), Value::Text(name)) = (module, name) else {
                    return Err(PickleError::Malformed { at: self.at, what: "an import whose name is not a string" });
                };
                self.import(module, name)?;
            }
            b'R' => self.call()?,
            b'b' => {
                let (state, target) = (self.pop()?, self.top()?);
                globals::build(&mut self.heap, target, state, self.at)?;
            }
            b'Q' if self.dialect == Dialect::Torch => {
                let id = self.pop()?;
                let storage = globals::storage(&mut self.heap, id, self.at)?;
                self.stack.push(storage);
            }
            0x97 | 0x98 => return Err(PickleError::OutOfBand { at: self.at }),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn import(&mut self, module: &str, name: &str) -> Result<(), PickleError> {
        let global = Global::find(self.dialect, module, name).ok_or_else(|| PickleError::Global {
            module: shown(module),
            name: shown(name),
            at: self.at,
        })?;
        self.stack.push(Value::Global(global));
        Ok(())
    }

    fn call(&mut self) -> Result<(), PickleError> {
        let (args, callee) = (self.pop()?, self.pop()?);
        let wrong = PickleError::Malformed { at: self.at, what: "a call of something that cannot be called" };
        let (Value::Global(global), Some(Object::Tuple(items))) = (callee, self.heap.get(args)) else {
            return Err(wrong);
        };
        let args: Vec<_> = items.iter().take(MAX_ARGUMENTS).copied().collect();
        let value = globals::call(&mut self.heap, global, &args, self.at)?;
        self.stack.push(value);
        Ok(())
    }

    fn pop(&mut self) -> Result<Value<'a>, PickleError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(PickleError::Stack { at: self.at });
        }
        self.stack.pop().ok_or(PickleError::Stack { at: self.at })
    }

    fn top(&self) -> Result<Value<'a>, PickleError> {
        self.stack.last().copied().ok_or(PickleError::Stack { at: self.at })
    }

    fn since_mark(&mut self) -> Result<Vec<Value<'a>>, PickleError> {
        let mark = self.marks.pop().ok_or(PickleError::Stack { at: self.at })?;
        Ok(self.stack.split_off(mark))
    }

    fn byte(&mut self) -> Result<u8, PickleError> {
        Ok(self.array::<1>()?[0])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        let bytes = self.take(N as u64)?;
        bytes.try_into().map_err(|_| PickleError::Truncated { at: self.at })
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], PickleError> {
        let truncated = PickleError::Truncated { at: self.input.len() };
        let Ok(length) = usize::try_from(length) else { return Err(truncated) };
        let bytes = self.input.get(self.at..).and_then(|rest| rest.get(..length)).ok_or(truncated)?;
        self.at += length;
        Ok(bytes)
    }

    /// A little-endian unsigned number of `width` bytes.
    fn uint(&mut self, width: usize) -> Result<u64, PickleError> {
        let mut word = [0; 8];
        word[..width].copy_from_slice(self.take(width as u64)?);
        Ok(u64::from_le_bytes(word))
    }

    /// Bytes after their count.
    fn counted(&mut self, width: usize) -> Result<&'a [u8], PickleError> {
        let length = self.uint(width)?;
        self.take(length)
    }

    fn line(&mut self) -> Result<&'a str, PickleError> {
        let rest = &self.input[self.at..];
        let end = rest.iter().position(|byte| *byte == b'\n');
        let end = end.ok_or(PickleError::Truncated { at: self.input.len() })?;
        let line = std::str::from_utf8(&rest[..end]).map_err(|_| PickleError::Text { at: self.at })?;
        self.at += end + 1;
        Ok(line)
    }
}

/// A name as an error message shows it: no control characters, no novels.
fn shown(name: &str) -> String {
    name.chars().take(80).flat_map(char::escape_debug).collect()
}
