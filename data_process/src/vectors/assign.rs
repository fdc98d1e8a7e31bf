//! Which vector belongs to which entity of a store.
//!
//! Names are entities, or keys of an index file; ids are store ids, or count within each graph; a matrix without keys must
//! have a row for each entity. Of two files, or two index
//! files, the first is of the left graph and the second of the right: both graphs may have the same entities, and both
//! files the same keys. Where several vectors belong to one entity the first wins, and the others are counted. Never by
//! position in a file or image number.

use std::collections::hash_map::Entry;
use std::ops::Range;
use std::path::PathBuf;

use rustc_hash::FxHashMap;

use super::entities::Entities;
use super::error::VectorError;
use super::index::Index;
use super::table::{Keys, VectorTable};

/// What integer keys count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdSpace {
    /// Ids of the store, over both graphs.
    #[default]
    Store,
    /// Entities within a graph: the first file is of the left graph, the second of the right.
    Sides,
}

/// How much of the store has a vector, and what was left over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Entities of the left and of the right graph with a vector.
    pub present: [usize; 2],
    /// Entities of the left and of the right graph.
    pub entities: [usize; 2],
    /// Vectors, or index lines, for an entity that had one already.
    pub duplicates: usize,
    /// Vectors that belong to no entity of the store.
    pub unmatched: usize,
    /// Index lines whose key is in no file.
    pub missing: usize,
}

impl Coverage {
    /// Coverage for a person: a line for each graph, and one or two for what was left over.
    pub fn report(&self, graphs: &[String; 2]) -> String {
        let side = |side: usize| {
            let (present, entities) = (self.present[side], self.entities[side]);
            let share = 100.0 * present as f64 / entities.max(1) as f64;
            format!("{}: {present} of {entities} entities ({share:.1} %)", graphs[side])
        };
        let left_over =
            format!("{} for an entity that had one already, {} for no entity", self.duplicates, self.unmatched);
        let mut lines = vec![side(0), side(1), left_over];
        if self.missing > 0 {
            lines.push(format!("{} index lines whose key is in no file", self.missing));
        }
        lines.join("\n")
    }
}

/// The vectors of a store column.
#[derive(Clone, Debug, PartialEq)]
pub struct Assigned {
    /// Floats per vector.
    pub width: usize,
    /// Store ids with a vector, strictly increasing.
    pub rows: Vec<u32>,
    /// `[rows.len(), width]`, row-major.
    pub values: Vec<f32>,
    /// How complete it is.
    pub coverage: Coverage,
}

/// A row of one of the tables.
#[derive(Clone, Copy, Debug)]
struct Place {
    table: usize,
    row: usize,
}

/// A row by its key, and whether a line of an index has named it.
type ByKey = FxHashMap<Box<str>, (Place, bool)>;

/// The graph that a file is of: with two, each has its own.
fn side_of(at: usize, files: usize) -> Option<usize> {
    (files == 2).then_some(at)
}

/// Gives each entity its vector.
///
/// # Errors
/// If the files' vectors differ in width, nothing belongs to any entity, a key of an index is in several files, the rows of
/// a matrix without keys are not the entities, or [`IdSpace::Sides`] is not given two files.
pub fn assign(
    tables: &[(PathBuf, VectorTable)],
    entities: &Entities,
    indexes: &[Index],
    ids: IdSpace,
) -> Result<Assigned, VectorError> {
    let width = one_width(tables)?;
    if ids == IdSpace::Sides && tables.len() != 2 {
        return Err(VectorError::SidesNeedTwo { found: tables.len() });
    }
    let mut slots = Slots::new(entities);
    match (tables.len(), indexes.len()) {
        (_, 0) => slots.by_key(tables, ids)?,
        (2, 2) => {
            for side in [0..1, 1..2] {
                slots.by_index(tables, side.clone(), indexes, side)?;
            }
        }
        (files, all) => slots.by_index(tables, 0..files, indexes, 0..all)?,
    }
    let rows: Vec<(u32, Place)> =
        slots.places.iter().enumerate().filter_map(|(id, place)| Some((id as u32, (*place)?))).collect();
    if rows.is_empty() {
        return Err(nothing(tables, entities));
    }
    let mut values = Vec::with_capacity(rows.len() * width);
    for (_, place) in &rows {
        values.extend_from_slice(tables[place.table].1.row(place.row));
    }
    let coverage = slots.coverage(&rows);
    Ok(Assigned { width, rows: rows.into_iter().map(|(id, _)| id).collect(), values, coverage })
}

