//! Columns of lists of floats, as other people's files have them: of any of Arrow's three kinds, of any width of float.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, Float32Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type};
use arrow::error::ArrowError;

/// Whether a column holds lists of floats.
pub(crate) fn is_floats(kind: &DataType) -> bool {
    match kind {
        DataType::FixedSizeList(item, _) | DataType::List(item) | DataType::LargeList(item) => {
            matches!(item.data_type(), DataType::Float16 | DataType::Float32 | DataType::Float64)
        }
        _ => false,
    }
}

/// Some rows of such a column.
#[derive(Debug)]
pub(crate) struct FloatLists {
    /// The floats of all rows. One that is missing is null.
    pub floats: Float32Array,
    /// Where each row's lie among them; `None` for a null row.
    pub rows: Vec<Option<Range<usize>>>,
}

impl FloatLists {
    /// The floats of a column and its rows, wherever the lists begin: nothing is counted in 32 bits.
    pub(crate) fn of(lists: &ArrayRef) -> Result<Self, ArrowError> {
        let (items, offsets): (&ArrayRef, Vec<usize>) = match lists.data_type() {
            DataType::FixedSizeList(_, width) => {
                let width = *width as usize;
                (lists.as_fixed_size_list().values(), (0..=lists.len()).map(|row| row * width).collect())
            }
            DataType::LargeList(_) => {
                let lists = lists.as_list::<i64>();
                (lists.values(), lists.value_offsets().iter().map(|offset| *offset as usize).collect())
            }
            _ => {
                let lists = lists.as_list::<i32>();
                (lists.values(), lists.value_offsets().iter().map(|offset| *offset as usize).collect())
            }
        };
        let floats = cast(items, &DataType::Float32)?.as_primitive::<Float32Type>().clone();
        let rows = (0..lists.len()).map(|row| lists.is_valid(row).then(|| offsets[row]..offsets[row + 1])).collect();
        Ok(Self { floats, rows })
    }

    /// One float; NaN where it is missing.
    pub(crate) fn float(&self, at: usize) -> f32 {
        if self.floats.is_null(at) { f32::NAN } else { self.floats.value(at) }
    }

    /// The floats of a row; `None` if one of them is missing.
    pub(crate) fn whole(&self, row: &Range<usize>) -> Option<&[f32]> {
        let missing = self.floats.nulls().map_or(0, |nulls| nulls.slice(row.start, row.len()).null_count());
        (missing == 0).then(|| &self.floats.values()[row.clone()])
    }
}
