"""embed-text beside sentence-transformers: the same model, the same distinct texts, on this CPU.

    cargo build --examples
    target/debug/examples/store_texts STORE > texts.txt
    python scripts/plm_parity.py MODEL_FOLDER texts.txt

Needs sentence-transformers. Says the smallest cosine between the two sides' vectors, and the texts per second of each
(encoding only; the model is loaded before), for all texts, and for short and long ones apart; both sides sort by length
and use the same number of threads. Runs alternate, the best of three counts: ratios hold on a busy machine, times do not.
"""

import argparse
import re
import resource
import subprocess
import tempfile
import time
from pathlib import Path

import numpy
import torch
from safetensors.numpy import load_file
from sentence_transformers import SentenceTransformer


def ours(example, model, texts, folder):
    source, target = folder / "texts.txt", folder / "vectors.safetensors"
    source.write_text("".join(text + "\n" for text in texts))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = subprocess.run([example, model, source, target], check=True, capture_output=True, text=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime - before.ru_utime
    return load_file(target)["vectors"], float(re.search(r"in ([\d.]+) s", said)[1]), processor


def theirs(model, texts, batch_size):
    start, processor = time.perf_counter(), time.process_time()
    vectors = model.encode(texts, batch_size=batch_size, show_progress_bar=False)
    return vectors, time.perf_counter() - start, time.process_time() - processor


def compare(name, texts, arguments, model, folder):
    best = {"humea": (1e9, 1e9), "sentence-transformers": (1e9, 1e9)}
    for _ in range(arguments.runs):
        mine, *spent = ours(arguments.example, arguments.model, texts, folder)
        best["humea"] = min(best["humea"], tuple(spent))
        other, *spent = theirs(model, texts, arguments.batch_size)
        best["sentence-transformers"] = min(best["sentence-transformers"], tuple(spent))
    unit = lambda x: x / numpy.linalg.norm(x, axis=1, keepdims=True)
    cosine = (unit(mine.astype(numpy.float64)) * unit(other.astype(numpy.float64))).sum(1).min()
    print(f"{name}: {len(texts)} texts, smallest cosine {cosine:.7f}")
    for who, (seconds, processor) in best.items():
        print(f"  {who}: {len(texts) / seconds:.0f} texts/s ({seconds:.2f} s, {processor:.2f} CPU-s)")
    print(f"  ratio {best['sentence-transformers'][0] / best['humea'][0]:.2f}")
    return cosine


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("texts", type=Path)
    parser.add_argument("--example", default="target/debug/examples/embed_lines")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--count", type=int, default=2000)
    arguments = parser.parse_args()
    model = SentenceTransformer(arguments.model, device="cpu")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    texts = [text for text in dict.fromkeys(arguments.texts.read_text().split("\n")) if text]
    length = {text: len(model.tokenizer(text)["input_ids"]) for text in texts}
    texts.sort(key=length.get)
    every = max(1, len(texts) // arguments.count)
    short = [text for text in texts if length[text] <= 24][: arguments.count]
    long = [text for text in texts if 150 <= length[text] <= 250][:200]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        smallest = compare("a cross-section", texts[::every][: arguments.count], arguments, model, folder)
        if short:
            compare("short texts (24 tokens and fewer)", short, arguments, model, folder)
        if long:
            compare("long texts (150 to 250 tokens)", long, arguments, model, folder)
    assert smallest >= 0.99999, smallest


if __name__ == "__main__":
    main()