fn one_width(tables: &[(PathBuf, VectorTable)]) -> Result<usize, VectorError> {
    let expected = tables.first().map_or(0, |(_, table)| table.width());
    match tables.iter().find(|(_, table)| table.width() != expected) {
        Some((path, table)) => Err(VectorError::Widths { path: path.clone(), found: table.width(), expected }),
        None => Ok(expected),
    }
}

fn nothing(tables: &[(PathBuf, VectorTable)], entities: &Entities) -> VectorError {
    VectorError::NothingMatched {
        keys: tables.iter().map(|(_, table)| table.keys().len()).sum(),
        file_keys: tables.iter().map(|(_, table)| table.keys().show(0)).collect(),
        entities: entities.examples(),
    }
}

/// One slot per entity, filled at most once.
struct Slots<'a> {
    entities: &'a Entities,
    places: Vec<Option<Place>>,
    coverage: Coverage,
}

impl<'a> Slots<'a> {
    fn new(entities: &'a Entities) -> Self {
        let coverage = Coverage { entities: entities.sides(), ..Coverage::default() };
        Self { entities, places: vec![None; entities.len()], coverage }
    }

    fn fill(&mut self, id: Option<u32>, place: Place) {
        match id.and_then(|id| self.places.get_mut(id as usize)) {
            None => self.coverage.unmatched += 1,
            Some(Some(_)) => self.coverage.duplicates += 1,
            Some(slot) => *slot = Some(place),
        }
    }

    /// Fills the slot of a name in one graph or in each that has it; false if none has.
    fn fill_name(&mut self, name: &str, side: Option<usize>, place: Place) -> bool {
        let entities = self.entities;
        let mut found = false;
        for id in entities.by_name(name, side) {
            self.fill(Some(id), place);
            found = true;
        }
        found
    }

    /// The ids of one graph, or of both.
    fn span(&self, side: Option<usize>) -> Range<i64> {
        let [left, all] = [self.entities.sides()[0], self.entities.len()].map(|count| count as i64);
        match side {
            None => 0..all,
            Some(0) => 0..left,
            Some(_) => left..all,
        }
    }

    fn by_key(&mut self, tables: &[(PathBuf, VectorTable)], ids: IdSpace) -> Result<(), VectorError> {
        for (table, (path, vectors)) in tables.iter().enumerate() {
            let side = side_of(table, tables.len());
            let span = self.span(side);
            let first = if ids == IdSpace::Sides { span.start } else { 0 };
            let by_id =
                |id: i64| first.checked_add(id).filter(|id| span.contains(id)).and_then(|id| u32::try_from(id).ok());
            match vectors.keys() {
                Keys::Rows(_) if side.is_some() && ids == IdSpace::Store => {
                    return Err(VectorError::KeylessSides { path: path.clone() });
                }
                Keys::Rows(rows) => {
                    let entities = (span.end - span.start) as usize;
                    if *rows != entities {
                        return Err(VectorError::Keyless { path: path.clone(), rows: *rows, entities });
                    }
                    (0..*rows).for_each(|row| self.fill(by_id(row as i64), Place { table, row }));
                }
                Keys::Ids(ids) => {
                    for (row, id) in ids.iter().enumerate() {
                        self.fill(by_id(*id), Place { table, row });
                    }
                }
                // Formats without integer keys write ids as text.
                Keys::Names(names) if names.iter().all(|name| !self.entities.is_name(name)) => {
                    for (row, name) in names.iter().enumerate() {
                        self.fill(name.parse().ok().and_then(by_id), Place { table, row });
                    }
                }
                Keys::Names(names) => {
                    for (row, name) in names.iter().enumerate() {
                        let found = self.fill_name(name, side, Place { table, row });
                        self.coverage.unmatched += usize::from(!found);
                    }
                }
            }
        }
        Ok(())
    }

