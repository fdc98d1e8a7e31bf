//! Runs of several configurations: one after another or several at once, each a process of its own, so that the failure or
//! kill of one leaves the others alone; what is finished already is not run again; ends in one table.

mod error;

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};

use data_process::aside;
use data_process::event::{Event, Observer, Unit};

use super::stages::{self, Stage};
pub use error::SweepError;
use error::code_of;

use super::{Gpu, Gpus, process};
use crate::config::{Config, Layers, Sweep};
use crate::interrupt;
use crate::report::{Row, Table};
use crate::run::finished;

/// How many runs at once, and whether each waits for a GPU.
#[derive(Clone, Copy, Debug)]
pub struct Jobs {
    /// Runs at once.
    pub at_once: NonZeroUsize,
    /// Wait for an idle GPU before each.
    pub wait_for_gpu: bool,
}

/// One run of a plan.
#[derive(Clone, Debug)]
pub struct Variant {
    /// Its configuration.
    pub config: Config,
    /// Its folder.
    pub folder: PathBuf,
    /// Published Hits@1, NaN if none.
    pub published: f64,
}

/// What is to be done.
#[derive(Debug, Default)]
pub struct Plan {
    /// Stages that several runs share; each once, in order.
    pub preparation: Vec<Stage>,
    /// The runs.
    pub variants: Vec<Variant>,
    out: PathBuf,
}

/// The plan for some pipeline files.
///
/// # Errors
/// If a file is wrong.
pub fn plan(files: &[PathBuf], sets: &[String], out: &Path) -> Result<Plan, SweepError> {
    let mut plan = Plan { out: out.to_owned(), ..Plan::default() };
    for variant in files.iter().map(|file| variants(file, sets, out)).collect::<Result<Vec<_>, _>>()?.concat() {
        // The same run twice would be two processes in one folder.
        if plan.variants.iter().all(|other| other.folder != variant.folder) {
            plan.variants.push(variant);
        }
    }
    for variant in &plan.variants {
        let store = variant.config.store()?;
        if !store.exists() && !plan.makes(store) {
            return Err(SweepError::NoStore { store: store.to_owned(), run: variant.config.run.name.clone() });
        }
        for stage in stages::preparation(&variant.config) {
            if !plan.preparation.contains(&stage) {
                plan.preparation.push(stage);
            }
        }
    }
    Ok(plan)
}

/// The runs a file stands for: itself, or one for each value of its sweep.
///
/// # Errors
/// If the file is wrong.
pub fn variants(file: &Path, sets: &[String], out: &Path) -> Result<Vec<Variant>, SweepError> {
    let layers = Layers::of(Some(file), sets, &[])?;
    let config = layers.config()?;
    let sweep = config.sweep.clone();
    if sweep.key.is_empty() {
        return Ok(vec![variant(config.clone(), config.expected.hits_at_1, out)]);
    }
    if sweep.values.is_empty() {
        return Err(SweepError::NoValues { file: file.to_owned(), key: sweep.key });
    }
    if !sweep.published.is_empty() && sweep.published.len() != sweep.values.len() {
        let (published, values) = (sweep.published.len(), sweep.values.len());
        return Err(SweepError::Published { file: file.to_owned(), published, values });
    }
    let place = file.display().to_string();
    sweep
        .values
        .iter()
        .enumerate()
        .map(|(number, value)| {
            let mut layers = layers.clone();
            layers.lay_key(&place, &sweep.key, value.clone())?;
            // The name is also that of files: a value with a path in it must not lead elsewhere.
            let name = format!("{}-{}", config.run.name, value.to_string().trim_matches('"').replace('/', "_"));
            layers.lay_key(&place, "run.name", toml::Value::String(name))?;
            let config = Config { sweep: Sweep::default(), ..layers.config()? };
            Ok(variant(config, sweep.published.get(number).copied().unwrap_or(f64::NAN), out))
        })
        .collect()
}

fn variant(config: Config, published: f64, out: &Path) -> Variant {
    Variant { folder: stages::folder(&config, out), config, published }
}

impl Plan {
    /// Whether one of the runs says how to make a store.
    fn makes(&self, store: &Path) -> bool {
        self.variants.iter().any(|run| run.config.data.store == store && !run.config.data.prep.is_empty())
    }

    /// Where the resolved configuration of a variant lies while it is run.
    fn config_file(&self, variant: &Variant) -> PathBuf {
        self.out.join("plans").join(format!("{}.toml", name_of(&variant.folder)))
    }

