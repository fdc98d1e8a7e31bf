//! A pair of graphs as Arrow record batches: the ordinary columns, one row per entity.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, ListArray, RecordBatch, StringArray, StructArray, UInt8Array, UInt32Array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use arrow::error::ArrowError;

use super::StoreError;
use crate::pair::{Graph, GraphPair, Side};
use crate::schema;

/// Positions in a list, grouped by entity, in list order within each.
#[derive(Debug)]
struct ByEntity {
    offsets: Vec<usize>,
    order: Vec<u32>,
}

impl ByEntity {
    /// Groups positions by the entity each belongs to; `None` if one is out of range.
    fn new(entities: usize, of: impl Iterator<Item = u32> + Clone) -> Option<Self> {
        let mut offsets = vec![0; entities + 1];
        let mut total = 0;
        for entity in of.clone() {
            *offsets.get_mut(entity as usize + 1)? += 1;
            total += 1;
        }
        for entity in 0..entities {
            offsets[entity + 1] += offsets[entity];
        }
        let (mut next, mut order) = (offsets.clone(), vec![0; total]);
        for (position, entity) in of.enumerate() {
            order[next[entity as usize]] = position as u32;
            next[entity as usize] += 1;
        }
        Some(Self { offsets, order })
    }

    fn of(&self, entity: usize) -> &[u32] {
        &self.order[self.offsets[entity]..self.offsets[entity + 1]]
    }
}

/// One graph of a pair, ready to be laid out in rows.
#[derive(Debug)]
struct Grouped<'a> {
    graph: &'a Graph,
    triples: ByEntity,
    facts: ByEntity,
    links: ByEntity,
}

/// A pair of graphs, checked, ready to be laid out in rows.
#[derive(Debug)]
pub(super) struct Table<'a> {
    pair: &'a GraphPair,
    sides: [Grouped<'a>; 2],
}

impl<'a> Table<'a> {
    /// Checks a pair: every number in it must be in range.
    pub(super) fn new(pair: &'a GraphPair) -> Result<Self, StoreError> {
        let entities = pair.entities();
        if u32::try_from(entities).is_err() {
            return Err(StoreError::TooMany { entities });
        }
        let left = grouped(&pair.left, "left", pair.links.iter().map(|link| link.0))?;
        let right = grouped(&pair.right, "right", pair.links.iter().map(|link| link.1))?;
        Ok(Self { pair, sides: [left, right] })
    }

    /// Cuts rows into row groups of at most so many rows and so many bytes of text and lists.
    pub(super) fn groups(&self, rows: Range<usize>, most_rows: usize, most_bytes: usize) -> Vec<Range<usize>> {
        let (mut groups, mut start, mut bytes) = (Vec::new(), rows.start, 0);
        for row in rows.clone() {
            let size = self.row_bytes(row);
            if row > start && (row - start >= most_rows || bytes + size > most_bytes) {
                groups.push(start..row);
                (start, bytes) = (row, 0);
            }
            bytes += size;
        }
        if start < rows.end {
            groups.push(start..rows.end);
        }
        groups
    }

    fn row_bytes(&self, row: usize) -> usize {
        let (_, side, entity) = self.locate(row);
        let edges = side.triples.of(entity).iter().map(|&at| {
            4 + side
                .graph
                .relations
                .get_index(side.graph.triples[at as usize].relation as usize)
                .map_or(0, |name| name.len())
        });
        let facts = side.facts.of(entity).iter().map(|&at| {
            let fact = &side.graph.facts[at as usize];
            fact.value.len() + side.graph.attributes.get_index(fact.attribute as usize).map_or(0, |name| name.len())
        });
        64 + edges.sum::<usize>() + facts.sum::<usize>()
    }

    fn locate(&self, row: usize) -> (Side, &Grouped<'a>, usize) {
        let left = self.pair.left.entities.len();
        if row < left { (Side::Left, &self.sides[0], row) } else { (Side::Right, &self.sides[1], row - left) }
    }

    /// The ordinary columns of some rows.
    pub(super) fn batch(&self, rows: Range<usize>) -> Result<RecordBatch, ArrowError> {
        let located: Vec<(Side, &Grouped<'a>, usize)> = rows.clone().map(|row| self.locate(row)).collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from_iter_values(rows.map(|row| row as u32))),
            Arc::new(UInt8Array::from_iter_values(located.iter().map(|(side, ..)| *side as u8))),
            Arc::new(StringArray::from_iter_values(
                located.iter().filter_map(|(_, side, entity)| side.graph.entities.get_index(*entity)),
            )),
            Arc::new(
                located.iter().map(|(_, side, at)| side.graph.labels.get(*at)?.as_deref()).collect::<StringArray>(),
            ),
            Arc::new(self.edges(&located)?),
            Arc::new(attributes(&located)?),
            Arc::new(self.links(&located)?),
            Arc::new(link_order(&located)?),
        ];
        RecordBatch::try_new(Arc::new(Schema::new(schema::ordinary_fields())), columns)
    }

    fn first_id(&self, side: Side) -> u32 {
        if side == Side::Left { 0 } else { self.pair.left.entities.len() as u32 }
    }