    /// Follows the lines of some indexes to the keys of some tables.
    fn by_index(
        &mut self,
        tables: &[(PathBuf, VectorTable)],
        some: Range<usize>,
        indexes: &[Index],
        lines: Range<usize>,
    ) -> Result<(), VectorError> {
        let mut places = self.places_by_key(tables, some)?;
        for at in lines {
            for (entity, key) in &indexes[at].pairs {
                let Some((place, used)) = places.get_mut(key) else {
                    self.coverage.missing += 1;
                    continue;
                };
                let side = side_of(place.table, tables.len()).or_else(|| side_of(at, indexes.len()));
                // A line for an entity that is not in the store leaves its vector unmatched, which is counted below.
                *used |= self.fill_name(entity, side, *place);
            }
        }
        self.coverage.unmatched += places.values().filter(|(_, used)| !used).count();
        Ok(())
    }

    fn places_by_key(&mut self, tables: &[(PathBuf, VectorTable)], some: Range<usize>) -> Result<ByKey, VectorError> {
        let mut places = ByKey::default();
        for table in some {
            let (path, vectors) = &tables[table];
            for row in 0..vectors.keys().len() {
                let key: Box<str> = match vectors.keys() {
                    Keys::Names(names) => names[row].clone(),
                    Keys::Ids(ids) => ids[row].to_string().into(),
                    Keys::Rows(_) => row.to_string().into(),
                };
                match places.entry(key) {
                    Entry::Vacant(slot) => {
                        slot.insert((Place { table, row }, false));
                    }
                    Entry::Occupied(known) if known.get().0.table != table => {
                        return Err(VectorError::SharedKey { path: path.clone(), key: vectors.keys().show(row) });
                    }
                    Entry::Occupied(_) => self.coverage.duplicates += 1,
                }
            }
        }
        Ok(places)
    }

