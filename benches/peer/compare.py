"""Trains the same store with `humea` and with the peer and prints both: `compare.py HUMEA STORE --epochs 5`."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path


def peak_of(command: list[str], output=subprocess.DEVNULL) -> tuple[float, str]:
    """Runs a command and returns its peak memory in MiB and what it printed."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, text=True)
    printed = child.stdout.read() if child.stdout else ""
    _pid, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} ended with status {status}")
    return usage.ru_maxrss / 1024, printed


def ours(humea: str, given) -> tuple[float, float]:
    """Median seconds per epoch and peak MiB of `humea train`, the published method without evaluation in between."""
    with tempfile.TemporaryDirectory() as folder:
        run = f"{folder}/run"
        peak, _printed = peak_of([humea, "--quiet", "train", "--store", given.store, "--rate", str(given.rate), "--device", "cpu",
                                  "--epochs", str(given.epochs), "--set", f"train.evaluate_every={given.epochs}",
                                  "--set", "train.protocol=last", "--set", "loss.decoupled=all", "--run-dir", run]
                                 + [word for pair in given.set for word in ("--set", pair)])
        lines = [json.loads(line) for line in Path(run, "metrics.jsonl").read_text().splitlines()]
    return statistics.median(line["seconds"] for line in lines if line["line"] == "epoch"), peak


def theirs(given) -> tuple[float, float]:
    """The same of the peer."""
    script = Path(__file__).with_name("train.py")
    peak, printed = peak_of([sys.executable, str(script), given.store, "--rate", str(given.rate), "--epochs", str(given.epochs)],
                            subprocess.PIPE)
    return json.loads(printed)["seconds_per_epoch"], peak


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("humea")
    arguments.add_argument("store")
    arguments.add_argument("--epochs", type=int, default=5)
    arguments.add_argument("--rate", type=float, default=0.2)
    arguments.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="an option of humea's, such as model.precision=bf16")
    given = arguments.parse_args()
    mine, peer = ours(given.humea, given), theirs(given)
    print("| | seconds per epoch | peak MiB |\n|---|---:|---:|")
    for name, (seconds, peak) in (("humea", mine), ("PyTorch peer", peer)):
        print(f"| {name} | {seconds:.3f} | {peak:.0f} |")
    print(f"| peer ÷ humea | {peer[0] / mine[0]:.1f} | {peer[1] / mine[1]:.1f} |")


if __name__ == "__main__":
    main()
