//! Takes things out of a store for programs that do not read Parquet.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use safetensors::tensor::{Dtype, View};

use super::{Store, StoreError, Vectors, npy};
use crate::pair::{Graph, GraphPair};

/// What to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `COLUMN.npy` (float32 matrix) and `COLUMN.rows.npy` (uint32 ids) for each vector column.
    Npy,
    /// One `vectors.safetensors` with `COLUMN` and `COLUMN.rows` for each vector column.
    Safetensors,
    /// `COLUMN.csv` with `id,uri,0,1,…` for each vector column.
    Csv,
    /// The id-file layout of DBP15K: `ent_ids_1`, `triples_1`, …, `ill_ent_ids`.
    IdFiles,
}

/// Writes into a folder, which is created if need be.
pub fn export(store: &Store, format: Format, folder: &Path) -> Result<(), StoreError> {
    if format != Format::IdFiles && store.vector_columns().is_empty() {
        return Err(StoreError::NoVectors { path: store.path().to_owned() });
    }
    let failed = |source| StoreError::Write { path: folder.to_owned(), source };
    fs::create_dir_all(folder).map_err(failed)?;
    // Every file is written aside first, so that it appears whole or not at all.
    let aside = tempfile::Builder::new().prefix(".export-").tempdir_in(folder).map_err(failed)?;
    write(store, format, aside.path(), folder)?;
    for file in fs::read_dir(aside.path()).map_err(failed)? {
        let file = file.map_err(failed)?;
        fs::rename(file.path(), folder.join(file.file_name())).map_err(failed)?;
    }
    Ok(())
}

/// Writes into a folder that will be known as `name`.
fn write(store: &Store, format: Format, folder: &Path, name: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::Write { path: name.to_owned(), source };
    if format == Format::IdFiles {
        return id_files(&store.pair()?, folder).map_err(failed);
    }
    let columns: Vec<(&str, Vectors)> = store
        .vector_columns()
        .iter()
        .map(|column| Ok((column.name.as_str(), store.vectors(&column.name)?)))
        .collect::<Result<_, StoreError>>()?;
    let uris = if format == Format::Csv { store.uris()? } else { Vec::new() };
    if format == Format::Safetensors {
        return safetensors(&columns, folder)?.map_err(failed);
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
    Ok(())
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
    let written = safetensors::serialize_to_file(views, None, &folder.join("vectors.safetensors"));
    Ok(written.map_err(io::Error::other))
}

/// Numbers both graphs' entities together, as the layout does: an entity's number is its id in the store.
fn id_files(pair: &GraphPair, folder: &Path) -> io::Result<()> {
    let left = pair.left.entities.len();
    for (graph, first, suffix) in [(&pair.left, 0, "1"), (&pair.right, left, "2")] {
        graph_files(graph, first, suffix, folder)?;
    }
    let links = pair.links.iter().map(|(one, other)| format!("{one}\t{}", *other as usize + left));
    lines(&folder.join("ill_ent_ids"), links)
}

fn graph_files(graph: &Graph, first: usize, suffix: &str, folder: &Path) -> io::Result<()> {
    let file = |name: &str| folder.join(format!("{name}_{suffix}"));
    let numbered = |names: &crate::pair::Names, first: usize| -> Vec<String> {
        names.iter().enumerate().map(|(at, name)| format!("{}\t{name}", first + at)).collect()
    };
    lines(&file("ent_ids"), numbered(&graph.entities, first).into_iter())?;
    lines(&file("rel_ids"), numbered(&graph.relations, 0).into_iter())?;
    let id = |entity: u32| entity as usize + first;
    let triples = graph.triples.iter().map(|t| format!("{}\t{}\t{}", id(t.head), t.relation, id(t.tail)));
    lines(&file("triples"), triples)?;
    let mut attributes = vec![String::new(); graph.entities.len()];
    for fact in &graph.facts {
        let name = graph.attributes.get_index(fact.attribute as usize).map_or("", AsRef::as_ref);
        let names = &mut attributes[fact.entity as usize];
        names.push('\t');
        names.push_str(name);
    }
    let named = graph.entities.iter().zip(attributes).filter(|(_, names)| !names.is_empty());
    lines(&file("training_attrs"), named.map(|(uri, names)| format!("{uri}{names}")))
}

fn lines(path: &Path, lines: impl Iterator<Item = String>) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    for line in lines {
        writeln!(out, "{line}")?;
    }
    out.flush()
}