    fn coverage(self, rows: &[(u32, Place)]) -> Coverage {
        let left = rows.partition_point(|(id, _)| (*id as usize) < self.entities.sides()[0]);
        Coverage { present: [left, rows.len() - left], ..self.coverage }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn entities() -> Entities {
        let names = ["/m/a", "/m/b", "/m/c", "<http://x/d>", "<http://x/e>"].map(Into::into).to_vec();
        Entities::new(names, 3, ["L".into(), "R".into()])
    }

    fn table(keys: Keys) -> (PathBuf, VectorTable) {
        let values = (0..keys.len()).map(|row| row as f32).collect();
        ("v.pkl".into(), VectorTable::new(Path::new("v.pkl"), keys, 1, values).unwrap())
    }

    fn names(names: &[&str]) -> (PathBuf, VectorTable) {
        table(Keys::Names(names.iter().map(|name| (*name).into()).collect()))
    }

    fn index(pairs: &[(&str, &str)]) -> Index {
        Index { pairs: pairs.iter().map(|(entity, key)| ((*entity).into(), (*key).into())).collect() }
    }

    #[test]
    fn names_find_their_entities_whatever_the_order() {
        let tables = [names(&["http://x/e", "/m/b", "/m/b", "/m/zzz", "<http://x/d>"])];
        let assigned = assign(&tables, &entities(), &[], IdSpace::Store).unwrap();
        assert_eq!(assigned.rows, [1, 3, 4]);
        assert_eq!(assigned.values, [1.0, 4.0, 0.0]);
        let expected = Coverage { present: [1, 2], entities: [3, 2], duplicates: 1, unmatched: 1, missing: 0 };
        assert_eq!(assigned.coverage, expected);
    }

    /// Two versions of one graph: `x` has id 0 on the left and 2 on the right.
    fn versions() -> Entities {
        Entities::new(["x", "y", "x", "z"].map(Into::into).to_vec(), 2, ["L".into(), "R".into()])
    }

    #[test]
    fn an_entity_of_both_graphs_gets_its_vector_in_each() {
        let one = [names(&["y", "x"])];
        let assigned = assign(&one, &versions(), &[], IdSpace::Store).unwrap();
        assert_eq!((assigned.rows, assigned.values), (vec![0, 1, 2], vec![1.0, 0.0, 1.0]));
        let two = [names(&["x", "z"]), names(&["z", "x"])];
        let assigned = assign(&two, &versions(), &[], IdSpace::Store).unwrap();
        assert_eq!((assigned.rows, assigned.values), (vec![0, 2, 3], vec![0.0, 1.0, 0.0]));
        assert_eq!((assigned.coverage.unmatched, assigned.coverage.duplicates), (1, 0), "z is not of the left graph");
        let of_both = [index(&[("x", "y"), ("y", "x")])];
        let assigned = assign(&one, &versions(), &of_both, IdSpace::Store).unwrap();
        assert_eq!((assigned.rows, assigned.values), (vec![0, 1, 2], vec![0.0, 1.0, 0.0]));
        let of_each = [index(&[("x", "y")]), index(&[("x", "x")])];
        let assigned = assign(&one, &versions(), &of_each, IdSpace::Store).unwrap();
        assert_eq!((assigned.rows, assigned.values), (vec![0, 2], vec![0.0, 1.0]));
    }

    #[test]
    fn keys_that_both_files_have_are_told_apart_by_two_indexes_or_refused() {
        let tables = [table(Keys::Ids(vec![0, 1, 2])), table(Keys::Ids(vec![1, 0, 2]))];
        let [left, right] =
            [index(&[("/m/a", "0"), ("/m/b", "1")]), index(&[("http://x/d", "0"), ("http://x/e", "1")])];
        let assigned = assign(&tables, &entities(), &[left.clone(), right], IdSpace::Store).unwrap();
        assert_eq!((assigned.rows, assigned.values), (vec![0, 1, 3, 4], vec![0.0, 1.0, 1.0, 0.0]));
        assert_eq!((assigned.coverage.duplicates, assigned.coverage.unmatched), (0, 2));
        let error = assign(&tables, &entities(), &[left], IdSpace::Store).unwrap_err();
        assert!(matches!(&error, VectorError::SharedKey { key, .. } if key == "1"), "{error}");
    }

    #[test]
    fn integers_are_store_ids_unless_they_count_within_the_graphs() {
        let ids = table(Keys::Ids(vec![4, 0, -1, 5]));
        let assigned = assign(&[ids], &entities(), &[], IdSpace::Store).unwrap();
        assert_eq!((assigned.rows, assigned.coverage.unmatched), (vec![0, 4], 2));
        let both = [table(Keys::Ids(vec![2, 3])), table(Keys::Ids(vec![1, 4]))];
        let assigned = assign(&both, &entities(), &[], IdSpace::Store).unwrap();
        assert_eq!((assigned.rows, assigned.coverage.unmatched), (vec![2, 4], 2), "each file is of one graph");
        let sides = [table(Keys::Ids(vec![2, 3])), table(Keys::Ids(vec![1, 2]))];
        let assigned = assign(&sides, &entities(), &[], IdSpace::Sides).unwrap();
        assert_eq!((assigned.rows, assigned.coverage.unmatched), (vec![2, 4], 2));
        assert!(matches!(assign(&sides[..1], &entities(), &[], IdSpace::Sides), Err(VectorError::SidesNeedTwo { .. })));
        assert_eq!(assign(&[names(&["3", "1"])], &entities(), &[], IdSpace::Store).unwrap().rows, [1, 3]);
    }

    #[test]
    fn rows_without_keys_are_the_entities_only_if_they_are_as_many() {
        let all = assign(&[table(Keys::Rows(5))], &entities(), &[], IdSpace::Store).unwrap();
        assert_eq!((all.rows, all.values), (vec![0, 1, 2, 3, 4], vec![0.0, 1.0, 2.0, 3.0, 4.0]));
        let few = assign(&[table(Keys::Rows(4))], &entities(), &[], IdSpace::Store).unwrap_err();
        assert!(matches!(few, VectorError::Keyless { rows: 4, entities: 5, .. }), "{few}");
        let sides = [table(Keys::Rows(3)), table(Keys::Rows(2))];
        let assigned = assign(&sides, &entities(), &[], IdSpace::Sides).unwrap();
        assert_eq!((assigned.rows, assigned.values), (vec![0, 1, 2, 3, 4], vec![0.0, 1.0, 2.0, 0.0, 1.0]));
        let store = assign(&sides, &entities(), &[], IdSpace::Store).unwrap_err();
        assert!(matches!(store, VectorError::KeylessSides { .. }) && store.to_string().contains("--ids sides"));
        let long = [table(Keys::Rows(3)), table(Keys::Rows(3))];
        let long = assign(&long, &entities(), &[], IdSpace::Sides).unwrap_err();
        assert!(matches!(long, VectorError::Keyless { rows: 3, entities: 2, .. }), "{long}");
        let named = assign(&[table(Keys::Rows(2))], &entities(), &[index(&[("/m/c", "1")])], IdSpace::Store).unwrap();
        assert_eq!((named.rows, named.values), (vec![2], vec![1.0]), "an index may name rows");
    }

    /// MMKB numbers the images of a gold pair alike; an image must follow its entity, not its number or its place.
    #[test]
    fn images_follow_the_index_and_never_their_number() {
        let tables = [names(&["FBIMG1", "FBIMG2", "FBIMG9"]), names(&["DBIMG2", "DBIMG1"])];
        let index = index(&[
            ("/m/c", "FBIMG1"),
            ("/m/a", "FBIMG2"),
            ("http://x/e", "DBIMG1"),
            ("http://x/d", "DBIMG2"),
            ("/m/a", "FBIMG1"),
            ("/m/b", "gone"),
            ("/m/not-in-the-store", "FBIMG9"),
        ]);
        let assigned = assign(&tables, &entities(), &[index], IdSpace::Store).unwrap();
        assert_eq!(assigned.rows, [0, 2, 3, 4]);
        assert_eq!(assigned.values, [1.0, 0.0, 0.0, 1.0]);
        let expected = Coverage { present: [2, 2], entities: [3, 2], duplicates: 1, unmatched: 1, missing: 1 };
        assert_eq!(assigned.coverage, expected);
    }

    #[test]
    fn nothing_matched_shows_both_sides() {
        let error = assign(&[names(&["FBIMG1"])], &entities(), &[], IdSpace::Store).unwrap_err();
        let words = error.to_string();
        assert!(words.contains("FBIMG1") && words.contains("/m/a") && words.contains("--index"), "{words}");
    }

    #[test]
    fn files_of_different_widths_are_refused() {
        let wide = VectorTable::new(Path::new("w"), Keys::Ids(vec![0]), 2, vec![0.0; 2]).unwrap();
        let tables = [names(&["/m/a"]), ("w".into(), wide)];
        let error = assign(&tables, &entities(), &[], IdSpace::Store).unwrap_err();
        assert!(matches!(error, VectorError::Widths { found: 2, expected: 1, .. }), "{error}");
    }
}
