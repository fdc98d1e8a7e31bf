//! A few texts of a store, for a person who wants to see what a model reads.

use std::fmt;

use super::{Literal, Template, attribute_text, relation_text};
use crate::pair::{Graph, GraphPair, Side};
use crate::values;

/// A relation or an entity, and the text it becomes.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Sample {
    /// The graph it is from.
    pub graph: String,
    /// The relation, or the entity whose attributes these are.
    pub of: String,
    /// What the model reads.
    pub text: String,
}

impl fmt::Display for Sample {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}\n    {}", self.graph, self.of, self.text)
    }
}

/// Texts of up to `count` relations of each graph, evenly spread.
pub fn relations(pair: &GraphPair, template: Template, count: usize) -> Vec<Sample> {
    of_both(pair, |graph| {
        let texts = graph.relations.iter().map(|name| (&**name, relation_text(name, template)));
        spread(texts.collect(), count)
    })
}

/// Texts of up to `count` entities of each graph that have attributes, evenly spread.
pub fn attributes(pair: &GraphPair, template: Template, count: usize) -> Vec<Sample> {
    of_both(pair, |graph| {
        let mut facts = vec![Vec::new(); graph.entities.len()];
        for (fact, value) in graph.facts.iter().zip(values::typed(graph).values) {
            facts[fact.entity as usize].push((&*graph.attributes[fact.attribute as usize], &*fact.value, value));
        }
        let described = graph.entities.iter().zip(facts).filter(|(_, facts)| !facts.is_empty());
        let chosen = spread(described.collect(), count);
        let text = |facts: Vec<Literal<'_>>| attribute_text(facts.into_iter(), template).unwrap_or_default();
        chosen.into_iter().map(|(entity, facts)| (&**entity, text(facts))).collect()
    })
}

fn of_both<'a>(pair: &'a GraphPair, texts: impl Fn(&'a Graph) -> Vec<(&'a str, String)>) -> Vec<Sample> {
    let sides = [Side::Left, Side::Right].map(|side| pair.graph(side));
    let samples = sides.map(|graph| {
        texts(graph).into_iter().map(|(of, text)| Sample { graph: graph.name.clone(), of: of.to_owned(), text })
    });
    samples.into_iter().flatten().collect()
}

/// Every so-manieth item, at most `count`.
fn spread<T>(items: Vec<T>, count: usize) -> Vec<T> {
    let step = items.len().div_ceil(count.max(1)).max(1);
    items.into_iter().step_by(step).take(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Silent;
    use crate::pair::Fact;
    use crate::sources::synthetic::{Knobs, generate};

    #[test]
    fn samples_come_from_both_graphs_and_carry_no_label() {
        let mut pair = generate(&Knobs { entities: 100, ..Knobs::default() }, &Silent).unwrap().pair;
        pair.left.labels = vec![Some("Secret Name".into()); 100];
        for samples in [relations(&pair, Template::Sentence, 3), attributes(&pair, Template::Sentence, 3)] {
            assert_eq!(samples.len(), 6);
            assert_eq!(samples.iter().filter(|sample| sample.graph == pair.left.name).count(), 3);
            assert!(samples.iter().all(|sample| !sample.text.is_empty() && !sample.text.contains("Secret")));
        }
        assert!(relations(&pair, Template::Published, 0).is_empty());
    }

    #[test]
    fn a_year_among_years_is_no_december() {
        let fact = |entity, value: &str| Fact { entity, attribute: 0, value: value.into(), datatype: None, lang: None };
        let graph = Graph {
            entities: ["a", "b", "c"].into_iter().map(Into::into).collect(),
            attributes: ["dateFounded"].into_iter().map(Into::into).collect(),
            facts: vec![fact(0, "1949.0"), fact(1, "1950.0"), fact(2, "1951.0")],
            ..Graph::default()
        };
        let pair = GraphPair { left: graph, ..GraphPair::default() };
        assert_eq!(attributes(&pair, Template::Sentence, 3)[0].text, "date founded: 1949");
    }

    #[test]
    fn items_are_spread_evenly() {
        assert_eq!(spread((0..10).collect(), 3), [0, 4, 8]);
        assert_eq!(spread((0..2).collect(), 5), [0, 1]);
    }
}
