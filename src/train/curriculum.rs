//! The curriculum ("hard replay"; method, section 6): at the start of training, each pair is followed by the training
//! pairs that look most like it.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
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

/// A curriculum that says for each of its epochs how many pairs are appended.
pub(super) fn matched<'de, D: Deserializer<'de>>(from: D) -> Result<CurriculumConfig, D::Error> {
    let config = CurriculumConfig::deserialize(from)?;
    let (epochs, pairs) = (config.epochs.len(), config.pairs.len());
    if epochs == pairs {
        return Ok(config);
    }
    Err(D::Error::custom(format!("`pairs` must hold one number for each of `epochs`; it holds {pairs} for {epochs}")))
}

impl CurriculumConfig {
    /// How many pairs to append from `epoch` on, if the list is to be made anew at this epoch; 0 ends the replay.
    pub fn due(&self, epoch: u64) -> Option<usize> {
        if self.replay == Replay::Off {
            return None;
        }
        if epoch >= self.until {
            return (epoch == self.until).then_some(0);
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

    /// The links of `epoch`. Only when the list is due, `shuffle` orders the plain links and `joint` gives the joint
    /// embedding of all entities.
    pub fn at(
        &mut self,
        epoch: u64,
        shuffle: impl FnOnce(&mut [[u32; 2]]),
        joint: impl FnOnce() -> Tensor,
    ) -> &[[u32; 2]] {
        if let Some(count) = self.config.due(epoch) {
            self.current = self.plain.clone();
            if count > 0 {
                shuffle(&mut self.current);
                self.current = replay(&joint(), &self.current, count, self.config.replay);
            }
        }
        &self.current
    }

    /// Whether pairs are replayed. The list's order is then part of the curriculum: what looks alike is in one block.
    pub fn is_replayed(&self) -> bool {
        self.current != self.plain
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
    let entities = unit.size()[0];
    let candidates = Candidates::new(links, how);
    let columns = unit.index_select(0, &transfer::slice(&candidates.entities, unit.device())).tr();
    let mut list = Vec::with_capacity(links.len() * (count + 1));
    for (block, members) in links.chunks(BLOCK).enumerate() {
        let first = block * BLOCK;
        let rows: Vec<i64> = match how {
            // Published: the row of a pair is its position. A list may be longer than there are entities, by links that share them.
            Replay::AsPublished => (first..first + members.len()).map(|position| position as i64 % entities).collect(),
            _ => members.iter().map(|link| i64::from(link[0])).collect(),
        };
        let similarity = unit.index_select(0, &transfer::slice(&rows, unit.device())).mm(&columns);
        for (offset, ranked) in best(&similarity, 2 * count + SKIPPED).into_iter().enumerate() {
            let own = first + offset;
            list.extend(candidates.pairs(links, &ranked, rows[offset], own).into_iter().take(1 + count));
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
    /// Rows of the similarity matrix.
    entities: Vec<i64>,
    /// What each is looked up as, and the first pair that has it.
    found: Vec<(u32, usize)>,
}

impl Candidates {
    fn new(links: &[[u32; 2]], how: Replay) -> Self {
        // Published: entity j of the matrix is looked up as id j + 1.
        let shift = i64::from(how == Replay::AsPublished);
        let mut sorted: Vec<(u32, usize)> =
            links.iter().enumerate().flat_map(|(position, link)| link.map(|entity| (entity, position))).collect();
        sorted.sort_unstable();
        sorted.dedup_by_key(|(entity, _)| *entity);
        let rows = sorted.into_iter().map(|(entity, pair)| (i64::from(entity) - shift, (entity, pair)));
        let (entities, found) = rows.filter(|(row, _)| *row >= 0).unzip();
        Self { entities, found }
    }

    /// The pair `own` and those of the `ranked` candidates, without the row's own entity and entities of a pair that is
    /// there already.
    fn pairs(&self, links: &[[u32; 2]], ranked: &[i64], row: i64, own: usize) -> Vec<[u32; 2]> {
        let mut pairs = vec![links[own]];
        for at in ranked.iter().map(|at| *at as usize).filter(|at| self.entities[*at] != row) {
            let (entity, pair) = self.found[at];
            if !pairs.as_flattened().contains(&entity) {
                pairs.push(links[pair]);
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
    fn a_list_of_more_links_than_entities_is_replayed_as_published_too() {
        let links: Vec<[u32; 2]> = (0..9).map(|pair| [pair / 3, 3 + pair % 3]).collect();
        let embedding = Tensor::eye(6, (tch::Kind::Float, tch::Device::Cpu));
        let list = replay(&embedding, &links, 1, Replay::AsPublished);
        assert!(list.len() > 9 && list.iter().all(|pair| links.contains(pair)), "{list:?}");
    }

    #[test]
    fn an_entity_of_two_links_does_not_bring_the_other_one_after_its_own() {
        let embedding = Tensor::from_slice(&[-1.0_f32, 0.0, 1.0, 0.0, 0.6, 0.8, 0.9, 0.1, 0.1, 0.9]).view([5, 2]);
        // Entity 3 is nearest to the second link's left one and leads to the first link, but is in the second already.
        let list = replay(&embedding, &[[0, 3], [1, 3], [2, 4]], 1, Replay::Corrected);
        assert_eq!(list, [[0, 3], [2, 4], [1, 3], [2, 4], [2, 4], [0, 3]]);
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
    fn only_a_replayed_list_has_an_order_of_its_own() {
        let config = CurriculumConfig { replay: Replay::Corrected, epochs: vec![0], pairs: vec![1], until: 2 };
        let mut list = TrainingList::new(config, vec![[0, 3], [1, 4], [2, 5]]);
        let mut at = |epoch| {
            let embedding = || Tensor::eye(6, (tch::Kind::Float, tch::Device::Cpu));
            let links = list.at(epoch, <[_]>::reverse, embedding).to_vec();
            (links, list.is_replayed())
        };
        let (links, replayed) = at(0);
        assert!(replayed && links.iter().step_by(2).eq(&[[2, 5], [1, 4], [0, 3]]), "{links:?}");
        assert_eq!(at(1), (links, true));
        assert_eq!(at(2), (vec![[0, 3], [1, 4], [2, 5]], false));
    }

    #[test]
    fn the_replay_is_due_at_its_epochs_and_ends() {
        let config =
            CurriculumConfig { replay: Replay::AsPublished, epochs: vec![0, 50], pairs: vec![5, 4], until: 250 };
        assert_eq!([0, 1, 50, 250].map(|epoch| config.due(epoch)), [Some(5), None, Some(4), Some(0)]);
        let cut = CurriculumConfig { until: 40, ..config };
        assert_eq!([0, 40, 50, 51].map(|epoch| cut.due(epoch)), [Some(5), Some(0), None, None]);
    }
}
