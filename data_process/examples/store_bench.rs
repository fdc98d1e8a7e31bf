//! Measures the store for `make bench-store` (see `scripts/bench_store.py`): one action per process, one JSON line.
//!
//! ```text
//! store_bench make PATH ROWS WIDTH PARTS     a store with a vector column `image`
//! store_bench add PATH ROWS WIDTH            adds the vector column `text`
//! store_bench open|first|touch|copy PATH     opens; to the first float; reads every float; copies into fresh memory
//! store_bench memtouch|memcpy ROWS WIDTH     the same over anonymous memory, to compare with
//! ```
#![expect(clippy::print_stdout, reason = "an example prints its result")]

use std::error::Error;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Instant;

use data_process::pair::GraphPair;
use data_process::store::{self, NewVectors, Origin, Provenance, Store};
use memmap2::MmapMut;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let measured = match words[..] {
        ["make", path, rows, width, parts] => make(path.as_ref(), rows.parse()?, width.parse()?, parts.parse()?)?,
        ["add", path, rows, width] => add(path.as_ref(), rows.parse()?, width.parse()?)?,
        ["open", path] => timed(|| Ok(Store::open(path.as_ref())?.entities() as f64))?,
        ["first", path] => timed(|| with_image(path.as_ref(), |floats| f64::from(floats[0])))?,
        ["touch", path] => timed(|| with_image(path.as_ref(), sum))?,
        ["copy", path] => timed(|| with_image(path.as_ref(), copy))?,
        ["memtouch", rows, width] => over_memory(rows.parse()?, width.parse()?, sum)?,
        ["memcpy", rows, width] => over_memory(rows.parse()?, width.parse()?, copy)?,
        _ => return Err("see the top of data_process/examples/store_bench.rs".into()),
    };
    println!("{measured}");
    Ok(())
}

fn timed(action: impl FnOnce() -> Outcome<f64>) -> Outcome<String> {
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let result = black_box(action()?);
    let (wall, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let anonymous = status_kilobytes("RssAnon:") / 1024.0;
    Ok(format!("{{\"wall\": {wall}, \"cpu\": {cpu}, \"anonymous_mb\": {anonymous}, \"result\": {result}}}"))
}

/// CPU time of this process: the kernel's own accounts in `/proc` go forward in steps of four milliseconds.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn status_kilobytes(key: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(f64::NAN)
}

fn with_image(path: &Path, action: impl FnOnce(&[f32]) -> f64) -> Outcome<f64> {
    let vectors = Store::open(path)?.vectors("image")?;
    Ok(action(vectors.as_slice()?))
}

/// Sums in sixteen lanes, so that memory and not the adder is measured.
fn sum(floats: &[f32]) -> f64 {
    let mut lanes = [0_f32; 16];
    for chunk in floats.chunks_exact(16) {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value;
        }
    }
    lanes.iter().map(|&lane| f64::from(lane)).sum()
}

fn copy(floats: &[f32]) -> f64 {
    f64::from(black_box(floats.to_vec())[floats.len() / 2])
}

fn over_memory(rows: usize, width: usize, action: impl FnOnce(&[f32]) -> f64) -> Outcome<String> {
    let mut memory = MmapMut::map_anon(rows * width * 4)?;
    let floats: &mut [f32] = bytemuck::cast_slice_mut(&mut memory);
    fill(floats);
    timed(|| Ok(action(floats)))
}

fn fill(floats: &mut [f32]) {
    let mut state = 1_u32;
    for value in floats {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *value = (state >> 8) as f32 / 16_777_216.0 - 0.5;
    }
}

fn random(rows: usize, width: usize) -> Vec<f32> {
    let mut floats = vec![0.0; rows * width];
    fill(&mut floats);
    floats
}

fn make(path: &Path, rows: usize, width: usize, parts: usize) -> Outcome<String> {
    let mut pair = GraphPair::default();
    for number in 0..rows {
        let graph = if number < rows / 2 { &mut pair.left } else { &mut pair.right };
        graph.entities.insert(format!("http://example.org/resource/{number}").into());
    }
    let (floats, ids, about) = (random(rows, width), (0..rows as u32).collect::<Vec<_>>(), Provenance::default());
    let image = NewVectors { name: "image", width, rows: &ids, values: &floats, provenance: &about };
    let parts = NonZeroUsize::new(parts);
    timed(|| {
        match parts {
            Some(parts) => store::write_parts(path, &pair, &[image], &Origin::default(), parts)?,
            None => store::write(path, &pair, &[image])?,
        }
        Ok(0.0)
    })
}

fn add(path: &Path, rows: usize, width: usize) -> Outcome<String> {
    let (floats, ids, about) = (random(rows, width), (0..rows as u32).collect::<Vec<_>>(), Provenance::default());
    let text = NewVectors { name: "text", width, rows: &ids, values: &floats, provenance: &about };
    timed(|| {
        store::put_vectors(path, &[text])?;
        Ok(0.0)
    })
}
