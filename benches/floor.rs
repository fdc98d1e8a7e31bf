//! One epoch against the time its matrix products alone take in libtorch on the same cores (issue: at most 1.5 times).
//!
//! `cargo bench --profile dev --bench floor -- [entities]`; 27,793 entities (FB15K-DB15K) unless told otherwise.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod memory;
mod synthetic;

use std::time::{Duration, Instant};

use humea::noise::Randomness;
use humea::train::step::{DecoupledEntities, StepConfig, Trainer};
use synthetic::WIDTH;
use tch::{Device, Kind, Tensor, no_grad};

/// Measured epochs, after one that gathers and allocates.
const EPOCHS: u64 = 3;
/// B.
const BLOCK: usize = 512;
/// Floats per vector of the dense modalities.
const DENSE: [i64; 3] = [4096, 768, 768];

/// The products `[n, k]·[k, m]` of one epoch: how often each.
fn products(entities: i64, rows: i64, links: usize) -> Vec<([i64; 3], u32)> {
    let mut products = Vec::new();
    for d in DENSE {
        products.push(([rows, d, 5 * WIDTH], 1)); // outputs of the training list's entities …
        products.push(([5 * WIDTH, rows, d], 1)); // … and the gradient of the weights
        products.push(([entities, d, 2 * WIDTH], 1)); // two experts over all entities …
        products.push(([2 * WIDTH, entities, d], 1)); // … and the gradient of the weights
    }
    // Estimators of five modalities: four layers forward, twice that backward, once for the bound and once to learn.
    products.push(([entities, WIDTH, WIDTH / 2], 5 * 4 * (3 + 2)));
    let block = (BLOCK as i64).min(links as i64);
    let blocks = links.div_ceil(BLOCK) as u32;
    products.push(([block, WIDTH, block], 6 * 3 * 3 * blocks));
    products
}

fn floor(products: &[([i64; 3], u32)]) -> (Duration, f64) {
    let (mut time, mut flops) = (Duration::ZERO, 0.0);
    for ([n, k, m], times) in products {
        let make = |rows, columns| Tensor::randn([rows, columns], (Kind::Float, Device::Cpu));
        let (a, b) = (make(*n, *k), make(*k, *m));
        let _ = a.matmul(&b);
        let start = Instant::now();
        for _ in 0..*times {
            let _ = a.matmul(&b);
        }
        time += start.elapsed();
        flops += 2.0 * (*n * *k * *m) as f64 * f64::from(*times);
    }
    (time, flops)
}

fn main() {
    // As `humea train` does.
    humea::device::keep_freed_memory();
    let entities = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(27_793);
    let links = synthetic::links(entities);
    let products = products(entities, 2 * links.len() as i64, links.len());
    let mut defaults = synthetic::defaults();
    // The products counted above are those of the published method.
    defaults.loss.decoupled = DecoupledEntities::All;
    let step = StepConfig { batch_size: BLOCK, ..StepConfig::new(&defaults.loss, &defaults.train) };
    let mut trainer = Trainer::new(synthetic::model(entities), step, Randomness::Seeded(42));
    trainer.epoch(0, &links);
    let (mut floors, mut epochs, mut flops) = (Vec::new(), Vec::new(), 0.0);
    // Turn about, and the best of each: other work on the machine then weighs on neither.
    for epoch in 1..=EPOCHS {
        let (time, count) = no_grad(|| floor(&products));
        floors.push(time);
        flops = count;
        let start = Instant::now();
        trainer.epoch(epoch, &links);
        epochs.push(start.elapsed());
    }
    let best = |times: Vec<Duration>| times.into_iter().min().unwrap_or_default();
    let (floor, epoch) = (best(floors), best(epochs));
    println!("{entities} entities, {} links, {} threads", links.len(), tch::get_num_threads());
    println!("matrix products alone  {:8.3} s  {:.3} TFLOP", floor.as_secs_f64(), flops / 1e12);
    println!("one epoch              {:8.3} s", epoch.as_secs_f64());
    println!("ratio                  {:8.2}", epoch.as_secs_f64() / floor.as_secs_f64());
    println!("peak resident memory   {}", memory::peak());
}
