"""GFLOP/s of MKL and of oneDNN in plain PyTorch, for products of rows `[n, k]` with a weight `[m, k]` that humea takes: `products.py`."""

from __future__ import annotations

import statistics
import time

import torch

# Experts of images and of texts, an estimator's first layer, both layers of MiniLM's feed-forward part.
SHAPES = [(5138, 4096, 1500), (5138, 384, 1500), (2048, 300, 150), (512, 384, 1536), (512, 1536, 384)]
RUNS = 15


def gigaflops(work, flops: int) -> float:
    """Of the median run, after one that allocates."""
    work()
    seconds = []
    for _ in range(RUNS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return flops / statistics.median(seconds) / 1e9


def main() -> None:
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads\n\n| *n* × *k* × *m* | MKL | oneDNN |\n|---|---:|---:|")
    for n, k, m in SHAPES:
        rows, weight = torch.randn(n, k), torch.randn(m, k)
        laid_out = rows.to_mkldnn()
        mkl = gigaflops(lambda: rows.mm(weight.t()), 2 * n * k * m)
        onednn = gigaflops(lambda: torch._C._nn.mkldnn_linear(laid_out, weight), 2 * n * k * m)
        print(f"| {n} × {k} × {m} | {mkl:.0f} | {onednn:.0f} |")


if __name__ == "__main__":
    main()
