//! Numbers as bytes: the element types of numpy, torch, safetensors and HDF5 arrays, and their decoding to float32.

use half::{bf16, f16};

/// The type of one array element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it all")]
pub enum Element {
    Bool,
    U8,
    U16,
    U32,
    U64,
    I8,
    I16,
    I32,
    I64,
    F16,
    Bf16,
    F32,
    F64,
}

impl Element {
    /// Bytes per element.
    pub const fn size(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 | Self::F16 | Self::Bf16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// Whether this is a floating-point type: what a vector may be made of.
    pub const fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::Bf16 | Self::F32 | Self::F64)
    }

    /// The element type of a numpy code without its byte-order mark: `f4`, `i8`, `b1`.
    pub fn from_numpy(code: &str) -> Option<Self> {
        Some(match code {
            "b1" | "?" => Self::Bool,
            "u1" => Self::U8,
            "u2" => Self::U16,
            "u4" => Self::U32,
            "u8" => Self::U64,
            "i1" => Self::I8,
            "i2" => Self::I16,
            "i4" => Self::I32,
            "i8" => Self::I64,
            "f2" => Self::F16,
            "f4" => Self::F32,
            "f8" => Self::F64,
            _ => return None,
        })
    }
}

/// One decoded element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// An integer or a truth value; `i128` holds every 64-bit one.
    Int(i128),
    /// A floating-point number.
    Float(f64),
}

/// An element type and its byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dtype {
    /// What the elements are.
    pub element: Element,
    /// Whether the first byte is the most significant one.
    pub big_endian: bool,
}

/// The first `N` bytes in little-endian order; bytes that are not there count as zero (callers hand whole elements).
fn little<const N: usize>(bytes: &[u8], big_endian: bool) -> [u8; N] {
    let mut word = [0; N];
    for (to, from) in word.iter_mut().zip(bytes) {
        *to = *from;
    }
    if big_endian {
        word.reverse();
    }
    word
}

impl Dtype {
    /// A little-endian type.
    pub const fn little(element: Element) -> Self {
        Self { element, big_endian: false }
    }

    /// The number in the first [`Element::size`] bytes.
    pub fn number(self, bytes: &[u8]) -> Number {
        let big = self.big_endian;
        match self.element {
            Element::Bool => Number::Int((little::<1>(bytes, big)[0] != 0).into()),
            Element::U8 => Number::Int(u8::from_le_bytes(little(bytes, big)).into()),
            Element::U16 => Number::Int(u16::from_le_bytes(little(bytes, big)).into()),
            Element::U32 => Number::Int(u32::from_le_bytes(little(bytes, big)).into()),
            Element::U64 => Number::Int(u64::from_le_bytes(little(bytes, big)).into()),
            Element::I8 => Number::Int(i8::from_le_bytes(little(bytes, big)).into()),
            Element::I16 => Number::Int(i16::from_le_bytes(little(bytes, big)).into()),
            Element::I32 => Number::Int(i32::from_le_bytes(little(bytes, big)).into()),
            Element::I64 => Number::Int(i64::from_le_bytes(little(bytes, big)).into()),
            Element::F16 => Number::Float(f16::from_le_bytes(little(bytes, big)).to_f64()),
            Element::Bf16 => Number::Float(bf16::from_le_bytes(little(bytes, big)).to_f64()),
            Element::F32 => Number::Float(f32::from_le_bytes(little(bytes, big)).into()),
            Element::F64 => Number::Float(f64::from_le_bytes(little(bytes, big))),
        }
    }

    /// Appends the elements of `bytes` (whole elements, in order) to `out` as float32.
    pub fn floats(self, bytes: &[u8], out: &mut Vec<f32>) {
        if self == Self::little(Element::F32) {
            out.extend(bytes.as_chunks().0.iter().map(|word| f32::from_le_bytes(*word)));
            return;
        }
        out.extend(bytes.chunks_exact(self.element.size()).map(|element| match self.number(element) {
            Number::Int(value) => value as f32,
            Number::Float(value) => value as f32,
        }));
    }

    /// The integers in `bytes`, whole elements in order; one that is no integer of 64 bits is −1, which is nobody's id.
    pub fn integers(self, bytes: &[u8]) -> Vec<i64> {
        let numbers = bytes.chunks_exact(self.element.size()).map(|element| self.number(element));
        numbers.map(|number| if let Number::Int(id) = number { i64::try_from(id).unwrap_or(-1) } else { -1 }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_byte_orders_of_every_width_decode() {
        for (element, bytes, value) in [
            (Element::F16, f16::from_f32(-1.5).to_le_bytes().to_vec(), -1.5),
            (Element::Bf16, bf16::from_f32(-1.5).to_le_bytes().to_vec(), -1.5),
            (Element::F32, (-1.5_f32).to_le_bytes().to_vec(), -1.5),
            (Element::F64, (-1.5_f64).to_le_bytes().to_vec(), -1.5),
        ] {
            let mut reversed = bytes.clone();
            reversed.reverse();
            assert_eq!(bytes.len(), element.size());
            assert_eq!(Dtype { element, big_endian: false }.number(&bytes), Number::Float(value));
            assert_eq!(Dtype { element, big_endian: true }.number(&reversed), Number::Float(value));
        }
        assert_eq!(Dtype { element: Element::I16, big_endian: true }.number(&[0xff, 0xfe]), Number::Int(-2));
        assert_eq!(Dtype::little(Element::U64).number(&[0xff; 8]), Number::Int(u64::MAX.into()));
    }

    #[test]
    fn what_is_no_integer_of_64_bits_is_nobodys_id() {
        let bytes = [3_u64.to_le_bytes(), (1_u64 << 63).to_le_bytes()].concat();
        assert_eq!(Dtype::little(Element::U64).integers(&bytes), [3, -1]);
        assert_eq!(Dtype { element: Element::I16, big_endian: true }.integers(&[0xff, 0xfe]), [-2]);
        assert_eq!(Dtype::little(Element::F32).integers(&1.0_f32.to_le_bytes()), [-1]);
    }

    #[test]
    fn floats_of_any_width_become_float32() {
        let mut out = Vec::new();
        Dtype::little(Element::F32).floats(&1.25_f32.to_le_bytes(), &mut out);
        Dtype::little(Element::F64).floats(&2.5_f64.to_le_bytes(), &mut out);
        Dtype { element: Element::F16, big_endian: true }.floats(&f16::from_f32(0.5).to_be_bytes(), &mut out);
        assert_eq!(out, [1.25, 2.5, 0.5]);
    }
}
