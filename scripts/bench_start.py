#!/usr/bin/env python3
"""Seconds from the start of `humea train` to its first epoch, and those of them in which libtorch is loaded, which `humea --version` does
as well: `bench_start.py STORE [--set KEY=VALUE …]`; what follows the store is given to `train`."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from first_epochs import HUMEA, watch


def load() -> float:
    began = time.monotonic()
    subprocess.run([HUMEA, "--version"], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def main() -> None:
    if len(sys.argv) < 2 or not Path(sys.argv[1]).exists():
        sys.exit(f"{__doc__}\nno store there: make one with `humea prep mmkb`")
    with tempfile.TemporaryDirectory() as folder:

        def start() -> float:
            watched = watch(Path(sys.argv[1]), Path(folder, "run"), 1, sys.argv[2:])
            return watched.all - watched.epochs[0]

        load(), start()  # so that files are in memory
        for name, measure in ("loading libtorch", load), ("to the first epoch", start):
            seconds = [measure() for _ in range(5)]
            print(f"{name}: {min(seconds):.2f} to {max(seconds):.2f} s, median {statistics.median(seconds):.2f} s")


if __name__ == "__main__":
    main()
