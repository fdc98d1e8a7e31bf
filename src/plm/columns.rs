//! From the vectors of texts to those of entities: the two columns, written to scratch files.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use data_process::aside;
use data_process::store::{NewVectors, Provenance};

use super::mapping::Mapping;
use super::passages::Passages;
use super::shard::Shard;

/// A finished column in a scratch file beside the store, so that memory stays flat whatever its size.
#[derive(Debug)]
pub(super) struct Column {
    /// Its name in the store.
    pub(super) name: &'static str,
    width: usize,
    /// The entities that have a vector.
    pub(super) rows: Vec<u32>,
    values: Mapping,
    /// Removes the scratch file when the column goes, and marks it as in use until then.
    _file: tempfile::NamedTempFile,
}

impl Column {
    /// The mean, over the triples an entity takes part in, of the relation's vector. A shard's rows are every n-th.
    pub(super) fn relation(
        store: &Path,
        passages: &Passages,
        vectors: &[Option<&[f32]>],
        width: usize,
        shard: Option<Shard>,
    ) -> io::Result<Self> {
        let mut scratch = Scratch::beside(store)?;
        let mut sum = vec![0.0_f64; width];
        for entity in (0..passages.incident.entities()).filter(|&entity| shard.is_none_or(|shard| shard.owns(entity))) {
            let texts = passages.incident.of(entity);
            if texts.is_empty() {
                continue;
            }
            sum.fill(0.0);
            for vector in texts.iter().filter_map(|&text| vectors[text as usize]) {
                sum.iter_mut().zip(vector).for_each(|(sum, value)| *sum += f64::from(*value));
            }
            let count = texts.len() as f64;
            scratch.push(entity, sum.iter().map(|sum| (sum / count) as f32))?;
        }
        scratch.finish("relation_text", width)
    }

    /// The vector of the entity's attribute text.
    pub(super) fn attribute(
        store: &Path,
        passages: &Passages,
        vectors: &[Option<&[f32]>],
        width: usize,
    ) -> io::Result<Self> {
        let mut scratch = Scratch::beside(store)?;
        for (entity, text) in passages.own.iter().enumerate() {
            if let Some(vector) = text.and_then(|text| vectors[text as usize]) {
                scratch.push(entity, vector.iter().copied())?;
            }
        }
        scratch.finish("attribute_text", width)
    }

    /// As the store takes it.
    pub(super) fn vectors<'a>(&'a self, provenance: &'a Provenance) -> NewVectors<'a> {
        let values = self.values.floats().unwrap_or_default();
        NewVectors { name: self.name, width: self.width, rows: &self.rows, values, provenance }
    }
}

/// A column while it is written, under a temporary name of the store: whoever writes the store next removes what a killed
/// run left.
struct Scratch {
    file: BufWriter<tempfile::NamedTempFile>,
    rows: Vec<u32>,
}

impl Scratch {
    fn beside(store: &Path) -> io::Result<Self> {
        Ok(Self { file: BufWriter::new(aside::beside(store)?), rows: Vec::new() })
    }

    fn push(&mut self, entity: usize, vector: impl Iterator<Item = f32>) -> io::Result<()> {
        self.rows.push(entity as u32);
        for value in vector {
            self.file.write_all(&value.to_ne_bytes())?;
        }
        Ok(())
    }

    fn finish(self, name: &'static str, width: usize) -> io::Result<Column> {
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(Column { name, width, rows: self.rows, values: Mapping::open(file.path())?, _file: file })
    }
}
