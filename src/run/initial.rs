//! Parameters to start from, out of a file.

use std::collections::BTreeMap;
use std::path::Path;

use tch::{Device, Tensor};

use super::RunError;
use super::checkpoint::Checkpoint;
use super::learner::{ESTIMATORS, MODEL};
use crate::model::published;

/// Reads a checkpoint of a run, or a safetensors file of parameters, under our names (`graph.embedding`,
/// `experts.image.weight`…, as [`crate::model::parameters::Parameters::iter`] lists them) or under the published ones
/// (`encoder.entity_emb.weight`…).
///
/// # Errors
/// If it is no such file, or holds a published state of odd shape.
pub fn read(path: &Path) -> Result<BTreeMap<String, Tensor>, RunError> {
    if let Ok(checkpoint) = Checkpoint::load(path, Device::Cpu) {
        return Ok(parameters(checkpoint));
    }
    let unreadable = |source| RunError::Initial { path: path.to_owned(), source };
    let found: BTreeMap<_, _> = Tensor::read_safetensors(path).map_err(unreadable)?.into_iter().collect();
    Ok(if found.contains_key(published::EMBEDDING) { published::rename(&found, path)? } else { found })
}

/// Without the optimisers' state.
fn parameters(checkpoint: Checkpoint) -> BTreeMap<String, Tensor> {
    let own = |name: &str| [MODEL, ESTIMATORS].iter().find_map(|prefix| name.strip_prefix(prefix)).map(str::to_owned);
    checkpoint.tensors.into_iter().filter_map(|(name, tensor)| Some((own(&name)?, tensor))).collect()
}
