//! The adjacency pattern: both directions of every triple with head ≠ tail, duplicates merged, plus self-loops.

use data_process::store::Structure;
use tch::Device;

use crate::model::features::Adjacency;
use crate::transfer;

/// The pattern of a structure, as compressed sparse rows on a device.
pub(super) fn of(structure: &Structure, device: Device) -> Adjacency {
    let (offsets, targets) = pattern(structure.entities, &structure.triples);
    Adjacency { offsets: transfer::slice(&offsets, device), targets: transfer::slice(&targets, device) }
}

fn pattern(entities: usize, triples: &[[u32; 3]]) -> (Vec<i64>, Vec<i64>) {
    let both = triples
        .iter()
        .filter(|[head, _, tail]| head != tail)
        .flat_map(|&[head, _, tail]| [pack(head, tail), pack(tail, head)]);
    let mut edges: Vec<u64> = both.chain((0..entities as u32).map(|entity| pack(entity, entity))).collect();
    edges.sort_unstable();
    edges.dedup();
    let mut offsets = vec![0_i64; entities + 1];
    for edge in &edges {
        offsets[(edge >> 32) as usize + 1] += 1;
    }
    for row in 0..entities {
        offsets[row + 1] += offsets[row];
    }
    (offsets, edges.into_iter().map(|edge| (edge & u64::from(u32::MAX)) as i64).collect())
}

/// An edge as one number that sorts by row, then by column.
fn pack(from: u32, to: u32) -> u64 {
    u64::from(from) << 32 | u64::from(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_once_with_self_loops() {
        let (offsets, targets) = pattern(3, &[[0, 0, 1], [1, 5, 0], [2, 0, 2], [0, 1, 1]]);
        assert_eq!(offsets, [0, 2, 4, 5]);
        assert_eq!(targets, [0, 1, 0, 1, 2]);
    }
}
