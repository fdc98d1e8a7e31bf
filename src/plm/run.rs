//! `embed-text`: the texts of a store become its columns `relation_text` and `attribute_text`.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use data_process::event::{Event, Observer, Unit};
use data_process::fault::{Fault, Kind};
use data_process::store::{self, NewVectors, Provenance, Store, StoreError};
use data_process::texts::Template;

use super::batching::Plan;
use super::cache::{TextHash, VectorCache, text_hash};
use super::columns::Column;
use super::crew::{self, Stopped};
use super::embedder::Embedder;
use super::passages::{Distinct, Passages};
use super::shard::Shard;
use super::tokenizer::TokenizerError;
use crate::interrupt;

/// What can stop the work.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A text that cannot be tokenised.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The store has neither triples nor attributes.
    #[error("{0} has neither triples nor attributes: there is nothing to read")]
    NoTexts(PathBuf),
    /// The finished vectors cannot be kept.
    #[error("cannot keep finished vectors beside {store}: {source}; free some space, or move the store")]
    Cache {
        /// The store.
        store: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A vector that is not made of numbers.
    #[error("the model gives no finite vector for {text:?}; compute with --dtype float32 or bf16")]
    NotFinite {
        /// The text.
        text: String,
    },
    /// The model failed while it ran.
    #[error("the model failed: {0}; if memory ran out, give a smaller --batch-tokens or --max-length")]
    Worker(String),
    /// Ctrl-C.
    #[error("stopped; the same command goes on where this one stopped")]
    Interrupted,
}

impl Stopped<RunError> {
    fn into_error(self) -> RunError {
        match self {
            Self::By(error) => error,
            Self::Crashed(reason) => RunError::Worker(reason),
        }
    }
}

impl Fault for RunError {
    fn kind(&self) -> Kind {
        match self {
            Self::Store(error) => error.kind(),
            Self::Tokenizer(error) => error.kind(),
            Self::NoTexts(_) | Self::NotFinite { .. } => Kind::Data,
            Self::Cache { .. } => Kind::Output,
            Self::Worker(_) => Kind::Device,
            Self::Interrupted => Kind::Interrupted,
        }
    }
}

/// What was done, for the user.
#[derive(Clone, Debug, PartialEq)]
pub struct Done {
    /// The store or part that holds the columns now.
    pub written: PathBuf,
    /// The columns with the number of entities that have a vector.
    pub columns: Vec<(&'static str, usize)>,
    /// Floats per vector.
    pub width: usize,
    /// Distinct texts read, by this run or an earlier one.
    pub texts: usize,
    /// Distinct texts that this run computed.
    pub computed: usize,
}

/// Reads every text of a store once and adds the two columns to it; or, for a shard, writes a part with its share.
pub fn embed_texts(
    path: &Path,
    embedder: &mut Embedder,
    template: Template,
    shard: Option<Shard>,
    observer: &dyn Observer,
) -> Result<Done, RunError> {
    let opened = Store::open(path)?;
    let pair = opened.pair()?;
    let passages = Passages::of(&pair, template);
    if passages.relations.is_empty() && passages.attributes.is_empty() {
        return Err(RunError::NoTexts(path.to_owned()));
    }
    let kept = |source| RunError::Cache { store: path.to_owned(), source };
    let mut cache = VectorCache::open(path, &cache_key(embedder), embedder.width()).map_err(kept)?;
    let mut job = Job { store: path, embedder, cache: &mut cache, observer, computed: 0 };
    // Every entity needs many relations, so each shard reads them all; of attribute texts, the most, only its share.
    let relations = job.read("relation texts", &passages.relations, None)?;
    let attributes = job.read("attribute texts", &passages.attributes, shard)?;
    let computed = job.computed;
    let provenance = Provenance { template: Some(template.name().to_owned()), ..embedder.provenance().clone() };
    let columns = [
        Column::relation(path, &passages, &relations, embedder.width(), shard).map_err(kept)?,
        Column::attribute(path, &passages, &attributes, embedder.width()).map_err(kept)?,
    ];
    let written = write(&opened, &pair, &columns, &provenance, shard)?;
    let texts = passages.relations.len() + attributes.iter().flatten().count();
    let counts = columns.iter().map(|column| (column.name, column.rows.len())).collect();
    Ok(Done { written, columns: counts, width: embedder.width(), texts, computed })
}

/// The vectors of texts, row-major `[texts.len(), width]`, without a store and without a cache.
pub fn vectors_of(embedder: &mut Embedder, texts: &[&str]) -> Result<Vec<f32>, RunError> {
    let tokens = embedder.tokenise(texts)?;
    let lengths: Vec<usize> = tokens.iter().map(Vec::len).collect();
    let plan = Plan::new(&lengths, texts, embedder.batch_tokens());
    let batches: Vec<&[usize]> = plan.batches().collect();
    let width = embedder.width();
    let mut all = vec![0.0; texts.len() * width];
    crew::run(embedder.workers(), &batches, &tokens, |batch, vectors| {
        for (&i, vector) in batch.iter().zip(vectors.chunks(width)) {
            all[i * width..][..width].copy_from_slice(vector);
        }
        Ok(())
    })
    .map_err(Stopped::into_error)?;
    Ok(all)
}

/// Everything that changes a vector besides the text.
fn cache_key(embedder: &Embedder) -> String {
    let mut provenance = embedder.provenance().clone();
    if provenance.revision.is_none() {
        // A folder's files are told by their hashes; where it lies and how it was named changes nothing.
        (provenance.source, provenance.model) = (String::new(), None);
    }
    let settings = serde_json::to_string(&provenance).unwrap_or_default();
    format!("humea vectors 1, {} tokens a batch, {settings}", embedder.batch_tokens())
}

fn write(
    opened: &Store,
    pair: &data_process::pair::GraphPair,
    columns: &[Column],
    provenance: &Provenance,
    shard: Option<Shard>,
) -> Result<PathBuf, RunError> {
    let vectors: Vec<NewVectors<'_>> =
        columns.iter().filter(|column| !column.rows.is_empty()).map(|column| column.vectors(provenance)).collect();
    let Some(shard) = shard else {
        opened.put_vectors(&vectors)?;
        return Ok(opened.path().to_owned());
    };
    let part = shard.part_of(opened.path());
    let mut origin = opened.origin().cloned().unwrap_or_default();
    origin.details.insert(store::SHARD.to_owned(), shard.to_string().into());
    store::write_with(&part, pair, &vectors, &origin)?;
    Ok(part)
}

/// How many vectors, and for how long, are held back before they are written to the cache.
const KEPT_AT_ONCE: usize = 2048;
const KEPT_EVERY: Duration = Duration::from_secs(5);

/// The work on one store.
struct Job<'a> {
    store: &'a Path,
    embedder: &'a mut Embedder,
    cache: &'a mut VectorCache,
    observer: &'a dyn Observer,
    computed: usize,
}

