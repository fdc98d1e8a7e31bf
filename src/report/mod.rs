//! A run folder for people and for other tools: `metrics.jsonl`, TensorBoard events, `report.html`, tables.

mod html;
mod metrics;
mod svg;
mod table;
mod tensorboard;

pub use html::{Page, render};
pub use metrics::{Line, MetricsError, MetricsLog, read};
pub use table::{Row, Table};
pub use tensorboard::EventFile;
