"""Milliseconds of the products with sparse matrices that humea takes, each in the ways libtorch has, on a GPU: `products.py STORE`.

Of the store the graph is read; the bags are drawn at random with FB15K-DB15K's sizes and a few columns that nearly all rows have."""

from __future__ import annotations

import sys

import numpy as np
import pyarrow.parquet as parquet
import torch

RUNS, HEADS, WIDTH = 10, 2, 300
ROWS, COLUMNS, ENTRIES = 27793, 1000, 44
PIECES = [32, 64, 128, 256, 512]


def show(name: str, work) -> None:
    """The mean of ten runs after two."""
    work(), work()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(RUNS):
        work()
    end.record()
    torch.cuda.synchronize()
    print(f"| {name} | {start.elapsed_time(end) / RUNS:.3f} |", flush=True)


def compressed(rows: torch.Tensor, columns: torch.Tensor, size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    keys = torch.unique(rows * size[1] + columns)
    bounds = torch.arange(size[0] + 1, device="cuda")
    return torch.searchsorted(keys // size[1], bounds), keys % size[1]


def bags() -> None:
    chance = 1 / torch.arange(1, COLUMNS + 1, device="cuda") ** 0.8
    rows = torch.randint(ROWS, (ROWS * ENTRIES,), device="cuda")
    columns = torch.multinomial(chance, len(rows), replacement=True)
    sizes = {"a bag": (rows, columns, (ROWS, COLUMNS)), "its transpose": (columns, rows, (COLUMNS, ROWS))}
    for name, (lines, places, size) in sizes.items():
        offsets, at = compressed(lines, places, size)
        values = torch.ones(len(at), device="cuda")
        matrix = torch.sparse_csr_tensor(offsets, at, values, size)
        whole = matrix.to_dense()
        for width in (600, 1500):
            dense = torch.randn(size[1], width, device="cuda")
            bag = lambda: torch.embedding_bag(dense, at, offsets, False, 0, False, values, True)
            show(f"{name}, {width} wide: embedding bag", bag)
            show(f"{name}, {width} wide: sparse", lambda: matrix @ dense)
            show(f"{name}, {width} wide: dense", lambda: whole @ dense)


def graph(store: str) -> None:
    edges = parquet.read_table(store, columns=["edges"])["edges"].combine_chunks()
    starts, tails = edges.offsets.to_numpy(), edges.values.field("tail").to_numpy().astype(np.int64)
    count = len(starts) - 1
    heads = np.repeat(np.arange(count), np.diff(starts))
    different, own = heads != tails, np.arange(count)
    heads, tails = heads[different], tails[different]
    both = [torch.tensor(np.concatenate(of), device="cuda") for of in ((heads, tails, own), (tails, heads, own))]
    offsets, targets = compressed(*both, (count, count))
    degrees = offsets.diff().repeat_interleave(HEADS)
    print(f"{len(targets)} edges, at most {int(degrees.max())} of one entity")
    rows = torch.arange(count * HEADS, device="cuda").repeat_interleave(degrees)
    first = torch.cat([degrees.new_zeros(1), degrees.cumsum(0)])
    targets = targets[torch.arange(len(rows), device="cuda") - first[rows] + offsets[rows // HEADS]]
    values, x = torch.rand(len(rows), device="cuda"), torch.randn(count, WIDTH, device="cuda")
    left = torch.randn(count * HEADS, WIDTH, device="cuda")
    matrix = torch.sparse_csr_tensor(first, targets, values, (count * HEADS, count))
    show("both heads: embedding bag", lambda: torch.embedding_bag(x, targets, first, False, 0, False, values, True))
    show("both heads: sparse", lambda: matrix @ x)
    empty = torch.zeros_like(values)
    pattern = torch.sparse_csr_tensor(first, targets, empty, (count * HEADS, count))
    show("products of the edges' ends", lambda: torch.sparse.sampled_addmm(pattern, left, x.t()))
    for size in PIECES:
        pieces = (degrees + size - 1) // size
        of = torch.arange(count * HEADS, device="cuda").repeat_interleave(pieces)
        within = torch.arange(len(of), device="cuda") - (pieces.cumsum(0) - pieces)[of]
        bounds = torch.cat([first[of] + within * size, first[-1:]])
        cut = torch.sparse_csr_tensor(bounds, targets, empty, (len(of), count))
        show(f"in pieces of {size}", lambda: torch.sparse.sampled_addmm(cut, left.index_select(0, of), x.t()))


def main() -> None:
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}\n\n| product | ms |\n|---|---:|")
    bags()
    graph(sys.argv[1])


if __name__ == "__main__":
    main()
