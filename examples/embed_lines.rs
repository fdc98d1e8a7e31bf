//! Vectors for the lines of a text file, without a store:
//! `cargo run --example embed_lines -- MODEL texts.txt vectors.safetensors [tokens a batch]`.
//!
//! Prints the time spent on tokenising and encoding; `scripts/plm_parity.py` compares it with Python's.
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
    let options =
        Options { batch_tokens: rest.first().map(|number| number.parse()).transpose()?, ..Options::default() };
    let repository = Hub::from_env()?.repository(model, None)?;
    let threads = tch::get_num_threads().max(1) as usize;
    let mut embedder = Embedder::load(&repository, options, Device::Cpu, threads, &Silent)?;
    let (start, spent) = (Instant::now(), processor_seconds()?);
    let vectors = vectors_of(&mut embedder, &texts)?;
    let seconds = start.elapsed().as_secs_f64();
    let spent = processor_seconds()? - spent;
    println!("{} texts in {seconds:.3} s ({spent:.2} CPU-s) on {threads} threads", texts.len());
    let tensor = Tensor::from_slice(&vectors).view([texts.len() as i64, embedder.width() as i64]);
    Tensor::write_safetensors(&[("vectors", tensor)], output)?;
    Ok(())
}

/// The processor time of this process, in user mode and in the kernel's, as Linux counts it: in hundredths of a second.
fn processor_seconds() -> Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The name, in parentheses, may hold blanks; the 12th and 13th field after it are what is wanted.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u32>).sum::<Result<u32, _>>()?;
    Ok(f64::from(ticks) / 100.0)
}