impl Job<'_> {
    /// The vectors of the texts of a shard, or of all; `None` where a text is another shard's.
    ///
    /// The two graphs' texts are batched apart, so that another store with the same left graph finds the very batches.
    fn read(
        &mut self,
        what: &str,
        texts: &Distinct,
        shard: Option<Shard>,
    ) -> Result<Vec<Option<&'static [f32]>>, RunError> {
        let mut vectors = Vec::with_capacity(texts.len());
        let all: Vec<&str> = texts.iter().collect();
        for numbers in texts.by_graph() {
            vectors.extend(self.read_graph(what, &all[numbers], shard)?);
        }
        Ok(vectors)
    }

    fn read_graph(
        &mut self,
        what: &str,
        texts: &[&str],
        shard: Option<Shard>,
    ) -> Result<Vec<Option<&'static [f32]>>, RunError> {
        let tokens = self.embedder.tokenise(texts)?;
        let lengths: Vec<usize> = tokens.iter().map(Vec::len).collect();
        let plan = Plan::new(&lengths, texts, self.embedder.batch_tokens());
        let hashes: Vec<TextHash> = texts.iter().map(|text| text_hash(text)).collect();
        let ours: Vec<&[usize]> = plan
            .batches()
            .enumerate()
            .filter(|(i, _)| shard.is_none_or(|shard| shard.owns(*i)))
            .map(|(_, batch)| batch)
            .collect();
        let finished = |batch: &[usize]| batch.iter().all(|&i| self.cache.get(&hashes[i]).is_some());
        let open: Vec<&[usize]> = ours.iter().copied().filter(|batch| !finished(batch)).collect();
        if !open.is_empty() {
            let total = open.iter().map(|batch| batch.len() as u64).sum();
            let task = format!("encoding {what}");
            self.observer.on(Event::Started { task: &task, total: Some(total), unit: Unit::Items });
            let result = self.compute(&open, texts, &tokens, &hashes);
            self.observer.on(Event::Finished);
            result?;
        }
        let mut vectors = vec![None; texts.len()];
        for &i in ours.into_iter().flatten() {
            vectors[i] = self.cache.get(&hashes[i]);
        }
        Ok(vectors)
    }

    /// Runs batches on all workers; what is finished is kept as it comes, also when the run is stopped or fails.
    fn compute(
        &mut self,
        batches: &[&[usize]],
        texts: &[&str],
        tokens: &[Vec<u32>],
        hashes: &[TextHash],
    ) -> Result<(), RunError> {
        let width = self.embedder.width();
        let _heeding = interrupt::heed();
        let mut keeper = Keeper { store: self.store, cache: self.cache, last: Instant::now() };
        let (observer, computed) = (self.observer, &mut self.computed);
        let outcome = crew::run(self.embedder.workers(), batches, tokens, |batch, vectors| {
            check(batch, texts, &vectors, width)?;
            keeper.add(batch, hashes, &vectors)?;
            *computed += batch.len();
            observer.on(Event::Advanced(batch.len() as u64));
            if interrupt::requested() { Err(RunError::Interrupted) } else { Ok(()) }
        });
        let kept = keeper.write();
        outcome.map_err(Stopped::into_error)?;
        kept
    }
}

/// Writes finished vectors to the cache, many at once.
struct Keeper<'a> {
    store: &'a Path,
    cache: &'a mut VectorCache,
    last: Instant,
}

impl Keeper<'_> {
    fn add(&mut self, batch: &[usize], hashes: &[TextHash], vectors: &[f32]) -> Result<(), RunError> {
        self.cache.add(batch.iter().map(|&i| hashes[i]), vectors);
        if self.cache.waiting() < KEPT_AT_ONCE && self.last.elapsed() < KEPT_EVERY {
            return Ok(());
        }
        self.last = Instant::now();
        self.write()
    }

    fn write(&mut self) -> Result<(), RunError> {
        self.cache.write().map_err(|source| RunError::Cache { store: self.store.to_owned(), source })
    }
}

fn check(batch: &[usize], texts: &[&str], vectors: &[f32], width: usize) -> Result<(), RunError> {
    let Some(at) = vectors.iter().position(|value| !value.is_finite()) else { return Ok(()) };
    Err(RunError::NotFinite { text: texts[batch[at / width]].chars().take(80).collect() })
}

#[cfg(test)]
mod tests;
