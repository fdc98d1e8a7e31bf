//! From a run folder to a file of predicted pairs.

use std::path::Path;

use data_process::event::{Event, Observer};
use data_process::fault::{Fault, Kind};
use data_process::store::Structure;
use tch::Tensor;

use super::RunError;
use super::finished::{Model, Reopened};
use super::material::{Material, device};
use crate::align::{self, Calibration, Candidates, Decoding, Format, Predictions, Wanted, WriteError};
use crate::evidence::Evidence;
use crate::inputs::Links;

/// What can stop a prediction.
#[derive(Debug, thiserror::Error)]
pub enum PredictError {
    /// The run or its store.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The file of pairs.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl Fault for PredictError {
    fn kind(&self) -> Kind {
        match self {
            Self::Run(error) => error.kind(),
            Self::Write(error) => error.kind(),
        }
    }
}

/// What differs from the run's own configuration.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish {
    /// Which pairs are believed.
    pub decoding: Option<Decoding>,
    /// Which entities are given a counterpart.
    pub entities: Option<Wanted>,
}

/// Writes the pairs a run predicts, and says how many there are.
///
/// # Errors
/// If the run has no model, the store is another one, or the file cannot be written.
pub fn predict(
    run: &Path,
    store: Option<&Path>,
    out: &Path,
    wish: Wish,
    observer: &dyn Observer,
) -> Result<usize, PredictError> {
    Format::of(out)?;
    let run = Reopened::open(run, store)?;
    align::claim(out)?;
    let device = device(&run.config).map_err(RunError::from)?;
    let material = Material::of(&run.store, &run.config, Some(&run.folder), device, observer)?;
    let Material { inputs, links, structure, evidence } = material;
    let mut model = Model::on(&run.folder, inputs, evidence, &run.config, device);
    model.load(run.config.train.protocol.counts())?;
    let scored = Scored { vectors: &model.vectors(), evidence: model.evidence(), csls_k: run.config.align.csls_k };
    let among = candidates(&structure, &links, wish.entities.unwrap_or(run.config.align.entities));
    if among.left.is_empty() || among.right.is_empty() {
        observer
            .on(Event::Note("every entity of one side has a link already: nothing to predict (see --entities unseen)"));
    }
    let decoding = wish.decoding.unwrap_or(run.config.align.decoding);
    let pairs = scored.decode(&among, decoding)?;
    let calibration = calibration(scored, &links, &among, decoding)?;
    let uris = run.store.uris().map_err(RunError::from)?;
    let predictions = Predictions { pairs: &pairs, calibration, uris: &uris };
    align::write(out, predictions)?;
    Ok(pairs.len())
}

/// What scores pairs of entities.
#[derive(Clone, Copy)]
struct Scored<'a> {
    vectors: &'a Tensor,
    evidence: Option<&'a Evidence>,
    csls_k: usize,
}

impl Scored<'_> {
    fn decode(self, among: &Candidates, decoding: Decoding) -> Result<Vec<align::Pair>, RunError> {
        Ok(align::decode(self.vectors, self.evidence, among, decoding, self.csls_k)?)
    }
}

fn candidates(structure: &Structure, links: &Links, wanted: Wanted) -> Candidates {
    let (left, entities) = (structure.left, structure.entities);
    match wanted {
        Wanted::Unlinked => Candidates::without(&structure.links, left, entities),
        Wanted::Unseen => Candidates::without(links.train.iter().chain(&links.validation), left, entities),
    }
}

/// Held-out links among the candidates tell how often a score is right, with pairs decoded as those that are predicted.
fn calibration(
    scored: Scored,
    links: &Links,
    among: &Candidates,
    decoding: Decoding,
) -> Result<Option<Calibration>, RunError> {
    if links.validation.is_empty() {
        return Ok(None);
    }
    let mut crowd = among.clone();
    crowd.left.extend(links.validation.iter().map(|link| link[0]));
    crowd.right.extend(links.validation.iter().map(|link| link[1]));
    for side in [&mut crowd.left, &mut crowd.right] {
        side.sort_unstable();
        side.dedup();
    }
    Ok(Calibration::fit(&align::judge(&scored.decode(&crowd, decoding)?, &links.validation)))
}
