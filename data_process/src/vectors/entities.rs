//! The entities of a store as vectors are matched to them: by name, with or without angle brackets, or by id.

use rustc_hash::FxHashMap;

/// Entities in id order, and their names looked up.
#[derive(Clone, Debug)]
pub struct Entities {
    names: Vec<Box<str>>,
    /// The ids of the left and of the right graph: two versions of one graph have most names in common.
    ids: [FxHashMap<Box<str>, u32>; 2],
    left: usize,
    graphs: [String; 2],
}

/// `<http://x/y>` and `http://x/y` are the same entity: sources differ in whether they keep the brackets.
fn plain(name: &str) -> &str {
    name.strip_prefix('<').and_then(|name| name.strip_suffix('>')).unwrap_or(name)
}

impl Entities {
    /// Entities in id order, the first `left` of them in the left graph; `graphs` are the graphs' names.
    pub fn new(names: Vec<Box<str>>, left: usize, graphs: [String; 2]) -> Self {
        let mut ids = [FxHashMap::default(), FxHashMap::default()];
        for (id, name) in names.iter().enumerate() {
            ids[usize::from(id >= left)].entry(plain(name).into()).or_insert(id as u32);
        }
        Self { names, ids, left, graphs }
    }

    /// How many there are in both graphs.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Entities of the left and of the right graph.
    pub fn sides(&self) -> [usize; 2] {
        [self.left, self.names.len() - self.left]
    }

    /// The names of the graphs.
    pub fn graphs(&self) -> &[String; 2] {
        &self.graphs
    }

    /// The names in id order, without angle brackets.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| plain(name))
    }

    /// The ids of a name: in one graph (0 is the left, 1 the right), or in each graph that has it.
    pub fn by_name<'a>(&'a self, name: &'a str, side: Option<usize>) -> impl Iterator<Item = u32> + 'a {
        let sides = self.ids.iter().enumerate().filter(move |(at, _)| side.is_none_or(|side| side == *at));
        sides.filter_map(|(_, ids)| ids.get(plain(name)).copied())
    }

    /// Whether an entity of either graph has this name.
    pub fn is_name(&self, name: &str) -> bool {
        self.by_name(name, None).next().is_some()
    }

    /// The id, if there is such an entity.
    pub fn by_id(&self, id: i64) -> Option<u32> {
        u32::try_from(id).ok().filter(|id| (*id as usize) < self.names.len())
    }

    /// A few names, for messages.
    pub fn examples(&self) -> Vec<String> {
        let sides = [self.names.first(), self.names.get(self.left)];
        sides.into_iter().flatten().map(|name| format!("{name:?}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_do_not_matter_and_each_graph_has_its_own_names() {
        let names = vec!["a".into(), "<b>".into(), "b".into()];
        let entities = Entities::new(names, 2, ["L".into(), "R".into()]);
        let ids = |name, side| entities.by_name(name, side).collect::<Vec<_>>();
        assert_eq!([ids("b", None), ids("<a>", None), ids("c", None)], [vec![1, 2], vec![0], vec![]]);
        assert_eq!([ids("b", Some(0)), ids("<b>", Some(1)), ids("a", Some(1))], [vec![1], vec![2], vec![]]);
        assert!(entities.is_name("<b>") && !entities.is_name("c"));
        assert_eq!([entities.by_id(2), entities.by_id(3), entities.by_id(-1)], [Some(2), None, None]);
        assert_eq!(entities.sides(), [2, 1]);
        assert_eq!(entities.examples(), ["\"a\"", "\"b\""]);
    }
}
