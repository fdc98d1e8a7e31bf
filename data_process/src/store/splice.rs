//! Adds and removes vector columns without decoding anything: ordinary chunks are copied byte for byte, mapped vector
//! chunks are rebuilt (their place in the file moves, and with it their alignment), and the new file takes the old
//! one's name.

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::Schema;
use parquet::arrow::ARROW_SCHEMA_META_KEY;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::schema::types::{SchemaDescriptor, Type, TypePtr};

use super::assembly::{Assembly, Bytes, VectorChunk};
use super::meta::{META_KEY, Meta};
use super::part::Part;
use super::reader::Store;
use super::replace::{self, Pending, PendingFolder};
use super::vectors::mapped_chunk;
use super::writer::{Layout, check_vectors, chunk_of, column_meta, encode_error, key_values, vector_type};
use super::{NewVectors, StoreError};
use crate::schema;

/// What is to change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change<'a> {
    /// Column to remove.
    pub drop: Option<&'a str>,
    /// Columns to add, or to put in place of those of the same name.
    pub put: &'a [NewVectors<'a>],
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
    let _turn = replace::lock(path)?;
    let store = Store::open(path)?;
    check_vectors(change.put, store.entities())?;
    if let Some(name) = change.drop {
        store.column(name)?;
    }
    if !store.is_folder() {
        let mut pending = Pending::new(path)?;
        splice(&store, &store.parts()[0], pending.file(), change)?;
        return pending.publish();
    }
    let pending = PendingFolder::new(path)?;
    for part in store.parts() {
        let mut file = Pending::new(&pending.path().join(part.path.file_name().unwrap_or_default()))?;
        splice(&store, part, file.file(), change)?;
        file.publish()?;
    }
    pending.publish()
}

fn splice(store: &Store, part: &Part, out: &mut std::fs::File, change: Change<'_>) -> Result<(), StoreError> {
    let failed = |source| encode_error(store.path(), source);
    let kept: Vec<usize> =
        (0..part.schema.fields().len()).filter(|&root| !change.removes(part.schema.field(root).name())).collect();
    let (schema, parquet) = new_schema(part, &kept, change).map_err(failed)?;
    let mut assembly =
        Assembly::new(out, Arc::new(parquet), change.layout.page_bytes).map_err(|source| failed(source.into()))?;
    let mut first = part.first;
    for number in 0..part.footer.num_row_groups() {
        let ids = first..first + part.footer.row_group(number).num_rows() as usize;
        first = ids.end;
        for &root in &kept {
            copy_column(part, number, root, &ids, &mut assembly)?;
        }
        for column in change.put {
            assembly.vectors(&chunk_of(column, &ids)).map_err(failed)?;
        }
        assembly.end_group(ids.len()).map_err(failed)?;
    }
    let meta = new_meta(store, part, change);
    key_values(&schema, &meta, other_keys(part)).and_then(|pairs| assembly.finish(pairs)).map_err(failed)?;
    Ok(())
}

/// Copies one column of one row group: the floats of a mapped vector chunk, the bytes of anything else.
fn copy_column(
    part: &Part,
    group: usize,
    root: usize,
    ids: &std::ops::Range<usize>,
    assembly: &mut Assembly<&mut std::fs::File>,
) -> Result<(), StoreError> {
    let failed = |source| encode_error(&part.path, source);
    let name = part.schema.field(root).name();
    let descriptor = part.footer.file_metadata().schema_descr();
    for (leaf, chunk) in part.footer.row_group(group).columns().iter().enumerate() {
        if descriptor.get_column_root_idx(leaf) != root {
            continue;
        }
        let mapped = if schema::is_ordinary(name) { None } else { mapped_chunk(part, name, ids, chunk)? };
        match mapped {
            Some((runs, floats)) => {
                let width = schema::vector_width(part.schema.field(root).data_type()).unwrap_or(1);
                let plain = descriptor.column(leaf).max_def_level() == 2;
                let chunk_again = VectorChunk { runs, width, floats: vec![floats.as_slice()] };
                if plain { assembly.vectors(&chunk_again) } else { assembly.copy(Bytes::File(&part.file), chunk) }
            }
            None => assembly.copy(Bytes::File(&part.file), chunk),
        }
        .map_err(failed)?;
    }
    Ok(())
}

/// The columns that stay, as the old file spells them, and the new ones.
fn new_schema(part: &Part, kept: &[usize], change: Change<'_>) -> Result<(Schema, SchemaDescriptor), ParquetError> {
    let old = part.footer.file_metadata().schema_descr().root_schema();
    let mut fields: Vec<_> = kept.iter().map(|&root| part.schema.field(root).clone()).collect();
    let mut types: Vec<TypePtr> = kept.iter().map(|&root| old.get_fields()[root].clone()).collect();
    for column in change.put {
        let field = schema::vector_field(column.name, column.width);
        types.push(vector_type(&field)?);
        fields.push(field);
    }
    let root = Type::group_type_builder(old.name()).with_fields(types).build()?;
    Ok((Schema::new(fields), SchemaDescriptor::new(Arc::new(root))))
}

fn new_meta(store: &Store, part: &Part, change: Change<'_>) -> Meta {
    let mut meta = store.meta_of(part);
    meta.columns.retain(|name, _| !change.removes(name));
    for column in change.put {
        let about = column_meta(column, store.left(), part.first..part.first + part.rows);
        meta.columns.insert(column.name.to_owned(), about);
    }
    meta
}

fn other_keys(part: &Part) -> Vec<KeyValue> {
    let pairs = part.footer.file_metadata().key_value_metadata().into_iter().flatten();
    pairs.filter(|pair| pair.key != META_KEY && pair.key != ARROW_SCHEMA_META_KEY).cloned().collect()
}
