//! How often checkpoints are written. One is a copy from the device, a file and a flush: on a GPU longer than many epochs.

use std::time::Instant;

/// When checkpoints were written in this sitting.
#[derive(Debug)]
pub(super) struct Pace {
    seconds: f64,
    any: Option<Instant>,
    last: Option<Instant>,
}

impl Pace {
    /// Nothing is written yet, so that whatever comes first is due.
    pub(super) fn new(seconds: f64) -> Self {
        Self { seconds, any: None, last: None }
    }

    /// Whether a best one may be written, the seconds since any other being over.
    pub(super) fn best_is_due(&self) -> bool {
        self.is_over(self.any)
    }

    /// Whether a last one may be. Its seconds begin with the last before it, or the first of all, but with no best in between:
    /// a run that gets better all the time would never come to write it.
    pub(super) fn last_is_due(&self) -> bool {
        self.is_over(self.last)
    }

    /// A best one is written.
    pub(super) fn wrote_best(&mut self) {
        let now = Instant::now();
        self.any = Some(now);
        self.last.get_or_insert(now);
    }

    /// A last one is written.
    pub(super) fn wrote_last(&mut self) {
        let now = Some(Instant::now());
        (self.any, self.last) = (now, now);
    }

    fn is_over(&self, since: Option<Instant>) -> bool {
        since.is_none_or(|written| written.elapsed().as_secs_f64() >= self.seconds)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn due(pace: &Pace) -> [bool; 2] {
        [pace.best_is_due(), pace.last_is_due()]
    }

    #[test]
    fn the_first_is_due_and_the_next_after_the_seconds() {
        for wrote in [Pace::wrote_best, Pace::wrote_last] {
            for (seconds, next) in [(0.0, true), (1e300, false)] {
                let mut pace = Pace::new(seconds);
                assert_eq!(due(&pace), [true; 2]);
                wrote(&mut pace);
                assert_eq!(due(&pace), [next; 2]);
            }
        }
    }

    #[test]
    fn best_ones_do_not_put_off_the_last() {
        let mut pace = Pace::new(10.0);
        let long_ago = Instant::now().checked_sub(Duration::from_secs(11));
        (pace.any, pace.last) = (long_ago, long_ago);
        assert_eq!(due(&pace), [long_ago.is_some(); 2]);
        pace.wrote_best();
        assert_eq!(due(&pace), [false, long_ago.is_some()]);
        pace.wrote_last();
        assert_eq!(due(&pace), [false; 2]);
    }
}
