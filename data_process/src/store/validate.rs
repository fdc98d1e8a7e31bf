//! Checks every value of a store.

use std::fmt;

use rustc_hash::FxHashSet;
use sha2::Digest;

use super::decode::{KeptLink, kept_links};
use super::part::Part;
use super::vectors::Vectors;
use super::writer::rows_digest;
use super::{Store, StoreError, VectorColumn};
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
    /// float is finite, and vectors have the digest the metadata gives. An empty list means that all is well.
    pub fn validate(&self) -> Result<Vec<Finding>, StoreError> {
        let mut findings = Vec::new();
        let mut content = |result: Result<(), StoreError>| match result {
            Err(error @ (StoreError::Content { .. } | StoreError::Damaged { .. } | StoreError::Decode { .. })) => {
                findings.push(Finding { column: "*".into(), reason: error.to_string() });
                Ok(())
            }
            other => other,
        };
        content(self.pair().map(drop))?;
        content(kept_links(self).map(drop))?;
        for column in self.vector_columns() {
            content(self.vectors(&column.name).map(drop))?;
        }
        if findings.is_empty() {
            let lonely = one_sided(&kept_links(self)?);
            findings.extend(lonely.map(|(_, reason)| Finding { column: "links".into(), reason }));
            for column in self.vector_columns() {
                self.check_vectors(column, &mut findings)?;
            }
        }
        Ok(findings)
    }

    fn check_vectors(&self, column: &VectorColumn, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
        let mut found = |reason: String| findings.push(Finding { column: column.name.clone(), reason });
        let vectors = self.vectors(&column.name)?;
        for (rows, floats) in vectors.blocks()? {
            if let Some(at) = floats.iter().position(|value| !value.is_finite()) {
                found(format!("{} in the vector of row {}", floats[at], rows[at / column.width]));
            }
        }
        for part in self.parts() {
            if !digest_agrees(part, column)? {
                found(format!("the vectors in {} are not those it was written with", part.path.display()));
            }
        }
        Ok(())
    }
}

fn digest_agrees(part: &Part, column: &VectorColumn) -> Result<bool, StoreError> {
    let said = part.meta.as_ref().and_then(|meta| meta.columns.get(&column.name)).map(|said| &said.sha256);
    let Some(said) = said.filter(|said| !said.is_empty()) else { return Ok(true) };
    let vectors = Vectors::open(std::slice::from_ref(part), &column.name, column.width)?;
    let mut digest = rows_digest(vectors.rows());
    for (_, floats) in vectors.blocks()? {
        digest.update(bytemuck::cast_slice::<f32, u8>(floats));
    }
    Ok(*said == hex(&digest.finalize()))
}

/// The first link that is kept on one side only, or at different positions: its row, and what is wrong.
pub(super) fn one_sided(links: &[KeptLink]) -> Option<(usize, String)> {
    let kept: FxHashSet<KeptLink> = links.iter().copied().collect();
    let lonely = links.iter().find(|(order, id, other)| !kept.contains(&(*order, *other, *id)))?;
    let (order, id, other) = lonely;
    let reason = format!("row {id} is linked to {other} (position {order}), but row {other} not to {id}");
    Some((*id as usize, reason))
}
