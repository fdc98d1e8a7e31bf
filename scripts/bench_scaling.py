#!/usr/bin/env python3
"""Seconds and memory of an epoch against size: synthetic pairs of graphs of 5,000 to 150,000 entities a side, all six modalities, 20 %
seeds, float32 on the CPU, three runs of each size in turns. `bench_scaling.py [ENTITIES_A_SIDE …]` measures others."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import List

from first_epochs import HUMEA, Watched, watch

ROUNDS = 3
# Epochs of a run: 4, and more of small graphs, as many as see this number of entities altogether.
LEAST, ENTITIES = 4, 200_000


def humea(*arguments: object) -> None:
    subprocess.run([HUMEA, "-q", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def world(store: Path, side: int) -> None:
    humea("prep", "synthetic", "--entities", side, "--seed", 7, "--force", "--out", store)
    humea("embed-text", "--store", store, "--plm", "hashing", "--device", "cpu")


def measure(store: Path, run: Path, side: int) -> Watched:
    epochs = max(LEAST, ENTITIES // (2 * side))
    return watch(store, run, epochs, ["--set", "train.protocol=last", "--set", "train.evaluate_every=1000"])


def row(side: int, runs: List[Watched]) -> str:
    # The first epoch gathers and allocates: the median of the others counts.
    seconds = [statistics.median(run.epochs[1:]) for run in runs]
    each = ", ".join(f"{one:.3g}" for one in seconds)
    return f"| {2 * side:,} | {statistics.median(seconds):.3g} | {each} | {max(run.mebibytes for run in runs):.0f} |"


def main() -> None:
    sides = [int(side) for side in sys.argv[1:]] or [5_000, 15_000, 50_000, 150_000]
    with tempfile.TemporaryDirectory() as folder:
        stores = {side: Path(folder, f"{side}.parquet") for side in sides}
        for side, store in stores.items():
            world(store, side)
        rounds = [[measure(store, Path(folder, "run"), side) for side, store in stores.items()] for _ in range(ROUNDS)]
    print(f"| entities, both graphs | seconds per epoch, median of {ROUNDS} runs | each | peak MiB |\n|---:|---:|---:|---:|")
    for side, runs in zip(sides, zip(*rounds)):
        print(row(side, list(runs)))


if __name__ == "__main__":
    main()
