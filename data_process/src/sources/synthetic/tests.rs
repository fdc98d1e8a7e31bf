use rustc_hash::FxHashMap;

use super::*;
use crate::event::Silent;
use crate::pair::Graph;
use crate::store::{self, Column, Origin, Store};
use crate::texts::{Literal, Template, attribute_text};
use crate::values;

fn world(entities: usize, seed: u64) -> World {
    generate(&Knobs { entities, seed, ..Knobs::default() }, &Silent).unwrap()
}

fn all(image: &Images) -> Vec<f32> {
    image.floats(0..image.rows().len()).into_owned()
}

#[test]
fn images_are_the_same_in_any_pieces_and_a_store_holds_them() {
    let World { pair, image } = world(300, 4);
    let whole = all(&image);
    let (first, rest) = (image.floats(0..7), image.floats(7..image.rows().len()));
    assert_eq!([first, rest].concat(), whole);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("world.parquet");
    store::write_with(&path, &pair, std::slice::from_ref(&image), &Origin::default()).unwrap();
    let store = Store::open(&path).unwrap();
    assert!(store.validate().unwrap().is_empty(), "the digest is that of the floats");
    let vectors = store.vectors("image").unwrap();
    assert_eq!((vectors.rows(), vectors.as_slice().unwrap()), (image.rows(), &whole[..]));
}

#[test]
fn the_same_knobs_give_the_same_world_on_any_number_of_threads() {
    let on = |threads| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
            let world = world(9000, 7);
            let pictures = all(&world.image);
            (world, pictures)
        })
    };
    let (one, pictures) = on(1);
    assert!((&one, &pictures) == (&on(3).0, &on(3).1));
    assert!(one.pair != world(9000, 8).pair);
}

#[test]
fn bytes_do_not_change_between_versions_and_machines() {
    let world = world(100, 42);
    let triple = world.pair.left.triples[0];
    let fact = &world.pair.right.facts[0];
    let seen = format!(
        "{} {} {} {:?} {} {} {:08x}",
        world.pair.left.entities[0],
        world.pair.right.entities[0],
        world.pair.left.relations[triple.relation as usize],
        (triple.head, triple.tail),
        world.pair.right.attributes[fact.attribute as usize],
        fact.value,
        world.image.floats(0..1)[0].to_bits(),
    );
    assert_eq!(
        seen,
        "/m/008f559d3bf88d72 http://example.org/resource/Q07e3452a4eb3f94e /education/university/language_of_training (0, 79) http://example.org/ontology/populationTotal 94000 c0107cf4"
    );
}

#[test]
fn every_part_is_well_formed() {
    let World { pair, image } = world(500, 1);
    assert_eq!((pair.left.entities.len(), pair.right.entities.len(), pair.links.len()), (500, 500, 450));
    for graph in [&pair.left, &pair.right] {
        assert!(
            graph.triples.iter().all(|t| t.head < 500 && t.tail < 500 && (t.relation as usize) < graph.relations.len())
        );
        assert!(graph.facts.iter().all(|f| f.entity < 500 && (f.attribute as usize) < graph.attributes.len()));
        assert!(
            graph.triples.is_sorted_by_key(|triple| triple.head) && graph.facts.is_sorted_by_key(|fact| fact.entity)
        );
    }
    assert_eq!(all(&image).len(), image.total());
    assert!(image.rows().is_sorted() && (820..940).contains(&image.rows().len()));
    let mut rights: Vec<u32> = pair.links.iter().map(|&(_, right)| right).collect();
    rights.sort_unstable();
    rights.dedup();
    assert_eq!(rights.len(), 450);
}

#[test]
fn names_are_numbered_by_first_appearance_so_that_a_store_gives_back_an_equal_pair() {
    let graph = world(300, 3).pair.left;
    let mut next = 0;
    for triple in &graph.triples {
        assert!(triple.relation <= next);
        next = next.max(triple.relation + 1);
    }
    assert_eq!(next as usize, graph.relations.len());
}

#[test]
fn order_and_identifiers_say_nothing_about_the_links() {
    let pair = world(2000, 5).pair;
    let count = pair.links.len() as f64;
    let mean = |values: &mut dyn Iterator<Item = u32>| values.map(f64::from).sum::<f64>() / count;
    let left = mean(&mut pair.links.iter().map(|link| link.0));
    let right = mean(&mut pair.links.iter().map(|link| link.1));
    let product: f64 = pair.links.iter().map(|&(l, r)| (f64::from(l) - left) * (f64::from(r) - right)).sum();
    let correlation = product / count / (2000.0 * 2000.0 / 12.0);
    assert!(correlation.abs() < 0.08, "rows of linked entities correlate: {correlation}");
}

#[test]
fn degrees_follow_a_power_law() {
    let graph = world(5000, 2).pair.left;
    let mut degrees = vec![0_u32; 5000];
    for triple in &graph.triples {
        degrees[triple.head as usize] += 1;
        degrees[triple.tail as usize] += 1;
    }
    degrees.sort_unstable();
    let mean = degrees.iter().sum::<u32>() / 5000;
    assert!((4..20).contains(&mean) && degrees[4999] > 10 * mean, "mean {mean}, most {}", degrees[4999]);
}