    fn edges(&self, rows: &[(Side, &Grouped<'a>, usize)]) -> Result<ListArray, ArrowError> {
        let each = || rows.iter().flat_map(|(side, of, at)| of.triples.of(*at).iter().map(move |&at| (*side, *of, at)));
        let relation = each()
            .filter_map(|(_, of, at)| of.graph.relations.get_index(of.graph.triples[at as usize].relation as usize));
        let tail = each().map(|(side, of, at)| of.graph.triples[at as usize].tail + self.first_id(side));
        let columns: Vec<ArrayRef> =
            vec![Arc::new(StringArray::from_iter_values(relation)), Arc::new(UInt32Array::from_iter_values(tail))];
        list("edges", rows.iter().map(|(_, of, at)| of.triples.of(*at).len()), columns)
    }

    fn links(&self, rows: &[(Side, &Grouped<'a>, usize)]) -> Result<ListArray, ArrowError> {
        let left = self.pair.left.entities.len() as u32;
        let other = rows.iter().flat_map(|(side, of, at)| {
            of.links.of(*at).iter().map(move |&link| match side {
                Side::Left => self.pair.links[link as usize].1 + left,
                Side::Right => self.pair.links[link as usize].0,
            })
        });
        let values: Vec<ArrayRef> = vec![Arc::new(UInt32Array::from_iter_values(other))];
        list("links", rows.iter().map(|(_, of, at)| of.links.of(*at).len()), values)
    }
}

fn link_order(rows: &[(Side, &Grouped<'_>, usize)]) -> Result<ListArray, ArrowError> {
    let order = rows.iter().flat_map(|(_, of, at)| of.links.of(*at).iter().copied());
    let values: Vec<ArrayRef> = vec![Arc::new(UInt32Array::from_iter_values(order))];
    list("link_order", rows.iter().map(|(_, of, at)| of.links.of(*at).len()), values)
}

fn tag(graph: &Graph, number: Option<u32>) -> Option<&str> {
    graph.tags.get_index(number? as usize).map(AsRef::as_ref)
}

fn attributes(rows: &[(Side, &Grouped<'_>, usize)]) -> Result<ListArray, ArrowError> {
    let each = || {
        rows.iter()
            .flat_map(|(_, of, at)| of.facts.of(*at).iter().map(move |&at| (of.graph, &of.graph.facts[at as usize])))
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(
            each().filter_map(|(graph, fact)| graph.attributes.get_index(fact.attribute as usize)),
        )),
        Arc::new(StringArray::from_iter_values(each().map(|(_, fact)| &fact.value))),
        Arc::new(each().map(|(graph, fact)| tag(graph, fact.datatype)).collect::<StringArray>()),
        Arc::new(each().map(|(graph, fact)| tag(graph, fact.lang)).collect::<StringArray>()),
    ];
    list("attributes", rows.iter().map(|(_, of, at)| of.facts.of(*at).len()), columns)
}

/// A list column of the contract from the lengths of its lists and the items, one array per field of the item.
pub(super) fn list(
    name: &str,
    lengths: impl Iterator<Item = usize>,
    mut items: Vec<ArrayRef>,
) -> Result<ListArray, ArrowError> {
    let item = item_of(name).ok_or_else(|| ArrowError::SchemaError(format!("`{name}` is no list")))?;
    let values: ArrayRef = match item.data_type() {
        DataType::Struct(fields) => Arc::new(StructArray::try_new(fields.clone(), items, None)?),
        _ => items.remove(0),
    };
    ListArray::try_new(item, OffsetBuffer::from_lengths(lengths), values, None)
}

fn item_of(name: &str) -> Option<FieldRef> {
    let fields: Vec<Field> = schema::ordinary_fields();
    match fields.iter().find(|field| field.name() == name)?.data_type() {
        DataType::List(item) => Some(item.clone()),
        _ => None,
    }
}

fn grouped<'a>(
    graph: &'a Graph,
    which: &'static str,
    links: impl Iterator<Item = u32> + Clone,
) -> Result<Grouped<'a>, StoreError> {
    let wrong = |reason: &str| StoreError::Pair { graph: which, reason: reason.to_owned() };
    let entities = graph.entities.len();
    let tail = |at: u32| (at as usize) < entities;
    if graph.triples.iter().any(|triple| !tail(triple.tail) || triple.relation as usize >= graph.relations.len()) {
        return Err(wrong("a triple names a relation or a tail that is not there"));
    }
    let tagged = |tag: Option<u32>| tag.is_none_or(|tag| (tag as usize) < graph.tags.len());
    let known = |attribute: u32| (attribute as usize) < graph.attributes.len();
    if graph.facts.iter().any(|fact| !known(fact.attribute) || !tagged(fact.datatype) || !tagged(fact.lang)) {
        return Err(wrong("a fact names an attribute, a datatype or a language that is not there"));
    }
    if !graph.labels.is_empty() && graph.labels.len() != entities {
        return Err(wrong("there must be no labels or one slot per entity"));
    }
    let group = |found: Option<ByEntity>, reason| found.ok_or_else(|| wrong(reason));
    Ok(Grouped {
        graph,
        triples: group(ByEntity::new(entities, graph.triples.iter().map(|t| t.head)), "a triple's head is not there")?,
        facts: group(ByEntity::new(entities, graph.facts.iter().map(|f| f.entity)), "a fact's entity is not there")?,
        links: group(ByEntity::new(entities, links), "a link names an entity that is not there")?,
    })
}
