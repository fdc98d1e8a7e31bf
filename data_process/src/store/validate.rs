//! Checks every value of a store.

use std::fmt;

use rustc_hash::FxHashSet;
use sha2::Digest;

use super::decode::{KeptLink, kept_links};
use super::part::Part;
use super::vectors::Vectors;
use super::writer::rows_digest;
use super::{Store, StoreError, VectorColumn, digests};
use crate::digest::hex;

/// Something in a store that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The column.
    pub column: String,
    /// What is wrong, with the first row where it is.
    pub reason: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.column, self.reason)
    }
}

impl Store {
    /// Checks every value: ids are row numbers, tails and links are in range, each link is kept on both sides, every
    /// float is finite, and all columns have the digests the metadata gives (in files that this crate wrote: what another
    /// tool changes, it changes without them). An empty list means that all is well.
    pub fn validate(&self) -> Result<Vec<Finding>, StoreError> {
        let mut findings = Vec::new();
        if noted(self.pair(), &mut findings)?.is_some() {
            let lonely = one_sided(&kept_links(self)?);
            findings.extend(lonely.map(|(_, reason)| Finding { column: "links".into(), reason }));
        }
        for part in self.parts() {
            let result = check_ordinary(part, &mut findings);
            noted(result, &mut findings)?;
            for column in self.vector_columns() {
                let result = check_vectors(part, column, &mut findings);
                noted(result, &mut findings)?;
            }
        }
        Ok(findings)
    }
}

/// What was read; or a finding, if that is what kept it from being read.
fn noted<T>(result: Result<T, StoreError>, findings: &mut Vec<Finding>) -> Result<Option<T>, StoreError> {
    match result {
        Ok(read) => Ok(Some(read)),
        Err(error @ (StoreError::Content { .. } | StoreError::Damaged { .. } | StoreError::Decode { .. })) => {
            findings.push(Finding { column: "*".into(), reason: error.to_string() });
            Ok(None)
        }
        Err(other) => Err(other),
    }
}

fn check_ordinary(part: &Part, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
    let said = part.own_words().map(|meta| meta.sha256.as_str());
    compare("*", part, said, || digests::ordinary_bytes(part), findings)
}

/// Looks at every float of a part's share of a column, and hashes it on the way.
fn check_vectors(part: &Part, column: &VectorColumn, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
    let vectors = Vectors::open(std::slice::from_ref(part), &column.name, column.width)?;
    let mut digest = rows_digest(vectors.rows());
    for (rows, floats) in vectors.blocks()? {
        if let Some(at) = floats.iter().position(|value| !value.is_finite()) {
            let reason = format!("{} in the vector of row {}", floats[at], rows[at / column.width]);
            findings.push(Finding { column: column.name.clone(), reason });
        }
        digest.update(bytemuck::cast_slice::<f32, u8>(floats));
    }
    let said = part.own_words().and_then(|meta| meta.columns.get(&column.name)).map(|about| about.sha256.as_str());
    compare(&column.name, part, said, || Ok(hex(&digest.finalize())), findings)
}

/// Compares the digest that a file gives, if it does, with the true one.
fn compare(
    column: &str,
    part: &Part,
    said: Option<&str>,
    found: impl FnOnce() -> Result<String, StoreError>,
    findings: &mut Vec<Finding>,
) -> Result<(), StoreError> {
    let Some(said) = said.filter(|said| !said.is_empty()) else { return Ok(()) };
    if found()? != said {
        let what = if column == "*" { "ordinary columns" } else { "vectors" };
        let reason = format!("the {what} in {} are not those it was written with", part.path.display());
        findings.push(Finding { column: column.to_owned(), reason });
    }
    Ok(())
}

/// The first link that is kept on one side only, or at different positions: its row, and what is wrong.
pub(super) fn one_sided(links: &[KeptLink]) -> Option<(usize, String)> {
    let kept: FxHashSet<KeptLink> = links.iter().copied().collect();
    let lonely = links.iter().find(|(order, id, other)| !kept.contains(&(*order, *other, *id)))?;
    let (order, id, other) = lonely;
    let reason = format!("row {id} is linked to {other} (position {order}), but row {other} not to {id}");
    Some((*id as usize, reason))
}
