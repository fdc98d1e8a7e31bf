//! One sitting: from the first epoch, or the last checkpoint, to the last epoch.

use std::io;
use std::time::Instant;

use data_process::event::{Event, Observer, Unit};
use data_process::store::Structure;
use tch::Device;

use super::RunError;
use super::checkpoint::{Best, Checkpoint, State};
use super::folder::{Checkpointed, RunFolder};
use super::learner::Learner;
use super::pace::Pace;
use crate::align::Candidates;
use crate::config::Config;
use crate::eval::Directions;
use crate::inputs::{Links, links::Link};
use crate::interrupt;
use crate::report::{EventFile, Line, MetricsLog};
use crate::train::curriculum::TrainingList;
use crate::train::protocol::Part;
use crate::train::pseudo_labels;
use crate::train::step::Underway;

/// A run under way.
pub(super) struct Session<'a> {
    config: &'a Config,
    folder: &'a RunFolder,
    links: &'a Links,
    learner: &'a mut Learner,
    unlinked: Candidates,
    training: TrainingList,
    pseudo: Vec<Link>,
    state: State,
    pace: Pace,
    held: Option<Checkpoint>,
    log: MetricsLog,
    events: EventFile,
    last_figures: Option<f64>,
    /// Losses of the epochs that are in the log, but that nobody has been told of yet.
    untold: Vec<f64>,
    begun: Option<Begun>,
    /// When the last epoch was over, or what came after it.
    since: Instant,
}

/// An epoch that is not in the log yet.
struct Begun {
    epoch: usize,
    links: usize,
    underway: Underway,
}

