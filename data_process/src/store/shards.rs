//! The parts that `embed-text --shard` writes, joined: each holds the same graphs and some rows of the same columns.

use std::path::{Path, PathBuf};

use super::{NewVectors, Provenance, Store, StoreError};

/// The key among the details of a part's origin that says which share of the columns it holds: "2/5". It stands there
/// and not at a column because a share may be empty.
pub const SHARD: &str = "shard";

/// Joins all shards of a store: their columns are added to the store `to`, or written with the graphs to a new one.
///
/// # Errors
/// If a shard is missing or given twice, or if the parts are not shards of one run over the store.
pub fn join_shards(parts: &[PathBuf], to: &Path) -> Result<(), StoreError> {
    let stores = parts.iter().map(|path| Store::open(path)).collect::<Result<Vec<_>, _>>()?;
    let Some(first) = stores.first() else { return Ok(()) };
    check_numbers(&stores)?;
    let mut names: Vec<&str> =
        stores.iter().flat_map(super::reader::Store::vector_columns).map(|c| c.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let columns = names.iter().map(|name| join(&stores, name)).collect::<Result<Vec<_>, _>>()?;
    let vectors: Vec<NewVectors<'_>> = columns.iter().map(Joined::vectors).collect();
    if to.exists() {
        let store = Store::open(to)?;
        check_same_graphs(&store, first)?;
        return store.put_vectors(&vectors);
    }
    let mut origin = first.origin().cloned().unwrap_or_default();
    origin.details.remove(SHARD);
    super::write_with(to, &first.pair()?, &vectors, &origin)
}

fn wrong(store: &Store, what: String) -> StoreError {
    StoreError::Shards { path: store.path().to_owned(), what }
}

/// The share a part holds, `(number, of)`.
fn share(store: &Store) -> Result<(usize, usize), StoreError> {
    let text = store.origin().and_then(|origin| origin.details.get(SHARD)?.as_str());
    let parsed = text.and_then(|text| text.split_once('/')).and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
    parsed.ok_or_else(|| wrong(store, "it is not a part that `humea embed-text --shard` wrote".to_owned()))
}

fn check_numbers(stores: &[Store]) -> Result<(), StoreError> {
    let shares = stores.iter().map(share).collect::<Result<Vec<_>, _>>()?;
    let (Some(first), Some(&(_, of))) = (stores.first(), shares.first()) else { return Ok(()) };
    for (store, share) in stores.iter().zip(&shares) {
        if share.1 != of {
            return Err(wrong(store, format!("it is a share of {}, the first part one of {of}", share.1)));
        }
        check_same_graphs(store, first)?;
    }
    for number in 1..=of {
        match shares.iter().filter(|share| share.0 == number).count() {
            1 => {}
            0 => return Err(wrong(first, format!("the share {number}/{of} is missing; name all parts"))),
            _ => return Err(wrong(first, format!("the share {number}/{of} is given more than once"))),
        }
    }
    Ok(())
}

fn check_same_graphs(store: &Store, first: &Store) -> Result<(), StoreError> {
    let of = |store: &Store| (store.entities(), store.left(), store.graph_names().map(str::to_owned));
    if of(store) == of(first) && store.uris()? == first.uris()? {
        return Ok(());
    }
    Err(wrong(store, format!("its entities are not those of {}", first.path().display())))
}

/// A column put together.
struct Joined {
    name: String,
    width: usize,
    rows: Vec<u32>,
    values: Vec<f32>,
    provenance: Provenance,
}

impl Joined {
    fn vectors(&self) -> NewVectors<'_> {
        NewVectors {
            name: &self.name,
            width: self.width,
            rows: &self.rows,
            values: &self.values,
            provenance: &self.provenance,
        }
    }
}

/// The width and the provenance of a shard's column, which must agree between parts.
fn common(store: &Store, name: &str) -> Result<(usize, Provenance), StoreError> {
    let column = store.column(name)?;
    Ok((column.width, column.provenance.clone().unwrap_or_default()))
}

fn join(stores: &[Store], name: &str) -> Result<Joined, StoreError> {
    let holders: Vec<&Store> = stores.iter().filter(|store| store.column(name).is_ok()).collect();
    let mut made: Option<(usize, Provenance)> = None;
    for store in &holders {
        let found = common(store, name)?;
        if made.as_ref().is_some_and(|made| *made != found) {
            return Err(wrong(store, format!("its {name} was made by another model or with other options")));
        }
        made = Some(found);
    }
    let (width, provenance) = made.unwrap_or_default();
    let matrices = holders.iter().map(|store| store.vectors(name)).collect::<Result<Vec<_>, _>>()?;
    let mut order: Vec<(u32, &[f32])> = Vec::new();
    for matrix in &matrices {
        order.extend(matrix.rows().iter().copied().zip(matrix.as_slice()?.chunks(width.max(1))));
    }
    order.sort_unstable_by_key(|(row, _)| *row);
    let values = order.iter().flat_map(|(_, vector)| vector.iter().copied()).collect();
    Ok(Joined { name: name.to_owned(), width, rows: order.iter().map(|(row, _)| *row).collect(), values, provenance })
}
