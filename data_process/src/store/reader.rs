//! An open store.

use std::path::{Path, PathBuf};

use arrow::array::AsArray;
use arrow::datatypes::UInt8Type;
use indexmap::IndexMap;
use sha2::{Digest, Sha256};

use super::meta::{ColumnMeta, Meta, Origin, VOCABULARY_KEY, Vocabulary, value};
use super::part::{Part, VectorLeaf};
use super::splice::{self, Change};
use super::vectors::Vectors;
use super::writer::Layout;
use super::{NewVectors, Provenance, StoreError, Structure, VectorColumn, decode, digests, folder};
use crate::digest::hex;
use crate::pair::GraphPair;
use crate::schema;

/// An open store: footers read and checked against the contract; columns are mapped or decoded when asked for.
///
/// It holds its files open, so that it stays what it was when somebody writes a new store under its name.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    folder: bool,
    parts: Vec<Part>,
    left: usize,
    entities: usize,
    names: [String; 2],
    columns: Vec<VectorColumn>,
}

impl Store {
    /// Opens a store: a Parquet file or a folder of `part-*.parquet`, which are those of one moment.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let (folder, parts) = folder::open(path)?;
        let entities = parts.iter().map(|part| part.rows).sum();
        if u32::try_from(entities).is_err() {
            return Err(StoreError::TooMany { entities });
        }
        let mut store = Self {
            path: path.to_owned(),
            folder,
            parts,
            left: 0,
            entities,
            names: ["left".to_owned(), "right".to_owned()],
            columns: Vec::new(),
        };
        store.read_meta()?;
        store.columns = store.list_columns()?;
        Ok(store)
    }

    fn read_meta(&mut self) -> Result<(), StoreError> {
        let Some(meta) = self.parts.first().and_then(|part| part.meta.as_ref()) else {
            self.left = self.count_left()?;
            return Ok(());
        };
        let [left, right] = meta.entities;
        let expected = left.saturating_add(right);
        if expected != self.entities {
            return Err(StoreError::Rows { path: self.path.clone(), expected, found: self.entities });
        }
        self.left = left;
        self.names.clone_from(&meta.graphs);
        Ok(())
    }

    /// Rows of the left graph, for a store whose metadata another tool has dropped.
    fn count_left(&self) -> Result<usize, StoreError> {
        let mut left = 0;
        for part in &self.parts {
            for batch in part.batches(&["side"])? {
                let (_, batch) = batch?;
                let sides = batch.column(0).as_primitive_opt::<UInt8Type>();
                left += sides.map_or(0, |sides| sides.iter().filter(|side| *side == Some(0)).count());
            }
        }
        Ok(left)
    }

    fn list_columns(&self) -> Result<Vec<VectorColumn>, StoreError> {
        let Some(part) = self.parts.first() else { return Ok(Vec::new()) };
        let describe = |(name, leaf): (&String, &VectorLeaf)| {
            let width = leaf.shape.width as usize;
            let said = part.meta.as_ref().and_then(|meta| meta.columns.get(name));
            let present = match said.filter(|said| self.plausible(name, said)) {
                Some(said) => said.present,
                None => self.count_present(name)?,
            };
            let provenance = said.map(|said| said.provenance.clone());
            Ok(VectorColumn { name: name.clone(), width, present, provenance })
        };
        part.vectors.iter().map(describe).collect()
    }

    /// Whether what the metadata says of a column agrees with the null counts of the footers.
    fn plausible(&self, name: &str, said: &ColumnMeta) -> bool {
        let nulls = |part: &Part| {
            let leaf = part.vectors.get(name)?.leaf;
            let mut chunks = part.chunks(leaf).map(|(_, chunk)| chunk.statistics()?.null_count_opt());
            chunks.try_fold(0_u64, |sum, nulls| sum.checked_add(nulls?))
        };
        let [left, right] = said.present.map(|present| present as u64);
        let rows = self.parts.iter().try_fold(left.saturating_add(right), |sum, part| sum.checked_add(nulls(part)?));
        left <= self.left as u64 && rows == Some(self.entities as u64)
    }

    fn count_present(&self, name: &str) -> Result<[usize; 2], StoreError> {
        let rows = Vectors::rows_of(&self.parts, name)?;
        let left = rows.partition_point(|&row| (row as usize) < self.left);
        Ok([left, rows.len() - left])
    }

    /// The path it was opened with.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is a folder of parts.
    pub fn is_folder(&self) -> bool {
        self.folder
    }

    /// Entities of both graphs.
    pub fn entities(&self) -> usize {
        self.entities
    }

    /// Entities of the left graph; ids below this are left.
    pub fn left(&self) -> usize {
        self.left
    }

    /// The names of the left and the right graph.
    pub fn graph_names(&self) -> [&str; 2] {
        [&self.names[0], &self.names[1]]
    }

    /// Where the graphs came from, if the store says.
    pub fn origin(&self) -> Option<&Origin> {
        Some(&self.parts.first()?.meta.as_ref()?.origin)
    }

    /// Hexadecimal fingerprint that changes whenever the content of the store changes: from the digests in the footers or,
    /// where another tool has written the file or dropped them, from the bytes of the columns.
    ///
    /// Two stores written from the same content by the same version have the same fingerprint.
    ///
    /// # Errors
    /// If bytes must be hashed and cannot be read.
    pub fn fingerprint(&self) -> Result<String, StoreError> {
        let mut digest = Sha256::new();
        let mut add = |text: &str| digest.update([text.as_bytes(), b"\0"].concat());
        add(&schema::contract().version.to_string());
        add(&self.names[0]);
        add(&self.names[1]);
        // It says in which order names are numbered.
        add(self.parts.first().and_then(|part| value(&part.footer, VOCABULARY_KEY)).unwrap_or_default());
        for part in &self.parts {
            add(&format!("{} {}", part.rows, self.left));
            add(&digests::ordinary(part)?);
            for (name, leaf) in &part.vectors {
                add(&format!("{name} {} {}", leaf.shape.width, digests::vectors(part, name)?));
            }
        }
        Ok(hex(&digest.finalize()))
    }

    /// Says what the rows are: the ordinary columns' digests, which stay the same while vector columns come and go.
    pub(super) fn content(&self) -> Result<String, StoreError> {
        let mut digest = Sha256::new_with_prefix(self.left.to_string());
        for part in &self.parts {
            digest.update(format!(" {} {}", part.rows, digests::ordinary(part)?));
        }
        Ok(hex(&digest.finalize()))
    }

    /// Adds vector columns, or replaces those of the same name, in the store that lies at this one's path.
    ///
    /// # Errors
    /// If by then its rows are not those of this store any more; and as in [`super::put_vectors`].
    pub fn put_vectors(&self, vectors: &[NewVectors<'_>]) -> Result<(), StoreError> {
        let layout = Layout::default();
        splice::apply(&self.path, Change { drop: None, put: vectors, rows_of: Some(self), layout })
    }

    /// The vector columns, in file order.
    pub fn vector_columns(&self) -> &[VectorColumn] {
        &self.columns
    }

    /// One vector column.
    pub fn column(&self, name: &str) -> Result<&VectorColumn, StoreError> {
        let place = self.parts.first().and_then(|part| part.vectors.get_index_of(name));
        place.and_then(|place| self.columns.get(place)).ok_or_else(|| StoreError::NoColumn {
            path: self.path.clone(),
            name: name.to_owned(),
            present: self.columns.iter().map(|column| column.name.clone()).collect(),
        })
    }

    /// Decodes what training needs.
    pub fn structure(&self) -> Result<Structure, StoreError> {
        decode::structure(self)
    }

    /// Entity identifiers in id order.
    pub fn uris(&self) -> Result<Vec<Box<str>>, StoreError> {
        decode::uris(self)
    }

    /// Decodes everything but the vectors; equal to what was written, in [`super::grouped`] order.
    pub fn pair(&self) -> Result<GraphPair, StoreError> {
        decode::pair(self)
    }

    /// A vector column, mapped where the file allows it.
    pub fn vectors(&self, name: &str) -> Result<Vectors, StoreError> {
        Vectors::open(&self.parts, name, self.column(name)?.width)
    }

    pub(super) fn parts(&self) -> &[Part] {
        &self.parts
    }

    pub(super) fn vocabulary(&self) -> Result<Vocabulary, StoreError> {
        self.parts.first().map_or_else(|| Ok(Vocabulary::default()), |part| Vocabulary::read(&part.footer, &part.path))
    }

    /// What a part says of itself, or what it would say if another tool had not dropped it.
    pub(super) fn meta_of(&self, part: &Part) -> Meta {
        if let Some(meta) = &part.meta {
            return meta.clone();
        }
        let about = |column: &VectorColumn| {
            let (width, present) = (column.width, column.present);
            (
                column.name.clone(),
                ColumnMeta { width, present, sha256: String::new(), provenance: Provenance::default() },
            )
        };
        Meta {
            version: schema::contract().version,
            humea: env!("CARGO_PKG_VERSION").to_owned(),
            created: 0,
            graphs: self.names.clone(),
            entities: [self.left, self.entities - self.left],
            origin: Origin::default(),
            sha256: String::new(),
            columns: self.columns.iter().map(about).collect::<IndexMap<_, _>>(),
        }
    }
}
