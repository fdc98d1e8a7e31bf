//! The curriculum ("hard replay"; method, section 6): at the start of training, each pair is followed by the training
//! pairs that look most like it.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::loss::similarity::normalise;
use crate::transfer;

/// Which pairs are appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replay {
    /// As the authors' code does it: the similarity matrix of all entities is indexed by the pair's *position*, and the
    /// entity found is off by one.
    AsPublished,
    /// The pairs of the entities most similar to the pair's own left entity.
    Corrected,
    /// No replay.
    Off,
}

/// When and how much is replayed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurriculumConfig {
    /// Which pairs are appended.
    pub replay: Replay,
    /// Epochs at which the list is made anew.
    pub epochs: Vec<u64>,
    /// Pairs appended after each pair, from each of those epochs on.
    pub pairs: Vec<usize>,
    /// From this epoch on the plain list is used again.
    pub until: u64,
}

impl CurriculumConfig {
    /// How many pairs to append from `epoch` on, if the list is to be made anew at this epoch; 0 ends the replay.
    pub fn due(&self, epoch: u64) -> Option<usize> {
        if self.replay == Replay::Off {
            return None;
        }
        if epoch == self.until {
            return Some(0);
        }
        self.epochs.iter().position(|at| *at == epoch).and_then(|at| self.pairs.get(at).copied())
    }
}

/// The training list of a run: the plain links, or the replayed ones while the curriculum lasts.
#[derive(Clone, Debug)]
pub struct TrainingList {
    config: CurriculumConfig,
    plain: Vec<[u32; 2]>,
    current: Vec<[u32; 2]>,
}

impl TrainingList {
    /// The list of `links`, not replayed yet.
    pub fn new(config: CurriculumConfig, links: Vec<[u32; 2]>) -> Self {
        Self { config, current: links.clone(), plain: links }
    }

    /// The links of `epoch`; `joint` gives the joint embedding of all entities, asked for only when the list is due.
    pub fn at(&mut self, epoch: u64, joint: impl FnOnce() -> Tensor) -> &[[u32; 2]] {
        if let Some(count) = self.config.due(epoch) {
            self.current = match count {
                0 => self.plain.clone(),
                _ => replay(&joint(), &self.plain, count, self.config.replay),
            };
        }
        &self.current
    }

    /// The list as it stands, for a checkpoint.
    pub fn current(&self) -> &[[u32; 2]] {
        &self.current
    }

    /// Takes up the list of a checkpoint.
    pub fn restore(&mut self, current: Vec<[u32; 2]>) {
        self.current = current;
    }
}

/// The list of `links` with `count` similar pairs after each. `embedding` is `[N, D]`, for all entities.
pub fn replay(embedding: &Tensor, links: &[[u32; 2]], count: usize, how: Replay) -> Vec<[u32; 2]> {
    if how == Replay::Off || count == 0 {
        return links.to_vec();
    }
    let unit = normalise(embedding);
    let candidates = Candidates::new(links, how);
    let columns = unit.index_select(0, &transfer::slice(&candidates.entities, unit.device())).tr();
    let mut list = Vec::with_capacity(links.len() * (count + 1));
    for (block, members) in links.chunks(BLOCK).enumerate() {
        let first = block * BLOCK;
        let rows: Vec<i64> = match how {
            Replay::AsPublished => (first..first + members.len()).map(|position| position as i64).collect(),
            _ => members.iter().map(|link| i64::from(link[0])).collect(),
        };
        let similarity = unit.index_select(0, &transfer::slice(&rows, unit.device())).mm(&columns);
        for (offset, ranked) in best(&similarity, 2 * count + SKIPPED).into_iter().enumerate() {
            let own = first + offset;
            list.push(links[own]);
            list.extend(candidates.pairs(&ranked, rows[offset], own).into_iter().take(count).map(|pair| links[pair]));
        }
    }
    list
}

/// Rows of the similarity matrix computed at a time.
const BLOCK: usize = 512;

/// Both entities of a pair may be found; and among the best there may be the row's entity and both of the pair itself.
const SKIPPED: usize = 3;

/// The entities that lead to a training pair.
struct Candidates {
    entities: Vec<i64>,
    pair_of: Vec<usize>,
}

impl Candidates {
    fn new(links: &[[u32; 2]], how: Replay) -> Self {
        // Published: entity j of the matrix is looked up as id j + 1.
        let shift = i64::from(how == Replay::AsPublished);
        let mut sorted: Vec<(i64, usize)> = links
            .iter()
            .enumerate()
            .flat_map(|(position, link)| link.map(|entity| (i64::from(entity) - shift, position)))
            .filter(|(entity, _)| *entity >= 0)
            .collect();
        sorted.sort_unstable();
        sorted.dedup_by_key(|(entity, _)| *entity);
        let (entities, pair_of) = sorted.into_iter().unzip();
        Self { entities, pair_of }
    }

    /// The distinct pairs of the `ranked` candidates, without the row's own entity and the pair itself.
    fn pairs(&self, ranked: &[i64], row: i64, own: usize) -> Vec<usize> {
        let mut pairs = Vec::new();
        for at in ranked.iter().map(|at| *at as usize).filter(|at| self.entities[*at] != row) {
            let pair = self.pair_of[at];
            if pair != own && !pairs.contains(&pair) {
                pairs.push(pair);
            }
        }
        pairs
    }
}

/// The columns of the `count` largest values of each row, largest first.
fn best(similarity: &Tensor, count: usize) -> Vec<Vec<i64>> {
    let count = similarity.size()[1].min(count as i64);
    let columns = similarity.topk(count, 1, true, true).1.to_device(tch::Device::Cpu);
    (0..columns.size()[0]).filter_map(|row| Vec::<i64>::try_from(columns.get(row)).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{Figures, family};

    fn pairs(links: &Tensor) -> Vec<[u32; 2]> {
        (0..links.size()[0]).map(|row| [0, 1].map(|side| links.int64_value(&[row, side]) as u32)).collect()
    }

    #[test]
    fn golden_replay_as_published() {
        for name in family("curriculum_k") {
            let count = name["curriculum_k".len()..].parse().unwrap();
            let figures = Figures::read(&name);
            let links = pairs(&figures.get("links"));
            let replayed = replay(&figures.get("embedding"), &links, count, Replay::AsPublished);
            assert_eq!(replayed, pairs(&figures.get("replayed")), "k = {count}");
        }
    }

    #[test]
    fn the_corrected_replay_finds_the_pair_of_the_nearest_entity() {
        let embedding =
            Tensor::from_slice(&[1.0_f32, 0.0, 0.0, 1.0, 0.9, 0.1, 0.1, 0.9, 1.0, 0.1, 0.0, 1.0]).view([6, 2]);
        let links = [[0, 3], [1, 4], [2, 5]];
        let list = replay(&embedding, &links, 1, Replay::Corrected);
        assert_eq!(list, [[0, 3], [1, 4], [1, 4], [2, 5], [2, 5], [1, 4]]);
    }

    #[test]
    fn the_replay_is_due_at_its_epochs_and_ends() {
        let config =
            CurriculumConfig { replay: Replay::AsPublished, epochs: vec![0, 50], pairs: vec![5, 4], until: 250 };
        assert_eq!([0, 1, 50, 250].map(|epoch| config.due(epoch)), [Some(5), None, Some(4), Some(0)]);
    }
}
