//! What was read, in a few lines for a person and as figures for the store.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Loaded, Report};
use crate::pair::Graph;
use crate::store::Origin;

impl Loaded {
    /// A table of both graphs, the links, and the lines that were left out, for a person.
    pub fn summary(&self) -> String {
        let graphs = [&self.pair.left, &self.pair.right];
        let mut text = format!(
            "{:<12} {:>10} {:>10} {:>10} {:>10} {:>10}\n",
            "graph", "entities", "relations", "triples", "attributes", "facts"
        );
        for graph in graphs {
            let [entities, relations, triples, attributes, facts] = counts(graph);
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{:<12} {entities:>10} {relations:>10} {triples:>10} {attributes:>10} {facts:>10}",
                graph.name
            );
        }
        let _ = writeln!(text, "{} links", self.pair.links.len());
        text.push_str(&self.report.remarks());
        text
    }
}

fn counts(graph: &Graph) -> [usize; 5] {
    [graph.entities.len(), graph.relations.len(), graph.triples.len(), graph.attributes.len(), graph.facts.len()]
}

impl Report {
    /// One line for each file with repeated or unreadable lines, and the first unreadable ones.
    fn remarks(&self) -> String {
        let mut text = String::new();
        for file in self.files.iter().filter(|file| file.repeated + file.unreadable > 0) {
            let _ = writeln!(
                text,
                "{}: {} lines, {} repeated, {} unreadable",
                file.path.display(),
                file.lines,
                file.repeated,
                file.unreadable
            );
            for example in file.examples() {
                let _ = writeln!(text, "  {example}");
            }
        }
        text
    }

    /// What a store keeps about where its graphs came from.
    pub fn origin(&self, maker: &str) -> Origin {
        let lines = self.files.iter().map(|file| file.lines).sum();
        let counts = [("lines", lines), ("repeated", self.repeated()), ("unreadable", self.unreadable())];
        let counts: BTreeMap<String, u64> = counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
        Origin { maker: maker.to_owned(), counts, ..Origin::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::FileReport;

    fn loaded() -> Loaded {
        let mut file = FileReport::new("raw/triples".into());
        file.lines = 1000;
        file.repeated = 7;
        file.count_unreadable(12, "expected a triple");
        let clean = FileReport { lines: 5, ..FileReport::new("raw/clean".into()) };
        let mut loaded = Loaded { report: Report { files: vec![file, clean] }, ..Loaded::default() };
        "FB15K".clone_into(&mut loaded.pair.left.name);
        loaded.pair.left.entities.insert("/m/01".into());
        loaded
    }

    #[test]
    fn the_summary_names_the_graphs_and_the_lines_left_out() {
        let text = loaded().summary();
        let row: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(row, ["FB15K", "1", "0", "0", "0", "0"]);
        assert!(text.contains("raw/triples: 1000 lines, 7 repeated, 1 unreadable"), "{text}");
        assert!(text.contains("raw/triples:12: expected a triple") && !text.contains("raw/clean"), "{text}");
    }

    #[test]
    fn the_store_is_told_the_counts() {
        let origin = loaded().report.origin("humea prep mmkb");
        assert_eq!(origin.maker, "humea prep mmkb");
        assert_eq!(origin.counts["lines"], 1005);
        assert_eq!(origin.counts["repeated"], 7);
    }
}
