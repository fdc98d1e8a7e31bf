//! Evaluation at full size: CSLS and both directions' ranks of 10,277 × 10,277 joint vectors (FB15K-DB15K at 20 %).
//!
//! `cargo bench --profile dev --bench ranking -- [links] [cuda]`; the target is 5 s and 1 GB on two cores, 50 ms on a GPU.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod memory;

use std::time::Instant;

use humea::device::{self, Wanted};
use humea::eval::{EvalConfig, Ranking, Ties};
use humea::loss::similarity::normalise;
use tch::{Kind, Tensor};

/// Floats of a joint vector.
const WIDTH: i64 = 6 * 300;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let links = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(10_277);
    let wanted = if std::env::args().any(|argument| argument == "cuda") { Wanted::Cuda } else { Wanted::Cpu };
    let device = device::choose(wanted)?;
    let noise = || Tensor::randn([links, WIDTH], (Kind::Float, device));
    let left = normalise(&noise());
    let right = normalise(&(&left + noise() * 0.1));
    let times = (0..5).map(|_| {
        let start = Instant::now();
        let found =
            Ranking::new(&left, &right, EvalConfig { csls: true, csls_k: 3, ties: Ties::Pessimistic })?.ranks(None)?;
        Ok::<_, tch::TchError>((start.elapsed(), found))
    });
    let times = times.collect::<Result<Vec<_>, _>>()?;
    let best = times.iter().map(|(time, _)| *time).min().unwrap_or_default();
    println!(
        "{links} links, {device:?}, {} threads: {:.4} s, peak resident {}",
        tch::get_num_threads(),
        best.as_secs_f64(),
        memory::peak()
    );
    Ok(())
}
