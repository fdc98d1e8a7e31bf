//! Bags: how often an entity meets each of the most frequent relations, and which of the most frequent attributes it has.

use data_process::store::Structure;
use tch::Device;

use crate::model::features::BagFeatures;
use crate::transfer;

/// How wide a bag is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Width {
    /// At most so many columns.
    pub(super) columns: usize,
    /// As published: exactly so many, the surplus ones empty, and of equally frequent names the one that comes first in
    /// the source before the others. Otherwise that of the first entity, whatever the order of the source's lines.
    pub(super) padded: bool,
}

/// Counts of the most frequent relations, +1 for the head and +1 for the tail of each triple; `None` without triples.
pub(super) fn relations(structure: &Structure, width: Width, device: Device) -> Option<BagFeatures> {
    let columns = most_frequent(structure.triples.iter().map(|triple| triple[1]), structure.relations.len(), width);
    let mentions = structure.triples.iter().flat_map(|&[head, relation, tail]| [[head, relation], [tail, relation]]);
    bag(structure.entities, mentions, &columns, width, |count| count, device)
}

/// 1 for each of the most frequent attributes an entity has; `None` without attributes.
pub(super) fn attributes(structure: &Structure, width: Width, device: Device) -> Option<BagFeatures> {
    let columns = most_frequent(structure.mentions.iter().map(|mention| mention[1]), structure.attributes.len(), width);
    bag(structure.entities, structure.mentions.iter().copied(), &columns, width, |_| 1.0, device)
}

/// The column of each number: the most frequent first, ties in order of first appearance. Numbers count the names in the
/// source's order, `numbers` come entity by entity.
fn most_frequent(numbers: impl Iterator<Item = u32>, count: usize, width: Width) -> Vec<usize> {
    let mut seen = vec![(0_usize, usize::MAX); count];
    for (position, number) in numbers.enumerate() {
        let (times, first) = &mut seen[number as usize];
        *times += 1;
        *first = (*first).min(position);
    }
    let mut order: Vec<usize> = (0..count).collect();
    let first = |number: usize| if width.padded { number } else { seen[number].1 };
    order.sort_by_key(|&number| (std::cmp::Reverse(seen[number].0), first(number)));
    let mut columns = vec![0; count];
    for (column, number) in order.into_iter().enumerate() {
        columns[number] = column;
    }
    columns
}

fn bag(
    entities: usize,
    mentions: impl Iterator<Item = [u32; 2]>,
    columns: &[usize],
    width: Width,
    value: impl Fn(f32) -> f32,
    device: Device,
) -> Option<BagFeatures> {
    let mut cells: Vec<u64> = mentions
        .filter(|[_, number]| columns[*number as usize] < width.columns)
        .map(|[entity, number]| u64::from(entity) << 32 | columns[number as usize] as u64)
        .collect();
    if cells.is_empty() {
        return None;
    }
    cells.sort_unstable();
    let (mut offsets, mut targets, mut values) = (vec![0_i64; entities + 1], Vec::new(), Vec::new());
    for same in cells.chunk_by(|a, b| a == b) {
        offsets[(same[0] >> 32) as usize + 1] += 1;
        targets.push((same[0] & u64::from(u32::MAX)) as i64);
        values.push(value(same.len() as f32));
    }
    for row in 0..entities {
        offsets[row + 1] += offsets[row];
    }
    Some(BagFeatures {
        width: if width.padded { width.columns } else { columns.len().min(width.columns) } as i64,
        offsets: transfer::slice(&offsets, device),
        columns: transfer::slice(&targets, device),
        values: transfer::slice(&values, device),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn structure() -> Structure {
        Structure {
            left: 2,
            entities: 3,
            relations: ["rare", "common", "tied"].into_iter().map(Box::from).collect(),
            triples: vec![[0, 1, 1], [2, 0, 2], [0, 1, 2], [1, 2, 0]],
            attributes: ["name"].into_iter().map(Box::from).collect(),
            mentions: vec![[1, 0], [1, 0]],
            links: vec![[0, 2]],
        }
    }

    fn dense(bag: &BagFeatures) -> Vec<Vec<f32>> {
        let offsets = Vec::<i64>::try_from(&bag.offsets).unwrap();
        let columns = Vec::<i64>::try_from(&bag.columns).unwrap();
        let values = Vec::<f32>::try_from(&bag.values).unwrap();
        offsets
            .windows(2)
            .map(|ends| {
                let mut row = vec![0.0; bag.width as usize];
                (ends[0]..ends[1]).for_each(|cell| row[columns[cell as usize] as usize] = values[cell as usize]);
                row
            })
            .collect()
    }

    #[test]
    fn relations_are_counted_at_both_ends_and_ordered_by_frequency() {
        let width = Width { columns: 4, padded: false };
        let bag = relations(&structure(), width, Device::Cpu).unwrap();
        assert_eq!(dense(&bag), [[2.0, 0.0, 1.0], [1.0, 0.0, 1.0], [1.0, 2.0, 0.0]]);
    }

    #[test]
    fn ties_are_broken_by_the_entities_or_as_published_by_the_source() {
        let tied = Structure { triples: vec![[0, 2, 1], [0, 1, 1], [2, 0, 2]], ..structure() };
        let row = |padded| dense(&relations(&tied, Width { columns: 3, padded }, Device::Cpu).unwrap()).swap_remove(2);
        assert_eq!((row(false), row(true)), (vec![0.0, 0.0, 2.0], vec![2.0, 0.0, 0.0]));
    }

    #[test]
    fn only_the_most_frequent_are_kept_and_a_padded_bag_keeps_its_width() {
        let narrow = relations(&structure(), Width { columns: 1, padded: false }, Device::Cpu).unwrap();
        assert_eq!(dense(&narrow), [[2.0], [1.0], [1.0]]);
        let padded = attributes(&structure(), Width { columns: 3, padded: true }, Device::Cpu).unwrap();
        assert_eq!(dense(&padded), [[0.0; 3], [1.0, 0.0, 0.0], [0.0; 3]]);
    }

    #[test]
    fn without_mentions_there_is_no_bag() {
        let none = Structure { mentions: Vec::new(), ..structure() };
        assert!(attributes(&none, Width { columns: 3, padded: true }, Device::Cpu).is_none());
    }
}
