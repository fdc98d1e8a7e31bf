use data_process::pair::{Fact, Graph, GraphPair};
use tch::{Device, Kind, Tensor};

use super::*;
use crate::eval::{EvalConfig, Ranking, Ties};

const ENTITIES: u32 = 40;

/// A graph whose entity i has the value that each attribute gives for i.
fn graph(attributes: &[(&str, &dyn Fn(u32) -> String)]) -> Graph {
    let mut graph = Graph::default();
    for (number, (name, value)) in attributes.iter().enumerate() {
        graph.attributes.insert((*name).into());
        for entity in 0..ENTITIES {
            graph.entities.insert(format!("e{entity}").into());
            let value = value(entity).into();
            graph.facts.push(Fact { entity, attribute: number as u32, value, datatype: None, lang: None });
        }
    }
    graph
}

fn pair(left: &[(&str, &dyn Fn(u32) -> String)], right: &[(&str, &dyn Fn(u32) -> String)]) -> GraphPair {
    GraphPair { left: graph(left), right: graph(right), links: Vec::new() }
}

/// Entity i of the left graph is entity i of the right one; the first ten are seeds.
fn seeds() -> Vec<Link> {
    (0..10).map(|entity| [entity, ENTITIES + entity]).collect()
}

fn ids(first: u32) -> Vec<u32> {
    (first..first + ENTITIES).collect()
}

/// Evidence of every left entity against every right one.
fn matrix(evidence: &Evidence) -> Tensor {
    let scores = Tensor::zeros([i64::from(ENTITIES); 2], (Kind::Float, Device::Cpu));
    evidence.between(&ids(0), &ids(ENTITIES)).add_to(&scores, 0).unwrap();
    scores
}

fn birthday(entity: u32) -> String {
    format!("{}-{:02}-{:02}", 1900 + entity % 20, 1 + entity % 12, 1 + entity % 28)
}

/// In no order that the entities' numbers would give away.
fn magnitude(entity: u32) -> f64 {
    f64::from(1 + entity * 37 % 101) * 1.5
}

#[test]
fn evidence_is_the_same_whatever_is_added_at_a_time() {
    let pair = pair(&[("date_of_birth", &birthday)], &[("birthDate", &birthday)]);
    let evidence = Evidence::learn(&pair, &seeds(), 1.0).unwrap();
    let scores = Tensor::zeros([i64::from(ENTITIES); 2], (Kind::Float, Device::Cpu));
    evidence.between(&ids(0), &ids(ENTITIES)).add_in_pieces(&scores, 0, 3).unwrap();
    assert!(scores.gt(0.0).sum(Kind::Int64).int64_value(&[]) > 3);
    assert_eq!(scores, matrix(&evidence));
}

#[test]
fn an_agreement_is_worth_the_logarithm_of_how_much_rarer_it_is_by_chance() {
    let pair = pair(&[("date_of_birth", &birthday)], &[("birthDate", &birthday)]);
    let evidence = Evidence::learn(&pair, &seeds(), 1.0).unwrap();
    let expected = SameAttributes {
        left: "date_of_birth".to_owned(),
        right: "birthDate".to_owned(),
        scale: 1.0,
        seeds: 10,
        agree: 10.0 / 11.0,
    };
    assert_eq!(evidence.same_attributes(), [expected]);
    // All ten seeds agree to the day: m = 10/11; one right value of forty agrees with each left one: u = 1/40.
    let expected = (10.0_f64 / 11.0 * 40.0).ln();
    let found = matrix(&evidence);
    for entity in 0..i64::from(ENTITIES) {
        assert!((found.double_value(&[entity, entity]) - expected).abs() < 1e-5);
    }
    assert!(found.triu(1).abs().max().double_value(&[]) < 1e-9, "other birthdays say nothing");
}

#[test]
fn a_rare_value_says_more_than_a_common_one() {
    let founded = |entity: u32| if entity.is_multiple_of(4) { "1900".to_owned() } else { (1900 + entity).to_string() };
    let pair = pair(&[("founded", &founded)], &[("foundingYear", &founded)]);
    let found = matrix(&Evidence::learn(&pair, &seeds(), 1.0).unwrap());
    assert!(found.double_value(&[4, 8]) > 0.0, "the same year");
    assert!(found.double_value(&[5, 5]) > found.double_value(&[4, 4]) + 2.0);
}

#[test]
fn a_unit_nobody_states_is_learnt() {
    let feet = |entity: u32| (magnitude(entity) / 0.3048).to_string();
    let metres = |entity: u32| magnitude(entity).to_string();
    let pair = pair(&[("tallness", &feet)], &[("stature", &metres)]);
    let evidence = Evidence::learn(&pair, &seeds(), 1.0).unwrap();
    assert!((evidence.same_attributes()[0].scale - 0.3048).abs() < 1e-9);
    let found = matrix(&evidence);
    let (_, best) = found.max_dim(1, false);
    let own = Tensor::arange(i64::from(ENTITIES), (Kind::Int64, Device::Cpu));
    assert_eq!(best.eq_tensor(&own).sum(Kind::Int64).int64_value(&[]), i64::from(ENTITIES));
}

