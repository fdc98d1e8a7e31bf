//! The ordinary columns back from Arrow: the structure that training needs, and the whole pair of graphs.

use arrow::array::{Array, AsArray, ListArray, RecordBatch, StringArray, StructArray, UInt32Array};
use arrow::datatypes::{UInt8Type, UInt32Type};

use super::meta::Vocabulary;
use super::reader::Store;
use super::{StoreError, Structure};
use crate::pair::{Fact, Graph, GraphPair, Triple, number};

/// Decodes ids, triples, mentions and links.
pub(super) fn structure(store: &Store) -> Result<Structure, StoreError> {
    let words = store.vocabulary()?;
    let mut found = Structure { left: store.left(), entities: store.entities(), ..Structure::default() };
    found.relations.extend(words.relations.into_iter().flatten());
    found.attributes.extend(words.attributes.into_iter().flatten());
    let mut links = Vec::new();
    for_each_batch(store, &["id", "side", "edges", "attributes.name", "links", "link_order"], |rows| {
        let edges = rows.edges()?;
        edges.each(|head, at| {
            let relation = number(&mut found.relations, edges.relation.value(at));
            found.triples.push([head as u32, relation, rows.same_side("edges", head, edges.tail.value(at))?]);
            Ok(())
        })?;
        let (lists, names) = rows.mentions()?;
        lists.each(|entity, at| {
            found.mentions.push([entity as u32, number(&mut found.attributes, names.value(at))]);
            Ok(())
        })?;
        rows.links(&mut links)
    })?;
    found.links = in_source_order(links, store.left()).map(|(left, right)| [left, right]).collect();
    Ok(found)
}

/// Decodes everything but the vectors.
pub(super) fn pair(store: &Store) -> Result<GraphPair, StoreError> {
    let words = store.vocabulary()?;
    let mut graphs = store.graph_names().map(|name| Graph { name: name.to_owned(), ..Graph::default() });
    let Vocabulary { relations, attributes, tags } = words;
    for (graph, (relations, (attributes, tags))) in
        graphs.iter_mut().zip(relations.into_iter().zip(attributes.into_iter().zip(tags)))
    {
        graph.relations.extend(relations);
        graph.attributes.extend(attributes);
        graph.tags.extend(tags);
    }
    let left = store.left();
    let mut links = Vec::new();
    for_each_batch(store, ALL, |rows| {
        rows.entities(&mut graphs)?;
        let edges = rows.edges()?;
        edges.each(|row, at| {
            let side = usize::from(row >= left);
            let tail = rows.same_side("edges", row, edges.tail.value(at))? - (side * left) as u32;
            let relation = number(&mut graphs[side].relations, edges.relation.value(at));
            graphs[side].triples.push(Triple { head: (row - side * left) as u32, relation, tail });
            Ok(())
        })?;
        let facts = rows.facts()?;
        facts.each(|row, at| {
            let side = usize::from(row >= left);
            let fact = facts.fact((row - side * left) as u32, at, &mut graphs[side]);
            graphs[side].facts.push(fact);
            Ok(())
        })?;
        rows.links(&mut links)
    })?;
    for graph in &mut graphs {
        if graph.labels.iter().all(Option::is_none) {
            graph.labels.clear();
        }
    }
    let [left_graph, right_graph] = graphs;
    let links = in_source_order(links, left).map(|(from, to)| (from, to - left as u32)).collect();
    Ok(GraphPair { left: left_graph, right: right_graph, links })
}

/// A link as it is kept in a row: position in the source's list, the row's id, the other entity's id.
pub(super) type KeptLink = (u32, u32, u32);

fn in_source_order(mut links: Vec<KeptLink>, left: usize) -> impl Iterator<Item = (u32, u32)> {
    links.retain(|&(_, id, _)| (id as usize) < left);
    links.sort_unstable();
    links.into_iter().map(|(_, left, right)| (left, right))
}

/// Every link as it is kept, on both sides.
pub(super) fn kept_links(store: &Store) -> Result<Vec<KeptLink>, StoreError> {
    let mut links = Vec::new();
    for_each_batch(store, &["id", "side", "links", "link_order"], |rows| rows.links(&mut links))?;
    Ok(links)
}

const ATTRIBUTES: &str = "attributes";
const ALL: &[&str] = &["id", "side", "uri", "label", "edges", "attributes", "links", "link_order"];

/// Entity identifiers in id order.
pub(super) fn uris(store: &Store) -> Result<Vec<Box<str>>, StoreError> {
    // A footer may claim four thousand million rows; what is set aside before they are there is a few megabytes.
    let mut found = Vec::with_capacity(store.entities().min(1 << 20));
    for_each_batch(store, &["id", "side", "uri"], |rows| {
        let uris = rows.text("uri")?;
        found.extend((0..uris.len()).map(|row| Box::from(uris.value(row))));
        Ok(())
    })?;
    Ok(found)
}

