//! What a store holds, for people and for scripts.

use serde::Serialize;

use super::part::range_of;
use super::{Origin, Provenance, Store, StoreError, Vectors};
use crate::schema;

/// What a store holds.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Always `store`, so that a script can tell it from a run.
    pub kind: &'static str,
    /// Its path.
    pub path: String,
    /// Files it consists of.
    pub parts: usize,
    /// Size on disk.
    pub bytes: u64,
    /// Names of the left and the right graph.
    pub graphs: [String; 2],
    /// Entities of both graphs.
    pub entities: usize,
    /// Entities of the left graph.
    pub left: usize,
    /// Entities of the right graph.
    pub right: usize,
    /// Distinct relations of both graphs.
    pub relations: usize,
    /// Triples of the left and the right graph together.
    pub triples: usize,
    /// Distinct attribute names of both graphs.
    pub attributes: usize,
    /// Literals of both graphs.
    pub literals: usize,
    /// Known links.
    pub links: usize,
    /// The vector columns.
    pub columns: Vec<ColumnSummary>,
    /// Where the graphs came from, if the store says.
    pub origin: Option<Origin>,
    /// Seconds since 1970 when it was first written, if the store says.
    pub created: Option<u64>,
    /// See [`Store::fingerprint`].
    pub fingerprint: String,
}

/// What a store says of one vector column.
#[derive(Clone, Debug, Serialize)]
pub struct ColumnSummary {
    /// Its name.
    pub name: String,
    /// Floats per vector.
    pub width: usize,
    /// Entities of the left and of the right graph that have one.
    pub present: [usize; 2],
    /// The same as a share of the graph's entities.
    pub coverage: [f64; 2],
    /// Whether it is borrowed from the file or must be read.
    pub mapped: bool,
    /// Where it came from, if the store says.
    pub provenance: Option<Provenance>,
}

/// One column chunk in a file.
#[derive(Clone, Debug, Serialize)]
pub struct ChunkSummary {
    /// Number of the part.
    pub part: usize,
    /// Number of the row group within the part.
    pub group: usize,
    /// Rows of the row group.
    pub rows: usize,
    /// The column, with the path to a list's or struct's field.
    pub column: String,
    /// Where its bytes begin.
    pub offset: u64,
    /// Bytes in the file.
    pub bytes: u64,
    /// How they are compressed.
    pub compression: String,
    /// Whether it holds vectors.
    pub vectors: bool,
}

impl Store {
    /// What this store holds; decodes the graphs to count them.
    pub fn summary(&self) -> Result<Summary, StoreError> {
        let structure = self.structure()?;
        let columns = self.vector_columns().iter().map(|column| {
            let sizes = [self.left(), self.entities() - self.left()];
            let share = |side: usize| column.present[side] as f64 / sizes[side].max(1) as f64;
            Ok(ColumnSummary {
                name: column.name.clone(),
                width: column.width,
                present: column.present,
                coverage: [share(0), share(1)],
                mapped: Vectors::would_be_mapped(self.parts(), &column.name)?,
                provenance: column.provenance.clone(),
            })
        });
        let meta = self.parts().first().and_then(|part| part.meta.as_ref());
        Ok(Summary {
            kind: "store",
            path: self.path().display().to_string(),
            parts: self.parts().len(),
            bytes: self.parts().iter().map(|part| part.file.metadata().map_or(0, |about| about.len())).sum(),
            graphs: self.graph_names().map(str::to_owned),
            entities: self.entities(),
            left: self.left(),
            right: self.entities() - self.left(),
            relations: structure.relations.len(),
            triples: structure.triples.len(),
            attributes: structure.attributes.len(),
            literals: structure.mentions.len(),
            links: structure.links.len(),
            columns: columns.collect::<Result<_, StoreError>>()?,
            origin: self.origin().cloned(),
            created: meta.map(|meta| meta.created),
            fingerprint: self.fingerprint()?,
        })
    }

    /// Every column chunk of the store, in file order.
    pub fn chunks(&self) -> Vec<ChunkSummary> {
        let mut chunks = Vec::new();
        for (part, file) in self.parts().iter().enumerate() {
            for (group, about) in file.footer.row_groups().iter().enumerate() {
                chunks.extend(about.columns().iter().map(|chunk| ChunkSummary {
                    part,
                    group,
                    rows: about.num_rows() as usize,
                    column: chunk.column_path().string(),
                    offset: range_of(chunk).map_or(0, |range| range.start),
                    bytes: chunk.compressed_size() as u64,
                    compression: chunk.compression().to_string(),
                    vectors: chunk.column_path().parts().first().is_some_and(|root| !schema::is_ordinary(root)),
                }));
            }
        }
        chunks
    }
}

impl Summary {
    /// The summary for a person, a line each.
    pub fn lines(&self) -> Vec<String> {
        let [left, right] = &self.graphs;
        let mut lines = vec![
            format!("{} · {} · {}", self.path, plural(self.parts, "file"), size(self.bytes)),
            format!("entities    {} = {} {left} + {} {right}", self.entities, self.left, self.right),
            format!("links       {}", self.links),
            format!("triples     {} over {}", self.triples, plural(self.relations, "relation")),
            format!("literals    {} of {}", self.literals, plural(self.attributes, "attribute")),
        ];
        for column in &self.columns {
            let [on_left, on_right] = column.coverage.map(|share| share * 100.0);
            let how = if column.mapped { "mapped" } else { "read" };
            let ColumnSummary { name, width, .. } = column;
            lines.push(format!(
                "{name:<14} {width} floats, {on_left:.1} % of {left}, {on_right:.1} % of {right}, {how}"
            ));
            if let Some(source) = column.provenance.as_ref().map(|about| &about.source).filter(|text| !text.is_empty())
            {
                lines.push(format!("{:<14} from {source}", ""));
            }
        }
        if let Some(origin) = &self.origin {
            lines.extend(origin.files.iter().map(|(file, hash)| format!("source      {file} sha256 {hash}")));
            lines.extend(origin.counts.iter().map(|(what, count)| format!("counted     {what}: {count}")));
        }
        lines.push(format!("fingerprint {}", self.fingerprint));
        lines
    }
}

impl ChunkSummary {
    /// The chunk as a line of a picture of the file: `width` cells for `total` bytes.
    pub fn line(&self, total: u64, width: usize) -> String {
        let cell = |at: u64| (at as f64 / total.max(1) as f64 * width as f64) as usize;
        let (from, to) = (cell(self.offset).min(width - 1), cell(self.offset + self.bytes).clamp(1, width));
        let bar =
            format!("{}{}", " ".repeat(from), if self.vectors { "█" } else { "▒" }.repeat(to.max(from + 1) - from));
        let Self { part, group, column, offset, bytes, compression, .. } = self;
        format!("{part}.{group} │{bar:<width$}│ {column} @{offset} {} {compression}", size(*bytes))
    }
}

/// A size for a person.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

fn plural(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_one_cell_for_the_smallest_chunk_and_all_for_the_whole() {
        let chunk = |offset, bytes| ChunkSummary {
            part: 0,
            group: 0,
            rows: 1,
            column: "image".into(),
            offset,
            bytes,
            compression: "UNCOMPRESSED".into(),
            vectors: true,
        };
        assert!(chunk(0, 1).line(1000, 10).contains("│█         │"));
        assert!(chunk(0, 1000).line(1000, 10).contains("│██████████│"));
        assert!(chunk(999, 1).line(1000, 10).contains("│         █│"));
    }
}
