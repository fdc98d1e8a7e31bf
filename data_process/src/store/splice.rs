//! Adds and removes vector columns without decoding anything: the chunks that stay are copied byte for byte, vector
//! chunks to where their floats are on the boundary again; and the new file takes the old one's name.

use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::Schema;
use parquet::arrow::ARROW_SCHEMA_META_KEY;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, KeyValue};
use parquet::schema::types::{SchemaDescriptor, Type, TypePtr};

use super::assembly::{Assembly, Bytes};
use super::meta::{META_KEY, Meta};
use super::part::Part;
use super::reader::Store;
use super::replace::{Pending, PendingFolder, Turn};
use super::vectors::floats_at;
use super::writer::{Layout, check_vectors, chunk_of, encode_error, hashed_meta, key_values, vector_type};
use super::{NewVectors, StoreError, digests};
use crate::schema;

/// What is to change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change<'a> {
    /// Column to remove.
    pub drop: Option<&'a str>,
    /// Columns to add, or to put in place of those of the same name.
    pub put: &'a [NewVectors<'a>],
    /// The store whose rows the new columns name, where that was opened before.
    pub rows_of: Option<&'a Store>,
    /// How the new columns are laid out.
    pub layout: Layout,
}

impl Change<'_> {
    fn removes(&self, name: &str) -> bool {
        self.drop == Some(name) || self.put.iter().any(|column| column.name == name)
    }
}

/// Changes a store's vector columns; waits for other writers.
pub(super) fn apply(path: &Path, change: Change<'_>) -> Result<(), StoreError> {
    let turn = Turn::take(path)?;
    let store = Store::open(turn.path())?;
    check(&store, change)?;
    if !store.is_folder() {
        let mut pending = Pending::new(turn)?;
        splice(&store, &store.parts()[0], pending.file(), change)?;
        return pending.publish();
    }
    let pending = PendingFolder::new(turn)?;
    for part in store.parts() {
        pending.part(part.path.file_name().unwrap_or_default(), |file| splice(&store, part, file, change))?;
    }
    pending.publish()
}

/// Whether the change is one of this store.
fn check(store: &Store, change: Change<'_>) -> Result<(), StoreError> {
    if let Some(old) = change.rows_of
        && old.content()? != store.content()?
    {
        return Err(StoreError::Replaced { path: store.path().to_owned() });
    }
    check_vectors(change.put, store.entities())?;
    if let Some(name) = change.drop {
        store.column(name)?;
    }
    Ok(())
}

/// Writes one file anew. The new columns are hashed while bytes are copied.
fn splice(store: &Store, part: &Part, out: &mut File, change: Change<'_>) -> Result<(), StoreError> {
    let failed = |source| encode_error(store.path(), source);
    let fields = part.schema.fields().iter();
    let kept: Vec<bool> = fields.map(|field| !change.removes(field.name())).collect();
    let (schema, parquet) = new_schema(part, &kept, change).map_err(failed)?;
    let (assembly, meta) =
        rayon::join(|| copy_groups(part, &kept, change, out, parquet), || new_meta(store, part, change));
    let (assembly, meta) = (assembly?, meta?);
    key_values(&schema, &meta, other_keys(part)).and_then(|pairs| assembly.finish(pairs)).map_err(failed)?;
    Ok(())
}

fn copy_groups<'a>(
    part: &Part,
    kept: &[bool],
    change: Change<'_>,
    out: &'a mut File,
    parquet: SchemaDescriptor,
) -> Result<Assembly<&'a mut File>, StoreError> {
    let failed = |source| encode_error(&part.path, source);
    let assembly = Assembly::new(out, Arc::new(parquet), change.layout.page_bytes);
    let mut assembly = assembly.map_err(|source| failed(source.into()))?;
    for (number, (ids, _)) in part.chunks(0).enumerate() {
        for (root, chunk) in chunks(part, number) {
            if kept[root] {
                copy_chunk(part, part.schema.field(root).name(), &ids, chunk, &mut assembly)?;
            }
        }
        for column in change.put {
            assembly.vectors(&chunk_of(column, &ids)).map_err(failed)?;
        }
        assembly.end_group(ids.len()).map_err(failed)?;
    }
    Ok(assembly)
}

/// The chunks of a row group, each with the number of the column it belongs to.
fn chunks(part: &Part, group: usize) -> impl Iterator<Item = (usize, &ColumnChunkMetaData)> {
    let descriptor = part.footer.file_metadata().schema_descr();
    let chunks = part.footer.row_group(group).columns().iter();
    chunks.enumerate().map(|(leaf, chunk)| (descriptor.get_column_root_idx(leaf), chunk))
}

/// Copies the bytes of a chunk; floats that lie together stay, or come to lie, on the boundary.
fn copy_chunk(
    part: &Part,
    name: &str,
    ids: &Range<usize>,
    chunk: &ColumnChunkMetaData,
    assembly: &mut Assembly<&mut File>,
) -> Result<(), StoreError> {
    let lead = floats_at(part, name, ids, chunk)?;
    let mut copy = || {
        lead.map_or(Ok(()), |lead| assembly.align(lead))?;
        assembly.copy(Bytes::Part(part), chunk)
    };
    copy().map_err(|source| encode_error(&part.path, source))
}

/// The columns that stay, as the old file spells them, and the new ones.
fn new_schema(part: &Part, kept: &[bool], change: Change<'_>) -> Result<(Schema, SchemaDescriptor), ParquetError> {
    let old = part.footer.file_metadata().schema_descr().root_schema();
    let stays = || (0..kept.len()).filter(|&root| kept[root]);
    let mut fields: Vec<_> = stays().map(|root| part.schema.field(root).clone()).collect();
    let mut types: Vec<TypePtr> = stays().map(|root| old.get_fields()[root].clone()).collect();
    for column in change.put {
        let field = schema::vector_field(column.name, column.width);
        types.push(vector_type(&field)?);
        fields.push(field);
    }
    let root = Type::group_type_builder(old.name()).with_fields(types).build()?;
    Ok((Schema::new(fields), SchemaDescriptor::new(Arc::new(root))))
}

fn new_meta(store: &Store, part: &Part, change: Change<'_>) -> Result<Meta, StoreError> {
    let mut meta = store.meta_of(part);
    meta.columns.retain(|name, _| !change.removes(name));
    if part.own_words().is_none() {
        // From now on the file is ours, and its digests are believed.
        meta.sha256 = digests::ordinary_bytes(part)?;
        meta.columns.values_mut().for_each(|column| column.sha256.clear());
    }
    for column in change.put {
        let about = hashed_meta(column, store.left(), &(part.first..part.first + part.rows))?;
        meta.columns.insert(column.name.to_owned(), about);
    }
    Ok(meta)
}

fn other_keys(part: &Part) -> Vec<KeyValue> {
    let pairs = part.footer.file_metadata().key_value_metadata().into_iter().flatten();
    pairs.filter(|pair| pair.key != META_KEY && pair.key != ARROW_SCHEMA_META_KEY).cloned().collect()
}
