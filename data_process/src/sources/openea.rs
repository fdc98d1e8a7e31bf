//! OpenEA's layout: everything by name, TAB-separated.
//!
//! | file | line |
//! |---|---|
//! | `rel_triples_1`, `rel_triples_2` | `head⇥relation⇥tail` |
//! | `attr_triples_1`, `attr_triples_2` | `entity⇥attribute⇥value`, the value bare or `"…"^^<datatype>` |
//! | `ent_links` | `left⇥right` |
//! | `721_5fold/1…5/{train,valid,test}_links` | published splits, read by [`super::published`] |
//!
//! `rdfs:label`, `skos:prefLabel` and `foaf:name`, in full or in short, are the entity's label, the first one; values only if
//! asked for. Entities are numbered in the byte order of their identifiers. The tables are read by Polars; the attribute lines by
//! hand, because a value may hold TABs.

use std::path::{Path, PathBuf};

use super::collect::{Growing, Links, kept, known};
use super::lines::{self, Outcome};
use super::literal::Literal;
use super::{FileReport, Loaded, Report, SourceError, tables};
use crate::event::{Event, Observer, Unit};
use crate::pair::{Graph, GraphPair};

/// The files of the layout, left graph first, the links last.
pub(super) const FILES: [&str; 5] = ["rel_triples_1", "attr_triples_1", "rel_triples_2", "attr_triples_2", "ent_links"];

/// Reads a folder in OpenEA's layout; names of entities become values, too, if asked for.
///
/// # Errors
/// If files are missing (all are named at once) or malformed, or a link names an entity its graph does not have.
pub fn read(folder: &Path, use_labels: bool, observer: &dyn Observer) -> Result<Loaded, SourceError> {
    let files = FILES.map(|name| folder.join(name));
    let missing: Vec<PathBuf> = files.iter().filter(|file| !file.is_file()).cloned().collect();
    if !missing.is_empty() {
        let advice = "OpenEA's layout has rel_triples_1/2, attr_triples_1/2 and ent_links in one folder, such as \
                      EN_FR_15K_V1 of its published archives; folders with ent_ids_1 and triples_1 are read with \
                      --layout dbp15k."
            .to_owned();
        return Err(SourceError::Missing { files: missing, advice });
    }
    let bytes = files.iter().filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum();
    let task = format!("reading {}", folder.display());
    observer.on(Event::Started { task: &task, total: Some(bytes), unit: Unit::Bytes });
    let loaded = read_files(&files, folder, use_labels, observer);
    observer.on(Event::Finished);
    loaded
}

fn read_files(
    files: &[PathBuf; 5],
    folder: &Path,
    use_labels: bool,
    observer: &dyn Observer,
) -> Result<Loaded, SourceError> {
    let [left_triples, left_values, right_triples, right_values, links_path] = files;
    let [left_name, right_name] = graph_names(folder);
    let growing = |name: &str| Growing::new(name).using_labels(use_labels);
    let (left, right) = rayon::join(
        || graph(growing(&left_name), left_triples, left_values, observer),
        || graph(growing(&right_name), right_triples, right_values, observer),
    );
    let ((left, left_reports), (right, right_reports)) = (left?, right?);
    let mut links = Links::default();
    let report = tables::texts(links_path, observer, |line, [l, r]| {
        let link = (known(&left, l, links_path, line)?, known(&right, r, links_path, line)?);
        Ok(kept(links.insert(link)))
    })?;
    let links = links.into_iter().collect();
    let files = left_reports.into_iter().chain(right_reports).chain([report]).collect();
    Ok(Loaded { pair: GraphPair { left, right, links }, report: Report { files } })
}

/// The first two parts of a name such as `D_W_15K_V1`, else `left` and `right`.
fn graph_names(folder: &Path) -> [String; 2] {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut parts = name.split('_').filter(|part| !part.is_empty());
    match (parts.next(), parts.next()) {
        (Some(left), Some(right)) if left != right => [left.to_owned(), right.to_owned()],
        _ => ["left".to_owned(), "right".to_owned()],
    }
}

fn graph(
    mut growing: Growing,
    triples: &Path,
    values: &Path,
    observer: &dyn Observer,
) -> Result<(Graph, [FileReport; 2]), SourceError> {
    let triples =
        tables::texts(triples, observer, |_, [head, relation, tail]| Ok(growing.triple(head, relation, tail)))?;
    let values = lines::read(values, observer, |line| Ok(take_value(&mut growing, line.text)))?;
    Ok((growing.sorted()?, [triples, values]))
}

fn take_value(growing: &mut Growing, line: &str) -> Outcome {
    let mut fields = line.splitn(3, '\t');
    match (fields.next(), fields.next(), fields.next()) {
        (Some(entity), Some(attribute), Some(value)) if !entity.is_empty() && !attribute.is_empty() => {
            let entity = growing.entity(entity);
            growing.value(entity, attribute, Literal::quoted(value).unwrap_or(Literal::plain(value)))
        }
        _ => Outcome::Unreadable("expected `entity<TAB>attribute<TAB>value`"),
    }
}

#[cfg(test)]
pub(super) mod tests;
