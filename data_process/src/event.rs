//! Loops emit events; whoever started the loop decides whether to draw them.

use std::sync::{Mutex, PoisonError};

/// One thing a long-running loop has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A task begins; `total` is in `unit`s, if known.
    Started {
        /// What is being done, for a person ("reading `FB15K_EntityTriples.txt`").
        task: &'a str,
        /// How many units there are in all, if known.
        total: Option<u64>,
        /// What is counted.
        unit: Unit,
    },
    /// What the current task is called from now on ("training  loss 3.2  H@1 .51").
    Status(&'a str),
    /// So many more units of the current task are done.
    Advanced(u64),
    /// Something worth a line, for a person.
    Note(&'a str),
    /// The current task is over.
    Finished,
}

/// What a task counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes read or written.
    Bytes,
    /// Entities, rows, texts, images or files: whole things.
    Items,
}

/// Receives events. Observers are shared between threads.
pub trait Observer: Send + Sync {
    /// Called for each event, in order within one thread.
    fn on(&self, event: Event<'_>);

    /// Whether the user has asked to stop; long loops ask between two steps and end with their error's `Interrupted`.
    fn stopped(&self) -> bool {
        false
    }
}

/// An observer that ignores everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn on(&self, _event: Event<'_>) {}
}

/// An observer that keeps the notes and ignores everything else.
#[derive(Debug, Default)]
pub struct Notes(Mutex<Vec<String>>);

impl Notes {
    /// What was noted, in order.
    pub fn into_lines(self) -> Vec<String> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Notes {
    fn on(&self, event: Event<'_>) {
        if let Event::Note(text) = event {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_owned());
        }
    }
}
