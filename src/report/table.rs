//! The table a sweep ends in: ours against published, as Markdown, CSV and Parquet.

use std::fmt::Write;
use std::path::Path;

use data_process::tables::{self, Cells, Column, TableError};

/// One variant of a sweep; NaN where there is no figure.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// The variant's name.
    pub name: String,
    /// How it ended: `finished` or `failed`.
    pub state: String,
    /// How the epoch was chosen.
    pub protocol: String,
    /// Hits@1, the mean of both directions, like what is published; so are the others.
    pub hits_at_1: f64,
    /// Hits@10.
    pub hits_at_10: f64,
    /// Mean reciprocal rank.
    pub mrr: f64,
    /// Published Hits@1.
    pub published: f64,
    /// Where it is published.
    pub source: String,
    /// Seconds of training.
    pub seconds: f64,
    /// The run's folder.
    pub folder: String,
}

/// The rows of a sweep.
#[derive(Clone, Debug, Default)]
pub struct Table(pub Vec<Row>);

impl Table {
    /// As Markdown.
    pub fn markdown(&self) -> String {
        let mut text = String::from(
            "| run | state | protocol | H@1 | H@10 | MRR | published H@1 | source | seconds |\n|---|---|---|---|---|---|---|---|---|\n",
        );
        for row in &self.0 {
            let [h1, h10, mrr, published] =
                [row.hits_at_1, row.hits_at_10, row.mrr, row.published].map(|n| number(n, 4));
            let Row { name, state, protocol, source, .. } = row;
            let seconds = number(row.seconds, 1);
            let _ = writeln!(
                text,
                "| {name} | {state} | {protocol} | {h1} | {h10} | {mrr} | {published} | {source} | {seconds} |"
            );
        }
        text
    }

    /// As CSV, with a heading.
    ///
    /// # Errors
    /// If a row cannot be written; memory does not refuse.
    pub fn csv(&self) -> Result<Vec<u8>, csv::Error> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record([
            "run",
            "state",
            "protocol",
            "hits_at_1",
            "hits_at_10",
            "mrr",
            "published",
            "source",
            "seconds",
            "folder",
        ])?;
        for row in &self.0 {
            let numbers = [row.hits_at_1, row.hits_at_10, row.mrr, row.published].map(|n| number(n, 6));
            let [h1, h10, mrr, published] = &numbers;
            let seconds = number(row.seconds, 3);
            let record: [&str; 10] =
                [&row.name, &row.state, &row.protocol, h1, h10, mrr, published, &row.source, &seconds, &row.folder];
            writer.write_record(record)?;
        }
        writer.into_inner().map_err(|error| error.into_error().into())
    }

    /// As Parquet.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn parquet(&self, path: &Path) -> Result<(), TableError> {
        let texts = |of: fn(&Row) -> &String| Cells::Texts(self.0.iter().map(|row| of(row).clone()).collect());
        let numbers = |of: fn(&Row) -> f64| Cells::Numbers(self.0.iter().map(of).collect());
        let columns = [
            Column { name: "run", cells: texts(|row| &row.name) },
            Column { name: "state", cells: texts(|row| &row.state) },
            Column { name: "protocol", cells: texts(|row| &row.protocol) },
            Column { name: "hits_at_1", cells: numbers(|row| row.hits_at_1) },
            Column { name: "hits_at_10", cells: numbers(|row| row.hits_at_10) },
            Column { name: "mrr", cells: numbers(|row| row.mrr) },
            Column { name: "published", cells: numbers(|row| row.published) },
            Column { name: "source", cells: texts(|row| &row.source) },
            Column { name: "seconds", cells: numbers(|row| row.seconds) },
            Column { name: "folder", cells: texts(|row| &row.folder) },
        ];
        tables::write(path, &columns)
    }
}

/// A number with so many decimals; empty where there is none.
fn number(number: f64, decimals: usize) -> String {
    if number.is_nan() { String::new() } else { format!("{number:.decimals$}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_figure_is_empty_in_every_form() {
        let row = Row { name: "a".to_owned(), hits_at_1: 0.5, published: f64::NAN, ..Row::default() };
        let table = Table(vec![row]);
        assert!(table.markdown().contains("| a |  |  | 0.5000 | 0.0000 | 0.0000 |  |  | 0.0 |"));
        let csv = String::from_utf8(table.csv().unwrap()).unwrap();
        assert!(csv.lines().nth(1).unwrap().starts_with("a,,,0.500000,0.000000,0.000000,,"), "{csv}");
        let folder = tempfile::tempdir().unwrap();
        table.parquet(&folder.path().join("t.parquet")).unwrap();
    }
}
