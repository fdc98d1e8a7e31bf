//! Vectors for the lines of a text file, without a store:
//! `cargo run --example embed_lines -- MODEL texts.txt vectors.safetensors [pooling]`.
//!
//! Prints the seconds spent on tokenising and encoding; `scripts/plm_parity.py` compares both with Python's.
#![expect(clippy::print_stdout, reason = "an example")]

use std::error::Error;
use std::time::Instant;

use data_process::event::Silent;
use humea::plm::embedder::{Embedder, Options};
use humea::plm::hub::Hub;
use humea::plm::run::vectors_of;
use tch::{Device, Tensor};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, input, output, rest @ ..] = arguments.as_slice() else {
        return Err("give MODEL, a file of texts, and a file to write".into());
    };
    let text = std::fs::read_to_string(input)?;
    let texts: Vec<&str> = text.lines().collect();
    let options = Options { pooling: rest.first().map(|name| name.parse()).transpose()?, ..Options::default() };
    let repository = Hub::from_env()?.repository(model, None)?;
    let threads = tch::get_num_threads().max(1) as usize;
    let mut embedder = Embedder::load(&repository, options, Device::Cpu, threads, &Silent)?;
    let start = Instant::now();
    let vectors = vectors_of(&mut embedder, &texts)?;
    let seconds = start.elapsed().as_secs_f64();
    println!("{} texts in {seconds:.3} s on {threads} threads", texts.len());
    let tensor = Tensor::from_slice(&vectors).view([texts.len() as i64, embedder.width() as i64]);
    Tensor::write_safetensors(&[("vectors", tensor)], output)?;
    Ok(())
}
