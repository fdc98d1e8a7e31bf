"""Watches `humea train` through its first epochs, for the benchmarks of its time and memory. Used by bench_scaling.py and bench_start.py."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import List, NamedTuple

CHECKOUT = Path(__file__).resolve().parent.parent
HUMEA = Path(os.environ.get("HUMEA", Path(os.environ.get("CARGO_TARGET_DIR", CHECKOUT / "target"), "debug/humea"))).resolve()

if not HUMEA.exists():
    sys.exit(f"{HUMEA} is not there: `cargo build` makes it, HUMEA names another")


class Watched(NamedTuple):
    """The seconds of each epoch, those from the start of the program until the last of them was over, and the most MiB of memory."""

    epochs: List[float]
    all: float
    mebibytes: float


def watch(store: Path, run: Path, epochs: int, settings: List[str]) -> Watched:
    """Trains on a CPU into the folder `run`, which is emptied first, and kills the run after so many epochs: the ranking of all test
    links at its end is none of them."""
    shutil.rmtree(run, ignore_errors=True)
    command = [str(HUMEA), "-q", "train", "--store", str(store), "--epochs", str(epochs + 1), "--device", "cpu", "--run-dir", str(run), *settings]
    began = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    seconds: List[float] = []
    while len(seconds) < epochs:
        time.sleep(0.005)
        if child.poll() is not None:
            sys.exit(f"{' '.join(command)} ended with status {child.returncode}")
        seconds = written(run / "metrics.jsonl")
    over = time.monotonic()
    child.kill()
    usage = os.wait4(child.pid, 0)[2]
    return Watched(seconds[:epochs], over - began, usage.ru_maxrss / 1024)


def written(log: Path) -> List[float]:
    """The seconds of the epochs in a run's log, without a line that is being written."""
    text = log.read_text() if log.exists() else ""
    lines = map(json.loads, text[: text.rfind("\n") + 1].splitlines())
    return [line["seconds"] for line in lines if line["line"] == "epoch"]