#[test]
fn a_knob_out_of_range_is_named() {
    for (knobs, name) in [
        (Knobs { entities: 99, ..Knobs::default() }, "entities"),
        (Knobs { entities: 10_000_001, ..Knobs::default() }, "entities"),
        (Knobs { relations: 0, ..Knobs::default() }, "relations"),
        (Knobs { attributes: 10_001, ..Knobs::default() }, "attributes"),
        (Knobs { image_width: 70_000, ..Knobs::default() }, "image_width"),
        (Knobs { unlinked: 1.5, ..Knobs::default() }, "unlinked"),
        (Knobs { kept_facts: f64::NAN, ..Knobs::default() }, "kept_facts"),
        (Knobs { degree: -1.0, ..Knobs::default() }, "degree"),
    ] {
        assert_eq!(generate(&knobs, &Silent).unwrap_err().knob, name);
    }
}

#[test]
fn extreme_knobs_still_give_a_world() {
    for knobs in [
        Knobs { entities: 100, unlinked: 1.0, ..Knobs::default() },
        Knobs {
            entities: 100,
            unlinked: 0.0,
            kept_triples: 0.0,
            kept_facts: 0.0,
            image_missing: 1.0,
            ..Knobs::default()
        },
        Knobs { entities: 100, relations: 1, attributes: 0, image_width: 0, degree: 0.0, ..Knobs::default() },
        Knobs { entities: 100, relations: 500, attributes: 500, one_sided: 1.0, wrong_facts: 1.0, ..Knobs::default() },
    ] {
        let world = generate(&knobs, &Silent).unwrap();
        assert_eq!(world.pair.entities(), 200);
    }
}

/// How often the right counterpart is the most similar of all, by a similarity between link numbers.
fn hits(pairs: usize, similarity: impl Fn(usize, usize) -> f32) -> f64 {
    let hit = |i: usize| (0..pairs).all(|j| i == j || similarity(i, i) > similarity(i, j));
    (0..pairs).filter(|&i| hit(i)).count() as f64 / pairs as f64
}

fn trigrams(graph: &Graph) -> Vec<FxHashMap<[u8; 3], f32>> {
    let mut facts = vec![Vec::new(); graph.entities.len()];
    for (fact, value) in graph.facts.iter().zip(values::typed(graph).values) {
        facts[fact.entity as usize].push((&*graph.attributes[fact.attribute as usize], &*fact.value, value));
    }
    let text = |facts: Vec<Literal<'_>>| attribute_text(facts.into_iter(), Template::Sentence).unwrap_or_default();
    facts.into_iter().map(|facts| counted(text(facts).as_bytes())).collect()
}

fn counted(text: &[u8]) -> FxHashMap<[u8; 3], f32> {
    let mut counts = FxHashMap::default();
    for window in text.windows(3) {
        *counts.entry([window[0], window[1], window[2]]).or_default() += 1.0;
    }
    let length = counts.values().map(|count: &f32| count * count).sum::<f32>().sqrt();
    for count in counts.values_mut() {
        *count /= length;
    }
    counts
}

fn unit(vector: &[f32]) -> Vec<f32> {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    vector.iter().map(|value| value / length).collect()
}

/// Without any training: neither images nor attribute texts suffice, together they come far, and wrong links get nowhere.
#[test]
fn no_single_modality_solves_the_world_but_all_together_do() {
    let World { pair, image } = world(600, 11);
    let of: FxHashMap<u32, usize> = image.rows().iter().enumerate().map(|(at, &id)| (id, at)).collect();
    let picture = |id: u32| of.get(&id).map(|&at| unit(&image.floats(at..at + 1)));
    let lefts: Vec<_> = pair.links.iter().map(|&(left, _)| picture(left)).collect();
    let rights: Vec<_> = pair.links.iter().map(|&(_, right)| picture(right + 600)).collect();
    let images = |i: usize, j: usize| match (&lefts[i], &rights[j]) {
        (Some(left), Some(right)) => left.iter().zip(right).map(|(a, b)| a * b).sum::<f32>(),
        _ => 0.0,
    };
    let (left, right) = (trigrams(&pair.left), trigrams(&pair.right));
    let texts = |i: usize, j: usize| {
        let (left, right) = (&left[pair.links[i].0 as usize], &right[pair.links[j].1 as usize]);
        left.iter().map(|(key, value)| value * right.get(key).unwrap_or(&0.0)).sum::<f32>()
    };
    let count = pair.links.len();
    let (image_hits, text_hits) = (hits(count, images), hits(count, texts));
    let joint_hits = hits(count, |i, j| images(i, j) + 0.7 * texts(i, j));
    let shuffled = hits(count, |i, j| images(i, (j + 1) % count) + 0.7 * texts(i, (j + 1) % count));
    assert!((0.1..0.65).contains(&image_hits), "images alone: {image_hits}");
    assert!((0.1..0.65).contains(&text_hits), "attribute texts alone: {text_hits}");
    assert!(
        joint_hits > image_hits.max(text_hits) + 0.03,
        "together: {joint_hits}, images alone: {image_hits}, attribute texts alone: {text_hits}"
    );
    assert!(shuffled < 0.02, "with wrong links: {shuffled}");
}
