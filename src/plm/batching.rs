//! Which texts go through the model together: sorted by length, filled up to a budget of tokens, padding included.

use std::cmp::Reverse;
use std::ops::Range;

use tch::{Device, Tensor};

use super::layers::Batch;

/// The order and the batches of all distinct texts. It depends on the texts alone, not on what is cached or on how the
/// work is spread, so every run computes the same batches and gets the same floats.
#[derive(Debug)]
pub struct Plan {
    /// Numbers of the texts, longest first.
    order: Vec<usize>,
    /// Runs of `order`.
    batches: Vec<Range<usize>>,
}

impl Plan {
    /// Plans for texts of so many tokens; `texts[i]` breaks ties of length, so that the order of the input does not
    /// matter. A text longer than the budget is a batch of its own.
    pub fn new(lengths: &[usize], texts: &[&str], budget: usize) -> Self {
        let mut order: Vec<usize> = (0..lengths.len()).collect();
        order.sort_unstable_by_key(|&i| (Reverse(lengths[i]), texts[i]));
        let mut batches = Vec::new();
        let mut start = 0;
        while start < order.len() {
            // The first text is the longest, so every one of the batch takes as much room as it.
            let room = (budget / lengths[order[start]].max(1)).max(1);
            let end = (start + room).min(order.len());
            batches.push(start..end);
            start = end;
        }
        Self { order, batches }
    }

    /// The numbers of the texts of each batch.
    pub fn batches(&self) -> impl Iterator<Item = &[usize]> {
        self.batches.iter().map(|run| &self.order[run.clone()])
    }
}

/// Token ids as a tensor, padded on the right to the longest text; a text without tokens is one padding token.
pub fn batch(texts: &[&[u32]], padding: u32, device: Device) -> Batch {
    let longest = texts.iter().map(|ids| ids.len()).max().unwrap_or(0).max(1);
    let mut ids = vec![i64::from(padding); texts.len() * longest];
    let mut seen = vec![false; ids.len()];
    for (row, text) in texts.iter().enumerate() {
        for (column, &id) in text.iter().enumerate() {
            ids[row * longest + column] = i64::from(id);
        }
        seen[row * longest..row * longest + text.len().max(1)].fill(true);
    }
    let shape = [texts.len() as i64, longest as i64];
    let padded = seen.contains(&false);
    Batch {
        ids: Tensor::from_slice(&ids).view(shape).to_device(device),
        mask: padded.then(|| Tensor::from_slice(&seen).view(shape).to_device(device)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn batches_hold_every_text_once_within_the_budget() {
        let lengths = [3, 9, 1, 4, 4, 30, 2, 1];
        let texts = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let plan = Plan::new(&lengths, &texts, 10);
        let mut seen: Vec<usize> = plan.batches().flatten().copied().collect();
        for batch in plan.batches() {
            let longest = batch.iter().map(|&i| lengths[i]).max().unwrap();
            assert!(batch.len() == 1 || batch.len() * longest <= 10);
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..8).collect::<Vec<_>>());
    }

    #[test]
    fn the_order_of_the_input_does_not_matter() {
        let of = |texts: &[&str]| {
            let lengths: Vec<usize> = texts.iter().map(|text| text.len()).collect();
            let plan = Plan::new(&lengths, texts, 4);
            let named = |batch: &[usize]| batch.iter().map(|&i| texts[i].to_owned()).collect();
            plan.batches().map(named).collect::<Vec<Vec<String>>>()
        };
        assert_eq!(of(&["aa", "b", "cc", "d", "eee"]), of(&["eee", "d", "cc", "b", "aa"]));
    }

    #[test]
    fn padding_is_on_the_right_and_masked() {
        let batch = batch(&[&[5, 6, 7], &[8], &[]], 1, Device::Cpu);
        assert_eq!(Vec::<i64>::try_from(batch.ids.flatten(0, -1)).unwrap(), [5, 6, 7, 8, 1, 1, 1, 1, 1]);
        let mask = Vec::<bool>::try_from(batch.mask.unwrap().flatten(0, -1)).unwrap();
        assert_eq!(mask, [true, true, true, true, false, false, true, false, false]);
    }

    #[test]
    fn texts_of_one_length_need_no_mask() {
        assert!(batch(&[&[5, 6], &[7, 8]], 0, Device::Cpu).mask.is_none());
    }
}
