//! Takes things out of a store for programs that do not read Parquet.

mod id_files;

use std::borrow::Cow;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use rustc_hash::FxHashSet;
use safetensors::tensor::{Dtype, View};

use super::{Store, StoreError, Vectors, npy};
use crate::aside::{self, sync_folder};
use crate::safetensors_file;

/// What to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `COLUMN.npy` (float32 matrix) and `COLUMN.rows.npy` (uint32 ids) for each vector column.
    Npy,
    /// One `vectors.safetensors` with `COLUMN` and `COLUMN.rows` for each vector column.
    Safetensors,
    /// `COLUMN.csv` with `id,uri,0,1,…` for each vector column.
    Csv,
    /// The id-file layout of DBP15K: `ent_ids_1`, `triples_1`, …, `ill_ent_ids`; `rel_ids_*` and `training_attrs_*` where a
    /// graph has relations and attributes.
    IdFiles,
}

/// Writes into a folder, which is created if need be. Gives what the format has no place for, a line each, for a person.
pub fn export(store: &Store, format: Format, folder: &Path) -> Result<Vec<String>, StoreError> {
    if format != Format::IdFiles && store.vector_columns().is_empty() {
        return Err(StoreError::NoVectors { path: store.path().to_owned() });
    }
    let failed = |source| StoreError::Write { path: folder.to_owned(), source };
    fs::create_dir_all(folder).map_err(failed)?;
    // Every file is written aside first, so that it appears whole or not at all.
    let aside = aside::Folder::within(folder, ".export-".as_ref()).map_err(failed)?;
    let remarks = write(store, format, aside.path(), folder)?;
    publish(aside.path(), folder)?;
    Ok(remarks)
}

/// Makes the files durable and moves them to their folder.
fn publish(aside: &Path, folder: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::Write { path: folder.to_owned(), source };
    let names = synced(aside).map_err(failed)?;
    let half = |source| StoreError::HalfExported { path: folder.to_owned(), source };
    for (number, name) in names.iter().enumerate() {
        let moved = fs::rename(aside.join(name), folder.join(name));
        moved.map_err(|source| if number == 0 { failed(source) } else { half(source) })?;
    }
    sync_folder(folder).map_err(|source| StoreError::Unsettled { path: folder.to_owned(), source })
}

/// Makes the files in a folder durable: their names, in order.
fn synced(folder: &Path) -> io::Result<Vec<OsString>> {
    let mut names = fs::read_dir(folder)?.map(|file| Ok(file?.file_name())).collect::<io::Result<Vec<_>>>()?;
    names.sort_unstable();
    for name in &names {
        File::options().write(true).open(folder.join(name))?.sync_all()?;
    }
    Ok(names)
}

/// Writes into a folder that will be known as `name`.
fn write(store: &Store, format: Format, folder: &Path, name: &Path) -> Result<Vec<String>, StoreError> {
    let failed = |source| StoreError::Write { path: name.to_owned(), source };
    if format == Format::IdFiles {
        return id_files::write(&store.pair()?, folder, name);
    }
    let columns: Vec<(&str, Vectors)> = store
        .vector_columns()
        .iter()
        .map(|column| Ok((column.name.as_str(), store.vectors(&column.name)?)))
        .collect::<Result<_, StoreError>>()?;
    let uris = if format == Format::Csv { store.uris()? } else { Vec::new() };
    if format != Format::Csv {
        check_names(&columns)?;
    }
    if format == Format::Safetensors {
        return safetensors(&columns, folder)?.map(|()| Vec::new()).map_err(failed);
    }
    for (name, vectors) in &columns {
        // A name such as `../image` would lead out of the folder.
        if Path::new(name).file_name() != Some(name.as_ref()) {
            return Err(StoreError::FileName { name: (*name).to_owned() });
        }
        let floats = vectors.as_slice()?;
        let written = match format {
            Format::Csv => csv(vectors, floats, &uris, &folder.join(format!("{name}.csv"))),
            _ => npy_pair(vectors, floats, folder, name),
        };
        written.map_err(failed)?;
    }
    Ok(Vec::new())
}

/// Beside each column stand its rows, under a name that no other column may have.
fn check_names(columns: &[(&str, Vectors)]) -> Result<(), StoreError> {
    let names: FxHashSet<&str> = columns.iter().map(|(name, _)| *name).collect();
    match names.iter().find(|name| names.contains(format!("{name}.rows").as_str())) {
        None => Ok(()),
        Some(name) => Err(StoreError::RowsName { name: (*name).to_owned() }),
    }
}

fn npy_pair(vectors: &Vectors, floats: &[f32], folder: &Path, name: &str) -> io::Result<()> {
    let rows = vectors.rows();
    let matrix = folder.join(format!("{name}.npy"));
    npy::write(&matrix, "<f4", &[rows.len(), vectors.width()], bytemuck::cast_slice(floats))?;
    npy::write(&folder.join(format!("{name}.rows.npy")), "<u4", &[rows.len()], bytemuck::cast_slice(rows))
}

fn csv(vectors: &Vectors, floats: &[f32], uris: &[Box<str>], path: &Path) -> io::Result<()> {
    let mut out = csv::Writer::from_path(path)?;
    let numbers = (0..vectors.width()).map(|at| at.to_string());
    out.write_record(["id".to_owned(), "uri".to_owned()].into_iter().chain(numbers))?;
    for (row, vector) in vectors.rows().iter().zip(floats.chunks_exact(vectors.width())) {
        let about = [row.to_string(), uris[*row as usize].to_string()];
        out.write_record(about.into_iter().chain(vector.iter().map(f32::to_string)))?;
    }
    out.flush()
}

/// A tensor that is borrowed.
struct Tensor<'a> {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: &'a [u8],
}

impl View for &Tensor<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.bytes.into()
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

fn safetensors(columns: &[(&str, Vectors)], folder: &Path) -> Result<io::Result<()>, StoreError> {
    let mut tensors = Vec::new();
    for (name, vectors) in columns {
        let (rows, width) = (vectors.rows().len(), vectors.width());
        let floats = bytemuck::cast_slice(vectors.as_slice()?);
        tensors.push(((*name).to_owned(), Tensor { dtype: Dtype::F32, shape: vec![rows, width], bytes: floats }));
        let ids = bytemuck::cast_slice(vectors.rows());
        tensors.push((format!("{name}.rows"), Tensor { dtype: Dtype::U32, shape: vec![rows], bytes: ids }));
    }
    let views = tensors.iter().map(|(name, tensor)| (name, tensor));
    let file = File::create(folder.join("vectors.safetensors"));
    Ok(file.and_then(|mut file| safetensors_file::write(&mut file, views.collect(), None)))
}