#[test]
fn seeds_that_do_not_agree_and_text_teach_nothing() {
    let value = |entity: u32| magnitude(entity).to_string();
    let other = |entity: u32| magnitude(entity * 13 + 5).to_string();
    let apart = pair(&[("size", &value)], &[("size", &other)]);
    assert!(Evidence::learn(&apart, &seeds(), 1.0).is_none());
    let dates = pair(&[("birthDate", &birthday)], &[("size", &value)]);
    assert!(Evidence::learn(&dates, &seeds(), 1.0).is_none(), "values of different kinds are not compared");
    let name = |entity: u32| format!("entity {entity}");
    let names = pair(&[("name", &name)], &[("name", &name)]);
    assert!(Evidence::learn(&names, &seeds(), 1.0).is_none(), "names are leakage");
    let same = pair(&[("size", &value)], &[("size", &value)]);
    assert!(Evidence::learn(&same, &seeds()[..2], 1.0).is_none(), "two seeds are no proof");
    assert!(Evidence::learn(&same, &seeds(), 1.0).is_some());
}

#[test]
fn several_right_attributes_count_once_and_several_left_ones_add_up() {
    let value = |entity: u32| magnitude(entity).to_string();
    let year = |entity: u32| birthday(entity)[..4].to_owned();
    let once = pair(&[("born", &birthday)], &[("birthDate", &birthday)]);
    let twice = pair(&[("born", &birthday)], &[("birthDate", &birthday), ("birthYear", &year)]);
    let more = pair(&[("born", &birthday), ("size", &value)], &[("birthDate", &birthday), ("size", &value)]);
    let own = |pair: &GraphPair| matrix(&Evidence::learn(pair, &seeds(), 1.0).unwrap()).double_value(&[7, 7]);
    assert!((own(&once) - own(&twice)).abs() < 1e-6);
    assert!(own(&more) > own(&once) + 1.0);
}

#[test]
fn blocks_links_and_the_whole_agree_and_the_weight_scales_them() {
    let value = |entity: u32| magnitude(entity % 30).to_string();
    let pair = pair(&[("born", &birthday), ("size", &value)], &[("born", &birthday), ("size", &value)]);
    let evidence = Evidence::learn(&pair, &seeds(), 1.0).unwrap();
    let whole = matrix(&evidence);
    let (left, right) = (ids(0), ids(ENTITIES));
    let between = evidence.between(&left, &right);
    let scores = Tensor::ones([5, i64::from(ENTITIES)], (Kind::Float, Device::Cpu));
    between.add_to(&scores, 20).unwrap();
    assert_eq!(scores, whole.narrow(0, 20, 5) + 1.0);
    assert_eq!(between.of_links(Device::Cpu), whole.diagonal(0, 0, 1));
    let half = matrix(&Evidence::learn(&pair, &seeds(), 0.5).unwrap());
    assert!((half * 2.0 - whole).abs().max().double_value(&[]) < 1e-5);
}

#[test]
fn evidence_tells_apart_what_vectors_cannot() {
    let pair = pair(&[("date_of_birth", &birthday)], &[("birthDate", &birthday)]);
    let evidence = Evidence::learn(&pair, &seeds(), 0.06).unwrap();
    let alike = Tensor::ones([i64::from(ENTITIES), 4], (Kind::Float, Device::Cpu)) / 2.0;
    let (left, right) = (ids(0), ids(ENTITIES));
    let between = evidence.between(&left, &right);
    for csls in [false, true] {
        let config = EvalConfig { csls, csls_k: 3, ties: Ties::Pessimistic };
        let ranking = Ranking::new(&alike, &alike, config).unwrap();
        let found = ranking.ranks(Some(&between)).unwrap();
        assert!(found.left_to_right.iter().chain(&found.right_to_left).all(|rank| (*rank - 1.0).abs() < f64::EPSILON));
        let without = ranking.ranks(None).unwrap();
        assert!(without.left_to_right.iter().all(|rank| (*rank - f64::from(ENTITIES)).abs() < f64::EPSILON));
    }
}

/// Each left entity has three values and each right one three, of which no rule knows the right one.
#[test]
fn entities_of_many_values_agree_by_chance_and_chance_is_allowed_for() {
    let mut pair = pair(
        &[("size", &|entity| magnitude(entity).to_string())],
        &[("size", &|entity| magnitude(entity).to_string())],
    );
    let one = matrix(&Evidence::learn(&pair, &seeds(), 1.0).unwrap()).double_value(&[7, 7]);
    for number in 1..3 {
        for entity in 0..ENTITIES {
            let value = (10_000.0 * f64::from(number * 100 + entity)).to_string().into();
            pair.left.facts.push(Fact { entity, attribute: 0, value, datatype: None, lang: None });
        }
    }
    let many = matrix(&Evidence::learn(&pair, &seeds(), 1.0).unwrap()).double_value(&[7, 7]);
    assert!((one - many - 3.0_f64.ln()).abs() < 1e-5, "three tries are worth ln 3 less: {one}, {many}");
}