fn for_each_batch(
    store: &Store,
    columns: &[&str],
    mut visit: impl FnMut(&Rows<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    for part in store.parts() {
        let mut seen = 0;
        for batch in part.batches(columns)? {
            let (first, batch) = batch?;
            seen += batch.num_rows();
            let rows = Rows { store, first, batch: &batch };
            rows.check_ids()?;
            visit(&rows)?;
        }
        if seen != part.rows {
            return Err(part.damaged("*", format!("{seen} rows were decoded where the footer speaks of {}", part.rows)));
        }
    }
    Ok(())
}

/// Some decoded rows.
pub(super) struct Rows<'a> {
    store: &'a Store,
    first: usize,
    batch: &'a RecordBatch,
}

/// A list column: for each row, which items are its own.
pub(super) struct Lists<'a> {
    first: usize,
    offsets: &'a [i32],
}

impl Lists<'_> {
    fn each(&self, mut visit: impl FnMut(usize, usize) -> Result<(), StoreError>) -> Result<(), StoreError> {
        for (row, ends) in self.offsets.windows(2).enumerate() {
            for at in ends[0] as usize..ends[1] as usize {
                visit(self.first + row, at)?;
            }
        }
        Ok(())
    }
}

struct Edges<'a> {
    lists: Lists<'a>,
    relation: &'a StringArray,
    tail: &'a UInt32Array,
}

struct Facts<'a> {
    lists: Lists<'a>,
    name: &'a StringArray,
    value: &'a StringArray,
    datatype: &'a StringArray,
    lang: &'a StringArray,
}

impl<'a> std::ops::Deref for Edges<'a> {
    type Target = Lists<'a>;

    fn deref(&self) -> &Lists<'a> {
        &self.lists
    }
}

impl<'a> std::ops::Deref for Facts<'a> {
    type Target = Lists<'a>;

    fn deref(&self) -> &Lists<'a> {
        &self.lists
    }
}

impl Facts<'_> {
    fn fact(&self, entity: u32, at: usize, graph: &mut Graph) -> Fact {
        let mut tag = |array: &StringArray| array.is_valid(at).then(|| number(&mut graph.tags, array.value(at)));
        let (datatype, lang) = (tag(self.datatype), tag(self.lang));
        let attribute = number(&mut graph.attributes, self.name.value(at));
        Fact { entity, attribute, value: self.value.value(at).into(), datatype, lang }
    }
}

impl<'a> Rows<'a> {
    fn wrong(&self, row: usize, column: &str, reason: impl Into<String>) -> StoreError {
        let path = self.store.path().to_owned();
        StoreError::Content { path, row, column: column.to_owned(), reason: reason.into() }
    }

