//! The one file that knows indicatif: draws the events of the loops on standard error.

use std::sync::Mutex;

use data_process::event::{Event, Observer, Unit};
use indicatif::{ProgressBar, ProgressStyle};

/// Draws one bar at a time; notes go above it. Hidden when standard error is not a terminal (notes are still printed).
#[derive(Debug)]
pub struct Bars {
    bar: Mutex<ProgressBar>,
    quiet: bool,
}

impl Bars {
    /// A renderer; a quiet one draws and prints nothing.
    pub fn new(quiet: bool) -> Self {
        Self { bar: Mutex::new(ProgressBar::hidden()), quiet }
    }

    fn bar(&self) -> std::sync::MutexGuard<'_, ProgressBar> {
        self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn start(&self, task: &str, total: Option<u64>, unit: Unit) {
        let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        bar.set_style(style(total.is_some(), unit));
        bar.set_message(task.to_owned());
        *self.bar() = bar;
    }

    #[expect(clippy::print_stderr, reason = "this file is the one place below the command line that may print")]
    fn note(&self, text: &str) {
        let bar = self.bar();
        if bar.is_hidden() {
            eprintln!("{text}");
        } else {
            bar.println(text);
        }
    }
}

impl Observer for Bars {
    fn on(&self, event: Event<'_>) {
        if self.quiet {
            return;
        }
        match event {
            Event::Started { task, total, unit } => self.start(task, total, unit),
            Event::Status(text) => self.bar().set_message(text.to_owned()),
            Event::Advanced(by) => self.bar().inc(by),
            Event::Note(text) => self.note(text),
            Event::Finished => self.bar().finish_and_clear(),
        }
    }

    fn stopped(&self) -> bool {
        crate::interrupt::requested()
    }
}

fn style(bounded: bool, unit: Unit) -> ProgressStyle {
    let template = match (bounded, unit) {
        (true, Unit::Bytes) => "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
        (true, Unit::Items) => "{msg} {wide_bar} {human_pos}/{human_len} {per_sec} {eta}",
        (false, Unit::Bytes) => "{spinner} {msg} {bytes} {bytes_per_sec}",
        (false, Unit::Items) => "{spinner} {msg} {human_pos} {per_sec}",
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
