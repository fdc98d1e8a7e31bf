//! A foreign table, read batch by batch: the columns that a store has in any case as they are, and of lists of floats only
//! the floats of rows that have some. They may be more than Arrow counts in one array, and there may be no memory for them twice.

use std::path::Path;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchReader, UInt32Array};
use arrow::compute::{concat_batches, sort_to_indices, take_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use crate::float_lists::{FloatLists, is_floats};
use crate::schema;
use crate::store::folder::part_files;
use crate::store::guarded::{Guarded, guarded};
use crate::store::part::{read_footer, reader_of};
use crate::store::{NewVectors, Provenance, StoreError};

/// A table, its rows in order of `id`, if there is one.
pub(super) struct Table {
    /// The columns of the contract.
    pub ordinary: RecordBatch,
    /// The others by name; those that are vectors.
    pub others: Vec<(String, Option<Matrix>)>,
}

/// A vector column: the floats of rows that have a vector.
#[derive(Debug, Default)]
pub(super) struct Matrix {
    rows: Vec<u32>,
    values: Vec<f32>,
}

impl Matrix {
    /// The column on its way into a store.
    pub(super) fn vectors<'a>(&'a self, name: &'a str, provenance: &'a Provenance) -> NewVectors<'a> {
        NewVectors { name, width: self.width(), rows: &self.rows, values: &self.values, provenance }
    }

    fn width(&self) -> usize {
        self.values.len() / self.rows.len().max(1)
    }

    /// Appends the lists of rows from `first` on; `None` if they are not whole vectors of one width.
    fn extended(mut self, first: usize, lists: &FloatLists) -> Option<Self> {
        let present = |(row, range): (usize, &Option<_>)| Some((first + row, range.clone()?));
        for (row, range) in lists.rows.iter().enumerate().filter_map(present) {
            let vector = lists.whole(&range).filter(|vector| !vector.is_empty())?;
            if !self.rows.is_empty() && vector.len() != self.width() {
                return None;
            }
            self.rows.push(row as u32);
            self.values.extend_from_slice(vector);
        }
        Some(self)
    }

    /// The same where the row `order[n]` has become row `n`.
    fn reordered(self, order: &UInt32Array) -> Self {
        let width = self.width();
        let mut places = vec![None; order.len()];
        for (at, row) in self.rows.iter().enumerate() {
            places[*row as usize] = Some(at);
        }
        let mut new = Self { rows: Vec::with_capacity(self.rows.len()), values: Vec::with_capacity(self.values.len()) };
        for (row, old) in order.values().iter().enumerate() {
            if let Some(at) = places[*old as usize] {
                new.rows.push(row as u32);
                new.values.extend_from_slice(&self.values[at * width..(at + 1) * width]);
            }
        }
        new
    }
}

/// Reads a whole file, or all parts of a folder as other engines write them.
pub(super) fn read(from: &Path) -> Result<Table, StoreError> {
    let files = if from.is_dir() { part_files(from)? } else { vec![from.to_owned()] };
    let mut reading: Option<Reading> = None;
    for file in &files {
        let reader = open(file)?;
        let reading = reading.get_or_insert_with(|| Reading::new(reader.schema()));
        if reading.schema.fields() != reader.schema().fields() {
            let (path, first) = (file.clone(), files[0].clone());
            return Err(StoreError::PartsDiffer { path, first, difference: "names, order or types".to_owned() });
        }
        let failed = |source: ArrowError| StoreError::Decode { path: file.clone(), source: source.into() };
        Guarded::new(reader).try_for_each(|batch| reading.push(&batch?)).map_err(failed)?;
    }
    let reading = reading.ok_or_else(|| StoreError::NoParts { path: from.to_owned() })?;
    reading.finish().map_err(|source| StoreError::Decode { path: from.to_owned(), source: source.into() })
}

fn open(file: &Path) -> Result<ParquetRecordBatchReader, StoreError> {
    let (opened, _) = read_footer(file)?;
    let reader = guarded(|| reader_of(opened).and_then(ParquetRecordBatchReaderBuilder::build));
    reader.map_err(|source| StoreError::Decode { path: file.to_owned(), source })
}

/// A table of which some batches have been read.
struct Reading {
    schema: SchemaRef,
    rows: usize,
    /// The numbers of the contract's columns, and what was read of them.
    ordinary: Vec<usize>,
    batches: Vec<RecordBatch>,
    /// The numbers of the other columns, and those that are vectors so far.
    others: Vec<(usize, Option<Matrix>)>,
}

impl Reading {
    fn new(schema: SchemaRef) -> Self {
        let is_ordinary = |at: &usize| schema::is_ordinary(schema.field(*at).name());
        let (ordinary, others): (Vec<_>, Vec<_>) = (0..schema.fields().len()).partition(is_ordinary);
        let matrix = |at: usize| is_floats(schema.field(at).data_type()).then(Matrix::default);
        let others = others.into_iter().map(|at| (at, matrix(at))).collect();
        Self { schema, rows: 0, ordinary, batches: Vec::new(), others }
    }

    fn push(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        for (at, found) in &mut self.others {
            if let Some(matrix) = found.take() {
                *found = extended(matrix, self.rows, batch.column(*at))?;
            }
        }
        self.batches.push(batch.project(&self.ordinary)?);
        self.rows += batch.num_rows();
        Ok(())
    }

    /// What is put together here Arrow counts in 32 bits, and panics where that is too little.
    fn finish(self) -> Result<Table, ArrowError> {
        let schema = self.schema.project(&self.ordinary)?.into();
        let ordinary = guarded(|| concat_batches(&schema, &self.batches))?;
        let name = |at: usize| self.schema.field(at).name().clone();
        // A column without a vector has no width to go by.
        let others = self.others.into_iter().map(|(at, found)| (name(at), found.filter(|all| !all.rows.is_empty())));
        let Some(ids) = ordinary.column_by_name("id") else {
            return Ok(Table { ordinary, others: others.collect() });
        };
        let order = guarded(|| sort_to_indices(ids, None, None))?;
        if order.values().is_sorted() {
            return Ok(Table { ordinary, others: others.collect() });
        }
        let others = others.map(|(name, found)| (name, found.map(|matrix| matrix.reordered(&order)))).collect();
        Ok(Table { ordinary: guarded(|| take_record_batch(&ordinary, &order))?, others })
    }
}

fn extended(matrix: Matrix, first: usize, lists: &ArrayRef) -> Result<Option<Matrix>, ArrowError> {
    guarded(|| Ok(matrix.extended(first, &FloatLists::of(lists)?)))
}
