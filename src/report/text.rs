//! A run's figures for a terminal.

use std::fmt::Write;

use crate::eval::Directions;
use crate::train::run::{Summary, Tested};

/// The figures as lines of text.
pub fn summary(summary: &Summary) -> String {
    let mut text = format!("protocol: {}\n", summary.protocol.describe());
    let _ = writeln!(
        text,
        "{:<25} {:<14} {:>7} {:>7} {:>7} {:>9} {:>7}",
        "test links", "direction", "H@1", "H@5", "H@10", "MR", "MRR"
    );
    for (name, counts, tested) in summary.rows() {
        let mark = if counts { "*" } else { " " };
        rows(&mut text, &format!("{mark}{name} (epoch {})", tested.epochs), tested);
    }
    let _ = writeln!(text, "* counts under this protocol; {:.1} s of training", summary.seconds);
    text
}

fn rows(text: &mut String, name: &str, tested: Tested) {
    directions(text, name, tested.test);
    if let Some(alone) = tested.vectors_alone {
        directions(text, " vectors alone", alone);
    }
}

fn directions(text: &mut String, name: &str, figures: Directions) {
    for (direction, f) in [("left → right", figures.left_to_right), ("right → left", figures.right_to_left)] {
        let _ = writeln!(
            text,
            "{name:<25} {direction:<14} {:>7.4} {:>7.4} {:>7.4} {:>9.2} {:>7.4}",
            f.hits_at_1, f.hits_at_5, f.hits_at_10, f.mr, f.mrr
        );
    }
}

/// The figures as JSON.
pub fn json(summary: &Summary) -> String {
    serde_json::to_string_pretty(summary).unwrap_or_default()
}
