"""embed-text beside sentence-transformers: the same model, the same distinct texts, on this CPU.

    cargo build --examples
    target/debug/examples/store_texts STORE > texts.txt
    python scripts/plm_parity.py MODEL_FOLDER texts.txt [--threads 1]

Needs sentence-transformers. Says the smallest cosine between the two sides' vectors over a cross-section of the texts, and
for it, for short and for long texts the speed of each side: tokenising and encoding, the model being loaded before. Both
sort by length and use the same number of threads. Runs alternate; the ratio is the median over the repetitions, each
divided by its neighbour, because ratios hold on a busy machine and times do not.
"""

import argparse
import os
import re
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy
import torch
from safetensors.numpy import load_file
from sentence_transformers import SentenceTransformer


def ours(arguments, texts, folder):
    """Vectors, seconds and CPU-seconds of humea."""
    source, target = folder / "texts.txt", folder / "vectors.safetensors"
    source.write_text("".join(text + "\n" for text in texts))
    command = [arguments.example, arguments.model, source, target]
    environment = {**os.environ, "OMP_NUM_THREADS": str(arguments.threads), "RAYON_NUM_THREADS": str(arguments.threads)}
    said = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    seconds, processor = re.search(r"in ([\d.]+) s \(([\d.]+) CPU-s\)", said).groups()
    return load_file(target)["vectors"], float(seconds), float(processor)


def theirs(arguments, texts, model):
    """The same of sentence-transformers."""
    start, processor = time.perf_counter(), time.process_time()
    vectors = model.encode(texts, batch_size=arguments.batch_size, show_progress_bar=False)
    return vectors, time.perf_counter() - start, time.process_time() - processor


def compare(name, texts, arguments, model, folder):
    """Runs both sides in turn, prints their medians, and returns the smallest cosine."""
    spent = {"humea": [], "sentence-transformers": []}
    for _ in range(arguments.runs):
        mine, *seconds = ours(arguments, texts, folder)
        spent["humea"].append(seconds)
        other, *seconds = theirs(arguments, texts, model)
        spent["sentence-transformers"].append(seconds)
    unit = lambda x: x / numpy.linalg.norm(x, axis=1, keepdims=True)
    cosine = (unit(mine.astype(numpy.float64)) * unit(other.astype(numpy.float64))).sum(1).min()
    print(f"{name}: {len(texts)} texts, smallest cosine {cosine:.8f}")
    for who, runs in spent.items():
        seconds, processor = (statistics.median(run[i] for run in runs) for i in (0, 1))
        print(f"  {who}: {len(texts) / seconds:.0f} texts/s; {seconds:.2f} s, {processor:.2f} CPU-s")
    ratios = [[b[i] / a[i] for a, b in zip(*spent.values())] for i in (0, 1)]
    of = lambda found: f"{statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})"
    print(f"  sentence-transformers / humea: clock {of(ratios[0])}, CPU {of(ratios[1])}", flush=True)
    return cosine


def joined(texts, length, tokens):
    """The texts put together in order, each time to about so many tokens: no text of MMKB is as long."""
    together, now, size = [], [], 0
    for text in texts:
        now, size = [*now, text], size + length[text] - 2
        if size >= tokens - 2:
            together, now, size = [*together, " ".join(now)], [], 0
    return together


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("texts", type=Path)
    parser.add_argument("--example", default="target/debug/examples/embed_lines")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--long", type=int, default=200)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = SentenceTransformer(arguments.model, device="cpu")
    print(f"torch {torch.__version__}, {arguments.threads} threads, {arguments.runs} runs")
    texts = [text for text in dict.fromkeys(arguments.texts.read_text().split("\n")) if text]
    length = {text: len(model.tokenizer(text)["input_ids"]) for text in texts}
    texts.sort(key=lambda text: (length[text], text))
    section = texts[:: max(1, len(texts) // arguments.count)][: arguments.count]
    kinds = {
        "a cross-section": section,
        "short texts (24 tokens and fewer)": [text for text in texts if length[text] <= 24][: arguments.count],
        "long texts (joined to about 200 tokens)": joined(section, length, 200)[: arguments.long],
    }
    with tempfile.TemporaryDirectory() as folder:
        found = [compare(name, some, arguments, model, Path(folder)) for name, some in kinds.items() if some]
    assert min(found) >= 0.99999, found


if __name__ == "__main__":
    main()