impl<'a> Session<'a> {
    /// Begins a run, or goes on from its last checkpoint if there is one.
    pub(super) fn begin(
        config: &'a Config,
        folder: &'a RunFolder,
        structure: &Structure,
        links: &'a Links,
        learner: &'a mut Learner,
        device: Device,
    ) -> Result<Self, RunError> {
        let known = links.train.iter().chain(&links.validation);
        let unlinked = Candidates::without(known, structure.left, structure.entities);
        let last = folder.checkpoint("last");
        let checkpoint = if last.exists() { Some(Checkpoint::load(&last, device)?) } else { None };
        let epochs = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.state.epochs);
        let unwritable = |error: io::Error| folder.unwritable(folder.path(), &error.to_string());
        let mut session = Self {
            log: MetricsLog::open(&folder.metrics(), epochs)?,
            events: EventFile::begin(folder.path()).map_err(unwritable)?,
            training: TrainingList::new(config.train.curriculum.clone(), links.train.clone()),
            pseudo: Vec::new(),
            state: State::default(),
            pace: Pace::new(config.train.checkpoint_seconds),
            held: None,
            last_figures: None,
            untold: Vec::new(),
            begun: None,
            since: Instant::now(),
            config,
            folder,
            links,
            learner,
            unlinked,
        };
        if let Some(checkpoint) = checkpoint {
            session.restore(checkpoint)?;
        }
        Ok(session)
    }

    fn restore(&mut self, checkpoint: Checkpoint) -> Result<(), RunError> {
        let path = self.folder.checkpoint("last");
        self.learner.restore(&checkpoint.tensors, &path)?;
        self.training.restore(checkpoint.training);
        (self.state, self.pseudo) = (checkpoint.state, checkpoint.pseudo);
        Ok(())
    }

    /// Trains to the last epoch; a checkpoint `last` is there afterwards, and `best` where something was evaluated.
    pub(super) fn run(mut self, observer: &dyn Observer) -> Result<State, RunError> {
        let _heeding = interrupt::heed();
        let trained = self.train(observer);
        // Whatever stopped it, a loss that ran off as a rule, the best until then is kept.
        let kept = self.write_held();
        trained.and(kept)?;
        Ok(self.state)
    }

    fn train(&mut self, observer: &dyn Observer) -> Result<(), RunError> {
        let epochs = self.config.train.epochs;
        observer.on(Event::Started { task: "training", total: Some(epochs as u64), unit: Unit::Items });
        observer.on(Event::Advanced(self.state.epochs as u64));
        self.since = Instant::now();
        while self.state.epochs < epochs {
            if interrupt::requested() {
                self.conclude()?;
                self.save_last()?;
                observer.on(Event::Finished);
                return Err(RunError::Interrupted { epoch: self.state.epochs, folder: self.folder.path().to_owned() });
            }
            self.epoch()?;
            if self.looks() {
                self.conclude()?;
                self.look()?;
                self.since = Instant::now();
            }
            self.tell(observer);
        }
        observer.on(Event::Finished);
        self.save_last()
    }

    /// One epoch: the links as they stand, one step. A GPU is still at it when the epoch before is written down: it never waits for
    /// the host.
    fn epoch(&mut self) -> Result<(), RunError> {
        let links = self.choose_links()?;
        let underway = self.learner.begin(&links, self.state.epochs);
        self.state.epochs += 1;
        let over = underway.is_over();
        let begun = Begun { epoch: self.state.epochs, links: links.len(), underway };
        if let Some(before) = self.begun.replace(begun) {
            self.write_down(before)?;
        }
        if over { self.conclude() } else { Ok(()) }
    }

    /// Waits for the epoch that is under way.
    fn conclude(&mut self) -> Result<(), RunError> {
        self.begun.take().map_or(Ok(()), |begun| self.write_down(begun))
    }

    /// One line in the log, once the epoch is over.
    fn write_down(&mut self, Begun { epoch, links, underway }: Begun) -> Result<(), RunError> {
        let loss = underway.wait();
        let seconds = self.since.elapsed().as_secs_f64();
        self.since = Instant::now();
        self.state.seconds += seconds;
        if let Some((culprit, value)) = loss.diverged() {
            return Err(self.diverged(epoch, culprit, value));
        }
        // JSON has no infinity. Where the estimators ran off to shows in the next epoch's losses.
        let parts = loss.parts().into_iter().filter(|(_, part)| part.is_finite()).collect();
        self.record(&Line::Epoch { epoch, loss: parts, seconds, links })?;
        self.untold.push(loss.total);
        Ok(())
    }

    fn diverged(&self, epoch: usize, culprit: String, value: f64) -> RunError {
        let checkpoint = Checkpointed(self.folder.last_checkpoint());
        RunError::Diverged { epoch, culprit, value, checkpoint }
    }

    /// The links of the next epoch: the training list and the pseudo-labels, each made anew where that is due.
    fn choose_links(&mut self) -> Result<Vec<Link>, RunError> {
        let epochs = self.state.epochs;
        let learner = &*self.learner;
        let shuffle = |links: &mut [Link]| learner.shuffle(epochs, links);
        let mut links = self.training.at(epochs as u64, shuffle, || learner.vectors()).to_vec();
        if self.config.pseudo_labels.due(epochs) {
            let (vectors, config) = (learner.vectors(), &self.config.pseudo_labels);
            self.pseudo = pseudo_labels::round(&vectors, learner.evidence(), &self.unlinked, config)?;
        }
        links.extend(&self.pseudo);
        if !self.training.is_replayed() {
            learner.shuffle(epochs, &mut links);
        }
        Ok(links)
    }

    /// Whether something is to be done with the model as it is now.
    fn looks(&self) -> bool {
        self.evaluates() || self.saves() || (self.held.is_some() && self.pace.best_is_due())
    }

    fn ends(&self) -> bool {
        self.state.epochs == self.config.train.epochs
    }

    fn evaluates(&self) -> bool {
        self.ends() || self.state.epochs.is_multiple_of(self.config.train.evaluate_every)
    }

    fn saves(&self) -> bool {
        self.state.epochs.is_multiple_of(self.config.train.checkpoint_every)
    }

    /// Evaluates and saves, where it is due.
    fn look(&mut self) -> Result<(), RunError> {
        if self.evaluates() {
            self.evaluate()?;
        }
        if self.pace.best_is_due() {
            self.write_held()?;
        }
        if self.saves() {
            // The last checkpoint of all is written in any case.
            if !self.ends() && self.pace.last_is_due() {
                self.save_last()?;
            }
            if self.config.train.keep_checkpoints {
                self.save(&format!("epoch-{:05}", self.state.epochs))?;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<(), RunError> {
        let part = self.config.train.protocol.watches();
        let links = match part {
            Part::Validation => &self.links.validation,
            Part::Test => &self.links.test,
        };
        let Some((figures, weights)) = self.learner.evaluate(links)? else {
            return Err(self.diverged(self.state.epochs, "a joint vector".to_owned(), f64::NAN));
        };
        let weights = weights.iter().map(|(modality, weight)| (modality.name().to_owned(), *weight)).collect();
        let epoch = self.state.epochs;
        self.record(&Line::Evaluation { epoch, part: part.name().to_owned(), figures, weights })?;
        self.last_figures = Some(figures.hits_at_1());
        self.keep_if_best(&figures)
    }

    fn keep_if_best(&mut self, figures: &Directions) -> Result<(), RunError> {
        let (figures, protocol) = (figures.mean(), self.config.train.protocol);
        if self.state.best.is_none_or(|best| protocol.prefers(&figures, &best.figures)) {
            self.state.best = Some(Best { epochs: self.state.epochs, figures });
            self.save_best()?;
        }
        Ok(())
    }

    /// Writes the model as the best, or holds a copy of it until that is due.
    fn save_best(&mut self) -> Result<(), RunError> {
        // The one before it counts no more; let go of first, so that there are never two copies.
        self.held = None;
        let (state, tensors) = (self.state.clone(), self.learner.parameters());
        let best = Checkpoint { state, tensors, ..Checkpoint::default() };
        if self.pace.best_is_due() {
            return self.write_best(&best);
        }
        self.held = Some(best.copied());
        Ok(())
    }

    fn write_held(&mut self) -> Result<(), RunError> {
        self.held.take().map_or(Ok(()), |best| self.write_best(&best))
    }

    fn write_best(&mut self, best: &Checkpoint) -> Result<(), RunError> {
        self.write("best", best)?;
        self.pace.wrote_best();
        Ok(())
    }

    fn save_last(&mut self) -> Result<(), RunError> {
        self.save("last")?;
        self.pace.wrote_last();
        Ok(())
    }

    /// Writes what a run can go on from, after the best model it tells of.
    fn save(&mut self, name: &str) -> Result<(), RunError> {
        self.write_held()?;
        let checkpoint = Checkpoint {
            state: self.state.clone(),
            training: self.training.current().to_vec(),
            pseudo: self.pseudo.clone(),
            tensors: self.learner.tensors(),
        };
        self.write(name, &checkpoint)
    }

    fn write(&self, name: &str, checkpoint: &Checkpoint) -> Result<(), RunError> {
        let path = self.folder.checkpoint(name);
        checkpoint.save(&path).map_err(|error| self.folder.unwritable(&path, &after(self.state.epochs, &error)))
    }

    fn record(&mut self, line: &Line) -> Result<(), RunError> {
        let (folder, epoch) = (self.folder, line.epoch());
        let failed = |error| folder.unwritable(&folder.metrics(), &after(epoch, &error));
        self.log.push(line).map_err(|error| failed(error.source))?;
        let scalars: Vec<(String, f64)> = match line {
            Line::Epoch { loss, .. } => loss.iter().map(|(name, number)| (format!("loss/{name}"), *number)).collect(),
            Line::Evaluation { part, figures, .. } => vec![
                (format!("{part}/left_to_right_hits_at_1"), figures.left_to_right.hits_at_1),
                (format!("{part}/right_to_left_hits_at_1"), figures.right_to_left.hits_at_1),
                (format!("{part}/left_to_right_mrr"), figures.left_to_right.mrr),
            ],
        };
        for (tag, number) in scalars {
            self.events.scalar(&tag, epoch, number).map_err(failed)?;
        }
        Ok(())
    }

    /// Tells of the epochs that have been written down since the last time.
    fn tell(&mut self, observer: &dyn Observer) {
        let untold = std::mem::take(&mut self.untold);
        if let Some(total) = untold.last() {
            let ranked = self.last_figures.map_or_else(String::new, |hits| format!("  H@1 {hits:.3}"));
            observer.on(Event::Status(&format!("training  loss {total:.3}{ranked}")));
            observer.on(Event::Advanced(untold.len() as u64));
        }
    }
}

fn after(epoch: usize, error: &io::Error) -> String {
    format!("{error} (after epoch {epoch})")
}
