//! Batches shared out to workers, each on a thread of its own; results come back to the caller one by one.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use super::embedder::Worker;
use crate::refusal;

/// Why not all batches were done.
#[derive(Debug)]
pub enum Stopped<E> {
    /// The caller would not go on.
    By(E),
    /// A worker failed, with its words.
    Crashed(String),
}

/// Runs every batch (numbers of texts) and hands its vectors to `take`, in the order in which they get ready.
pub fn run<E>(
    workers: &mut [Box<dyn Worker>],
    batches: &[&[usize]],
    tokens: &[Vec<u32>],
    mut take: impl FnMut(&[usize], Vec<f32>) -> Result<(), E>,
) -> Result<(), Stopped<E>> {
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let queue = Queue { batches, tokens, next: &next, stop: &stop };
    let (sender, receiver) = mpsc::sync_channel(2 * workers.len());
    std::thread::scope(|scope| {
        let spawn = |worker: &mut Box<dyn Worker>, sender: mpsc::SyncSender<_>| queue.work(worker.as_mut(), &sender);
        let start = |worker| {
            let sender = sender.clone();
            scope.spawn(move || spawn(worker, sender))
        };
        let threads: Vec<_> = workers.iter_mut().map(start).collect();
        drop(sender);
        let outcome = receiver.into_iter().try_for_each(|(batch, vectors)| take(batch, vectors));
        // The receiver is gone by now, so a worker that waits to send gives up.
        stop.store(true, Ordering::Relaxed);
        // All are joined, or a second failure would bring the whole process down.
        let crashes: Vec<_> = threads.into_iter().filter_map(|thread| thread.join().err()).collect();
        outcome.map_err(Stopped::By)?;
        crashes.first().map_or(Ok(()), |panic| Err(Stopped::Crashed(refusal::message(&**panic))))
    })
}

/// The batches that are still to be done.
#[derive(Clone, Copy)]
struct Queue<'a> {
    batches: &'a [&'a [usize]],
    tokens: &'a [Vec<u32>],
    next: &'a AtomicUsize,
    stop: &'a AtomicBool,
}

impl<'a> Queue<'a> {
    fn work(self, worker: &mut dyn Worker, sender: &mpsc::SyncSender<(&'a [usize], Vec<f32>)>) {
        while !self.stop.load(Ordering::Relaxed) {
            let Some(&batch) = self.batches.get(self.next.fetch_add(1, Ordering::Relaxed)) else { return };
            let ids: Vec<&[u32]> = batch.iter().map(|&i| self.tokens[i].as_slice()).collect();
            if sender.send((batch, worker.vectors(&ids))).is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;

    /// Gives each text its first token as vector; fails at the token 13.
    struct First;

    impl Worker for First {
        fn vectors(&mut self, texts: &[&[u32]]) -> Vec<f32> {
            texts.iter().map(|ids| if ids[0] == 13 { panic!("bad luck\nat length") } else { ids[0] as f32 }).collect()
        }
    }

    fn crew(size: usize) -> Vec<Box<dyn Worker>> {
        (0..size).map(|_| Box::new(First) as Box<dyn Worker>).collect()
    }

    #[test]
    fn every_batch_is_done_once_by_any_number_of_workers() {
        let tokens: Vec<Vec<u32>> = (100..140).map(|id| vec![id]).collect();
        let numbers: Vec<usize> = (0..40).collect();
        let batches: Vec<&[usize]> = numbers.chunks(3).collect();
        for size in [1, 4] {
            let mut found = [0.0; 40];
            let taken: Result<(), Stopped<()>> = run(&mut crew(size), &batches, &tokens, |batch, vectors| {
                batch.iter().zip(vectors).for_each(|(&i, value)| found[i] += value);
                Ok(())
            });
            taken.unwrap();
            assert!(found.iter().zip(100..).all(|(found, id)| (found - id as f32).abs() < 0.5));
        }
    }

    #[test]
    fn the_caller_may_stop() {
        let tokens = vec![vec![1]; 100];
        let numbers: Vec<usize> = (0..100).collect();
        let batches: Vec<&[usize]> = numbers.chunks(1).collect();
        let mut taken = 0;
        let outcome = run(&mut crew(2), &batches, &tokens, |_, _| {
            taken += 1;
            if taken == 3 { Err("enough") } else { Ok(()) }
        });
        assert!(matches!(outcome, Err(Stopped::By("enough"))));
        assert_eq!(taken, 3);
    }

    #[test]
    fn a_worker_that_fails_is_reported_with_the_first_line() {
        let (tokens, batch) = (vec![vec![13]], [0_usize]);
        let outcome = run(&mut crew(2), &[&batch[..]], &tokens, |_, _| Ok::<(), ()>(()));
        assert!(matches!(outcome, Err(Stopped::Crashed(reason)) if reason == "bad luck"));
    }
}
