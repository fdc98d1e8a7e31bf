//! What N-Triples, read again, do not give back as it was.

use std::hash::Hash;

use oxrdf::vocab::{rdf, rdfs, xsd};
use oxrdf::{Literal, NamedNode};
use rustc_hash::FxHashSet;

use super::{Node, iri};
use crate::pair::{Fact, Graph, GraphPair, Names};
use crate::sources::collect::is_name;
use crate::sources::rdf::SAME;

type Count = fn(&Graph) -> usize;

/// A line for each kind of loss that a pair meets.
pub(super) fn of(pair: &GraphPair) -> Vec<String> {
    let kinds: [(Count, &str); 6] = [
        (merged, "entities whose names differ in angle brackets alone from others', which come back as one"),
        (repeated, "triples and literals said before, which come back once"),
        (
            other_edges,
            "edges of owl:sameAs, skos:exactMatch or rdf:type rdfs:Resource within a graph, which come back as none",
        ),
        (
            label_values,
            "values of attributes that mean a label, which come back as labels (as values, too, with --use-labels)",
        ),
        (empty_labels, "empty labels, left out"),
        (
            other_tags,
            "literals whose language tag or datatype is left out or written otherwise (no BCP 47, capitals, xsd:string)",
        ),
    ];
    let count = |of: Count| of(&pair.left) + of(&pair.right);
    let counts = kinds.iter().map(|(of, what)| (count(*of), what));
    counts.filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect()
}

fn merged(graph: &Graph) -> usize {
    let terms: FxHashSet<String> = graph.entities.iter().map(|name| Node::of(name).subject().to_string()).collect();
    graph.entities.len() - terms.len()
}

fn repeated(graph: &Graph) -> usize {
    again(&graph.triples) + again(&graph.facts)
}

fn again<T: Hash + Eq>(items: &[T]) -> usize {
    items.len() - items.iter().collect::<FxHashSet<_>>().len()
}

fn other_edges(graph: &Graph) -> usize {
    let relations = each(&graph.relations, |name| SAME.contains(&name.as_str()));
    let types = each(&graph.relations, |name| name.as_ref() == rdf::TYPE);
    let resource = graph.entities.iter().position(|name| iri(name).as_ref() == rdfs::RESOURCE).map(|row| row as u32);
    let other = graph.triples.iter().filter(|triple| {
        let relation = triple.relation as usize;
        relations[relation] || (types[relation] && Some(triple.tail) == resource)
    });
    other.count()
}

fn label_values(graph: &Graph) -> usize {
    let labels: Vec<bool> = graph.attributes.iter().map(|name| is_name(name)).collect();
    graph.facts.iter().filter(|fact| labels[fact.attribute as usize] && !fact.value.is_empty()).count()
}

fn empty_labels(graph: &Graph) -> usize {
    graph.labels.iter().flatten().filter(|label| label.is_empty()).count()
}

fn other_tags(graph: &Graph) -> usize {
    let languages: Vec<bool> = graph.tags.iter().map(|tag| is_written(tag)).collect();
    let datatypes = each(&graph.tags, |name| name.as_ref() != xsd::STRING);
    let kept = |fact: &&Fact| match (fact.lang, fact.datatype) {
        (None, None) => true,
        (Some(lang), None) => languages[lang as usize],
        (None, Some(datatype)) => datatypes[datatype as usize],
        (Some(_), Some(_)) => false,
    };
    graph.facts.iter().filter(|fact| !kept(fact)).count()
}

/// Whether a language tag is written as it stands.
fn is_written(tag: &str) -> bool {
    Literal::new_language_tagged_literal("", tag).is_ok_and(|literal| literal.language() == Some(tag))
}

fn each(names: &Names, holds: impl Fn(&NamedNode) -> bool) -> Vec<bool> {
    names.iter().map(|name| holds(&iri(name))).collect()
}