    fn training(&self, variant: &Variant) -> Stage {
        stages::training(&variant.config, &self.config_file(variant), &variant.folder)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for stage in &self.preparation {
            writeln!(f, "{stage}")?;
        }
        for variant in &self.variants {
            writeln!(f, "{}", self.training(variant))?;
        }
        Ok(())
    }
}

/// How a sweep ended.
#[derive(Debug)]
pub struct Outcome {
    /// Ours against published.
    pub table: Table,
    failures: Vec<RunFailure>,
}

/// A run that did not finish.
#[derive(Debug)]
struct RunFailure {
    name: String,
    reason: String,
    log: PathBuf,
    /// How its process ended, if it had one.
    code: Option<u8>,
}

impl fmt::Display for RunFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} [{}]", self.name, self.reason, self.log.display())
    }
}

impl Outcome {
    /// An error if a run did not finish.
    ///
    /// # Errors
    /// [`SweepError::Failed`].
    pub fn check(&self) -> Result<(), SweepError> {
        let Some(first) = self.failures.first() else { return Ok(()) };
        let names: Vec<String> = self.failures.iter().map(ToString::to_string).collect();
        let alike = self.failures.iter().all(|failure| failure.code == first.code);
        Err(SweepError::Failed {
            failed: names.len(),
            all: self.table.0.len(),
            names: names.join(", "),
            code: first.code.filter(|_| alike),
        })
    }
}

/// The log of the run in a folder. Named like the folder: two runs may have one name.
fn log_of(logs: &Path, folder: &Path) -> PathBuf {
    logs.join(format!("{}.log", name_of(folder)))
}

/// The name of a run's folder, which no other run of a plan has.
fn name_of(folder: &Path) -> Cow<'_, str> {
    folder.file_name().unwrap_or_default().to_string_lossy()
}

/// Carries out a plan and writes its table.
///
/// # Errors
/// If nothing can be written, a store cannot be prepared, or the user stops it. Runs that fail are rows of the table.
pub fn run(plan: &Plan, out: &Path, jobs: Jobs, observer: &dyn Observer) -> Result<Outcome, SweepError> {
    let _heeding = interrupt::heed();
    let logs = out.join("logs");
    for folder in [&logs, &out.join("plans")] {
        std::fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
    }
    for variant in &plan.variants {
        let path = plan.config_file(variant);
        let text = variant
            .config
            .to_toml()
            .map_err(|error| SweepError::Write { path: path.clone(), message: error.to_string() })?;
        aside::replace(&path, text.as_bytes()).map_err(|error| unwritable(&path, &error))?;
    }
    for (number, stage) in plan.preparation.iter().enumerate() {
        prepare(stage, &logs.join(format!("{}-{}.log", stage.name, number + 1)), observer)?;
    }
    observer.on(Event::Started { task: "runs", total: Some(plan.variants.len() as u64), unit: Unit::Items });
    let ended = all(plan, &logs, jobs, observer)?;
    observer.on(Event::Finished);
    if interrupt::requested() {
        return Err(SweepError::Interrupted);
    }
    let table = Table(plan.variants.iter().map(row).collect());
    write_table(&table, out)?;
    let failures = failures(plan, &table, &logs, &ended);
    Ok(Outcome { table, failures })
}

/// The runs that are not finished, with what their logs say.
fn failures(plan: &Plan, table: &Table, logs: &Path, ended: &Ended) -> Vec<RunFailure> {
    let pairs = plan.variants.iter().zip(&table.0).filter(|(_, row)| row.state != "finished");
    let failure = |(variant, row): (&Variant, &Row)| {
        let log = log_of(logs, &variant.folder);
        let code = ended.get(&variant.folder).copied().and_then(code_of);
        RunFailure { name: row.name.clone(), reason: reason(&log), log, code }
    };
    pairs.map(failure).collect()
}

/// How the processes of runs ended, by the runs' folders.
type Ended = BTreeMap<PathBuf, ExitStatus>;