    fn column(&self, name: &str) -> Result<&'a dyn Array, StoreError> {
        let column = self.batch.column_by_name(name);
        column.map(AsRef::as_ref).ok_or_else(|| self.wrong(self.first, name, "the column was not decoded"))
    }

    /// Nothing in this array may be null.
    fn whole<'b>(&self, name: &str, array: &'b dyn Array) -> Result<&'b dyn Array, StoreError> {
        match array.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => Ok(array),
            Some(_) => {
                Err(self.wrong(self.first, name, "a null where the contract allows none (in this row or soon after)"))
            }
        }
    }

    fn typed<'b, T: 'static>(&self, name: &str, array: &'b dyn Array) -> Result<&'b T, StoreError> {
        let typed = array.as_any().downcast_ref::<T>();
        typed.ok_or_else(|| self.wrong(self.first, name, format!("an unexpected type, {}", array.data_type())))
    }

    fn text(&self, name: &str) -> Result<&'a StringArray, StoreError> {
        self.typed(name, self.whole(name, self.column(name)?)?)
    }

    fn lists(&self, name: &str) -> Result<(Lists<'a>, &'a dyn Array), StoreError> {
        let list: &ListArray = self.typed(name, self.whole(name, self.column(name)?)?)?;
        Ok((Lists { first: self.first, offsets: list.value_offsets() }, self.whole(name, list.values().as_ref())?))
    }

    fn check_ids(&self) -> Result<(), StoreError> {
        let ids = self.whole("id", self.column("id")?)?.as_primitive_opt::<UInt32Type>();
        let sides = self.whole("side", self.column("side")?)?.as_primitive_opt::<UInt8Type>();
        let (Some(ids), Some(sides)) = (ids, sides) else {
            return Err(self.wrong(self.first, "id", "an unexpected type"));
        };
        for (at, (&id, &side)) in ids.values().iter().zip(sides.values()).enumerate() {
            let row = self.first + at;
            if id as usize != row {
                return Err(self.wrong(row, "id", format!("{id}, expected the row number; rows are missing or out of order, which `humea store convert` tells apart")));
            }
            if side != u8::from(row >= self.store.left()) {
                let left = self.store.left();
                return Err(self.wrong(
                    row,
                    "side",
                    format!("{side}, but the left graph has {left} entities and comes first; sort the rows by side"),
                ));
            }
        }
        Ok(())
    }

    fn entities(&self, graphs: &mut [Graph; 2]) -> Result<(), StoreError> {
        let uris = self.text("uri")?;
        let labels: &StringArray = self.typed("label", self.column("label")?)?;
        for at in 0..uris.len() {
            let row = self.first + at;
            let graph = &mut graphs[usize::from(row >= self.store.left())];
            if !graph.entities.insert(uris.value(at).into()) {
                return Err(self.wrong(row, "uri", format!("{:?} occurs twice in one graph", uris.value(at))));
            }
            graph.labels.push(labels.is_valid(at).then(|| labels.value(at).into()));
        }
        Ok(())
    }

    /// Checks that an id belongs to the graph of the entity in `row`.
    fn same_side(&self, column: &str, row: usize, id: u32) -> Result<u32, StoreError> {
        let (left, id_row) = (self.store.left(), id as usize);
        if id_row < self.store.entities() && (row < left) == (id_row < left) {
            return Ok(id);
        }
        Err(self.wrong(row, column, format!("id {id} is not in this entity's graph")))
    }

    fn edges(&self) -> Result<Edges<'a>, StoreError> {
        let (lists, items) = self.lists("edges")?;
        let items: &StructArray = self.typed("edges", items)?;
        let field = |name| self.field("edges", items, name).and_then(|array| self.whole("edges", array));
        Ok(Edges {
            lists,
            relation: self.typed("edges", field("relation")?)?,
            tail: self.typed("edges", field("tail")?)?,
        })
    }

    /// The names of the attributes alone.
    fn mentions(&self) -> Result<(Lists<'a>, &'a StringArray), StoreError> {
        let (lists, items) = self.lists(ATTRIBUTES)?;
        let items: &StructArray = self.typed(ATTRIBUTES, items)?;
        let names = self.whole(ATTRIBUTES, self.field(ATTRIBUTES, items, "name")?)?;
        Ok((lists, self.typed(ATTRIBUTES, names)?))
    }

    fn facts(&self) -> Result<Facts<'a>, StoreError> {
        let (lists, name) = self.mentions()?;
        let items: &StructArray = self.typed(ATTRIBUTES, self.lists(ATTRIBUTES)?.1)?;
        let field = |name| self.field(ATTRIBUTES, items, name);
        let nullable = |name| field(name).and_then(|array| self.typed(ATTRIBUTES, array));
        let value = self.typed(ATTRIBUTES, self.whole(ATTRIBUTES, field("value")?)?)?;
        Ok(Facts { lists, name, value, datatype: nullable("datatype")?, lang: nullable("lang")? })
    }

    fn field<'b>(&self, column: &str, items: &'b StructArray, name: &str) -> Result<&'b dyn Array, StoreError> {
        let field = items.column_by_name(name).map(AsRef::as_ref);
        field.ok_or_else(|| self.wrong(self.first, column, format!("no field `{name}`")))
    }

    /// Appends `(position, this id, other id)` of each link, which is kept on both sides.
    fn links(&self, links: &mut Vec<KeptLink>) -> Result<(), StoreError> {
        let (lists, others) = self.lists("links")?;
        let (orders_of, orders) = self.lists("link_order")?;
        let others: &UInt32Array = self.typed("links", others)?;
        let orders: &UInt32Array = self.typed("link_order", orders)?;
        if lists
            .offsets
            .iter()
            .zip(orders_of.offsets)
            .any(|(left, right)| left - lists.offsets[0] != right - orders_of.offsets[0])
        {
            return Err(self.wrong(
                self.first,
                "link_order",
                "not as many positions as links, in this row or soon after",
            ));
        }
        let shift = (orders_of.offsets[0] - lists.offsets[0]) as isize;
        lists.each(|row, at| {
            let other = others.value(at);
            let across = (row < self.store.left()) != ((other as usize) < self.store.left());
            if !across || other as usize >= self.store.entities() {
                return Err(self.wrong(row, "links", format!("id {other} is not in the other graph")));
            }
            links.push((orders.value(at.wrapping_add_signed(shift)), row as u32, other));
            Ok(())
        })
    }
}
