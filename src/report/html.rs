//! `report.html`: one self-contained page per run: figures, curves, configuration.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::metrics::Line;
use super::svg::{Curve, chart};
use crate::eval::Directions;
use crate::evidence::SameAttributes;

/// What a report tells.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The run's name.
    pub title: String,
    /// Facts about the run: store, seed, versions, seconds.
    pub facts: Vec<(String, String)>,
    /// How the epoch was chosen.
    pub protocol: String,
    /// Test figures by name: the chosen epoch, and the last.
    pub results: Vec<(String, Directions)>,
    /// Attributes whose values are evidence.
    pub same_attributes: Vec<SameAttributes>,
    /// What the figures are to be compared with, as a sentence.
    pub expected: String,
    /// The lines of `metrics.jsonl`.
    pub lines: Vec<Line>,
    /// The resolved configuration.
    pub config: String,
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}\
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.2rem .8rem;border-bottom:1px solid #ddd;text-align:right}\
td:first-child,th:first-child{text-align:left}figure{margin:1.5rem 0}figcaption{font-weight:600}svg{width:100%}\
svg text{font-size:11px}pre{background:#f6f6f6;padding:1rem;overflow:auto;font-size:12px}";

/// The page as HTML.
pub fn render(page: &Page) -> String {
    let title = escape(&page.title);
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style></head>\
         <body>\n<h1>{title}</h1>\n"
    );
    results(&mut html, page);
    facts(&mut html, &page.facts);
    html.push_str(&chart("Loss", &losses(&page.lines)));
    html.push_str(&chart("Ranking during training", &rankings(&page.lines)));
    html.push_str(&chart("Weight of each modality in the joint vector", &weights(&page.lines)));
    same_attributes(&mut html, &page.same_attributes);
    let _ = writeln!(html, "<h2>Configuration</h2><pre>{}</pre></body></html>", escape(&page.config));
    html
}

fn results(html: &mut String, page: &Page) {
    let _ = writeln!(
        html,
        "<p>Protocol: <b>{}</b>. To compare with: {}.</p>\n<table><tr><th>test links</th><th>direction</th><th>H@1</th><th>H@5</th>\
         <th>H@10</th><th>MR</th><th>MRR</th></tr>",
        escape(&page.protocol),
        escape(&page.expected)
    );
    for (name, directions) in &page.results {
        let both = [("left → right", directions.left_to_right), ("right → left", directions.right_to_left)];
        for (direction, f) in both {
            let _ = writeln!(
                html,
                "<tr><td>{}</td><td>{direction}</td><td>{:.4}</td><td>{:.4}</td><td>{:.4}</td><td>{:.2}</td><td>{:.4}</td></tr>",
                escape(name),
                f.hits_at_1,
                f.hits_at_5,
                f.hits_at_10,
                f.mr,
                f.mrr
            );
        }
    }
    html.push_str("</table>\n");
}

fn facts(html: &mut String, facts: &[(String, String)]) {
    html.push_str("<table>\n");
    for (name, fact) in facts {
        let _ = writeln!(html, "<tr><td>{}</td><td>{}</td></tr>", escape(name), escape(fact));
    }
    html.push_str("</table>\n");
}

fn same_attributes(html: &mut String, found: &[SameAttributes]) {
    if found.is_empty() {
        return;
    }
    html.push_str(
        "<h2>Attributes whose values are evidence</h2>\n<table><tr><th>left</th><th>right</th><th>unit: left × </th>\
         <th>seeds with both</th><th>believed to agree</th></tr>\n",
    );
    for SameAttributes { left, right, scale, seeds, agree } in found {
        let (left, right, scale, percent) = (escape(left), escape(right), significant(*scale), 100.0 * agree);
        let _ = writeln!(
            html,
            "<tr><td>{left}</td><td>{right}</td><td>{scale}</td><td>{seeds}</td><td>{percent:.0} %</td></tr>"
        );
    }
    html.push_str("</table>\n");
}

/// Four significant digits: a unit may be a million times another.
fn significant(number: f64) -> String {
    let rounded = format!("{number:.3e}").parse().unwrap_or(number);
    if (1e-4..1e7).contains(&rounded) { rounded.to_string() } else { format!("{rounded:e}") }
}

fn losses(lines: &[Line]) -> Vec<Curve> {
    let mut by_name: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for line in lines {
        if let Line::Epoch { epoch, loss, .. } = line {
            for (name, number) in loss {
                by_name.entry(name).or_default().push((*epoch as f64, *number));
            }
        }
    }
    curves(by_name)
}

fn rankings(lines: &[Line]) -> Vec<Curve> {
    let mut by_name: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for line in lines {
        if let Line::Evaluation { epoch, figures, .. } = line {
            let f = figures.left_to_right;
            for (name, number) in [("H@1", f.hits_at_1), ("H@10", f.hits_at_10), ("MRR", f.mrr)] {
                by_name.entry(name).or_default().push((*epoch as f64, number));
            }
        }
    }
    curves(by_name)
}

fn weights(lines: &[Line]) -> Vec<Curve> {
    let mut by_name: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for line in lines {
        if let Line::Evaluation { epoch, weights, .. } = line {
            for (name, number) in weights {
                by_name.entry(name).or_default().push((*epoch as f64, *number));
            }
        }
    }
    curves(by_name)
}

fn curves(by_name: BTreeMap<&str, Vec<(f64, f64)>>) -> Vec<Curve> {
    by_name.into_iter().map(|(name, points)| Curve { name: escape(name), points }).collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_far_apart_keep_their_digits() {
        for (number, shown) in
            [(1.0, "1"), (0.025_400_1, "0.0254"), (999_999.7, "1000000"), (1.000_02e-6, "1e-6"), (2.5e9, "2.5e9")]
        {
            assert_eq!(significant(number), shown);
        }
    }

    #[test]
    fn a_page_names_its_protocol_shows_best_and_last_and_needs_nothing_else() {
        let page = Page {
            title: "a <run>".to_owned(),
            protocol: "validation".to_owned(),
            expected: "none published".to_owned(),
            same_attributes: vec![SameAttributes {
                left: "<born>".to_owned(),
                right: "birthDate".to_owned(),
                scale: 1e-6,
                seeds: 864,
                agree: 0.92,
            }],
            results: vec![("best".to_owned(), Directions::default()), ("last".to_owned(), Directions::default())],
            lines: [1, 2]
                .map(|epoch| Line::Epoch { epoch, loss: [("total".to_owned(), 2.0)].into(), seconds: 1.0, links: 1 })
                .into(),
            ..Page::default()
        };
        let html = render(&page);
        for text in [
            "a &lt;run&gt;",
            "validation",
            ">best<",
            ">last<",
            "<polyline",
            "&lt;born&gt;",
            ">1e-6<",
            ">864<",
            "believed",
            ">92 %<",
        ] {
            assert!(html.contains(text), "{text}");
        }
        assert!(!html.contains("http"), "a report fetches nothing");
    }
}