/// Runs the variants, so many at once.
fn all(plan: &Plan, logs: &Path, jobs: Jobs, observer: &dyn Observer) -> Result<Ended, SweepError> {
    let ended: Mutex<Ended> = Mutex::default();
    let waiting: Mutex<VecDeque<&Variant>> = Mutex::new(plan.variants.iter().collect());
    let gpus = Gpus::default();
    let one_by_one = || {
        while let Some(variant) = next(&waiting) {
            let stage = plan.training(variant);
            let wait = jobs.wait_for_gpu && stage.skip.is_none();
            let gpu = if wait { gpus.wait_for_idle(observer)? } else { None };
            if interrupt::requested() {
                break;
            }
            if let Some(how) = do_stage(&stage, gpu.as_ref(), &log_of(logs, &variant.folder), observer)? {
                ended.lock().unwrap_or_else(PoisonError::into_inner).insert(variant.folder.clone(), how);
            }
            observer.on(Event::Advanced(1));
        }
        Ok::<_, SweepError>(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs.at_once.get()).map(|_| scope.spawn(one_by_one)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or(Err(SweepError::Interrupted)))
    })?;
    Ok(ended.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn next<'a>(waiting: &Mutex<VecDeque<&'a Variant>>) -> Option<&'a Variant> {
    if interrupt::requested() {
        return None;
    }
    waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

/// Runs a stage that runs build on; without it none of them is worth starting.
fn prepare(stage: &Stage, log: &Path, observer: &dyn Observer) -> Result<(), SweepError> {
    let ended = do_stage(stage, None, log, observer)?;
    if interrupt::requested() {
        return Err(SweepError::Interrupted);
    }
    match ended {
        Some(ended) if !ended.success() => {
            Err(SweepError::Prepare { stage: stage.name, ended, reason: reason(log), log: log.to_owned() })
        }
        _ => Ok(()),
    }
}

/// Why a process failed, by its log: its last error, else its last line.
fn reason(log: &Path) -> String {
    let words = std::fs::read(log).unwrap_or_default();
    let words = String::from_utf8_lossy(&words);
    let error = words.lines().rev().find_map(|line| line.strip_prefix("error: "));
    let last = || words.lines().rfind(|line| !line.trim().is_empty());
    error.or_else(last).unwrap_or("it said nothing").to_owned()
}

/// Runs one stage to its end, on a GPU if it was given one, if there is anything to do; a failure is a note, its words are in
/// the log.
fn do_stage(
    stage: &Stage,
    gpu: Option<&Gpu<'_>>,
    log: &Path,
    observer: &dyn Observer,
) -> Result<Option<ExitStatus>, SweepError> {
    observer.on(Event::Note(&stage.to_string()));
    if stage.skip.is_some() {
        return Ok(None);
    }
    let file = std::fs::File::create(log).map_err(|error| unwritable(log, &error))?;
    let again = file.try_clone().map_err(|error| unwritable(log, &error))?;
    let program = std::env::current_exe().map_err(|error| unwritable(log, &error))?;
    let mut command = Command::new(program);
    command.args(&stage.arguments).stdin(Stdio::null()).stdout(file).stderr(again);
    if let Some(gpu) = gpu {
        gpu.show_to(&mut command);
    }
    let ended = process::run(&mut command).map_err(|error| unwritable(log, &error))?;
    if !ended.success() && !interrupt::requested() {
        observer.on(Event::Note(&format!("{} failed ({ended}); see {}", stage.name, log.display())));
    }
    Ok(Some(ended))
}

fn row(variant: &Variant) -> Row {
    let (config, folder) = (&variant.config, &variant.folder);
    let mut row = Row {
        name: config.run.name.clone(),
        state: "failed".to_owned(),
        protocol: config.train.protocol.name().to_owned(),
        hits_at_1: f64::NAN,
        hits_at_10: f64::NAN,
        mrr: f64::NAN,
        published: variant.published,
        source: config.expected.source.clone(),
        seconds: f64::NAN,
        folder: folder.display().to_string(),
    };
    if let Some(summary) = finished::summary(config, folder) {
        let figures = summary.result().test.mean();
        (row.hits_at_1, row.hits_at_10, row.mrr) = (figures.hits_at_1, figures.hits_at_10, figures.mrr);
        (row.state, row.seconds) = ("finished".to_owned(), summary.seconds);
    }
    row
}

fn write_table(table: &Table, out: &Path) -> Result<(), SweepError> {
    let (markdown, csv) = (out.join("table.md"), out.join("table.csv"));
    aside::replace(&markdown, table.markdown().as_bytes()).map_err(|error| unwritable(&markdown, &error))?;
    let rows = table.csv().map_err(|error| SweepError::Write { path: csv.clone(), message: error.to_string() })?;
    aside::replace(&csv, &rows).map_err(|error| unwritable(&csv, &error))?;
    Ok(table.parquet(&out.join("table.parquet"))?)
}

fn unwritable(path: &Path, error: &std::io::Error) -> SweepError {
    SweepError::Write { path: path.to_owned(), message: error.to_string() }
}

#[cfg(test)]
mod tests;
