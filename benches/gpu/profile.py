"""Where a GPU's epoch goes: `profile.py KERNELS METRICS`, what `kernels.cpp` wrote down of a run of a few epochs, and the
`metrics.jsonl` of a run of the same configuration that was not watched. Printed as a Markdown table."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections import defaultdict
from typing import NamedTuple

# The first kind whose word is in a kernel's name.
KINDS = {
    "sparse products": ["cusparse"],
    "dense products": ["gemm", "gemv", "splitK", "cutlass"],
    "sums": ["reduce", "Reduce", "dot_kernel"],
    "gathers": ["gather", "index", "Index", "scatter"],
}
# Epochs that are looked at.
FIRST, LAST = 4, 9
# An epoch's losses come to the host in one copy of 2·M + 4 floats, M being 2 to 6 modalities.
LOSSES = [4 * (2 * modalities + 4) for modalities in range(2, 7)]


class Record(NamedTuple):
    what: str
    start: int
    end: int
    bytes: int
    name: str


def read(path: str) -> list[Record]:
    with open(path) as lines:
        fields = [line.rstrip("\n").split("\t") for line in lines]
    records = [Record(what, int(start), int(end), int(size), name) for what, start, end, size, name in fields]
    return sorted((record for record in records if record.start > 0), key=lambda record: record.start)


def ends(records: list[Record]) -> list[int]:
    """When each epoch's losses had come to the host."""
    copies = [r for r in records if r.what == "copy" and r.name == "to host" and r.bytes in LOSSES]
    size = statistics.mode(copy.bytes for copy in copies)
    return [copy.end for copy in copies if copy.bytes == size]


def kind(record: Record, names: dict[str, str]) -> str:
    if record.what != "kernel":
        return "copies and fills"
    name = names[record.name]
    return next((kind for kind, words in KINDS.items() if any(word in name for word in words)), "element by element")


def plain(names: list[str]) -> dict[str, str]:
    shown = subprocess.run(["c++filt"], input="\n".join(names), text=True, capture_output=True, check=True).stdout
    return dict(zip(names, shown.splitlines()))


def main() -> None:
    records = read(sys.argv[1])
    with open(sys.argv[2]) as lines:
        epochs = [line["seconds"] * 1e3 for line in map(json.loads, lines) if line["line"] == "epoch"]
    over = ends(records)
    count = len(over[FIRST:LAST]) - 1
    if count < 1:
        sys.exit(f"{sys.argv[1]}: {len(over)} epochs; watch a run of {LAST + 1} or more without evaluation")
    own = [r for r in records if over[FIRST] < r.start <= over[FIRST + count] and r.what != "wait"]
    names = plain(sorted({record.name for record in own if record.what == "kernel"}))
    spent: dict[str, list[float]] = defaultdict(lambda: [0, 0])
    for record in own:
        of = spent[kind(record, names)]
        of[0] += (record.end - record.start) / 1e6 / count
        of[1] += 1 / count
    print("| an epoch | times | ms |\n|---|---:|---:|")
    for name, (milliseconds, times) in sorted(spent.items(), key=lambda item: -item[1][0]):
        print(f"| {name} | {times:.0f} | {milliseconds:.2f} |")
    busy, whole = sum(of[0] for of in spent.values()), statistics.mean(epochs[-100:])
    print(f"| all of it | {sum(of[1] for of in spent.values()):.0f} | {busy:.2f} |")
    print(f"| the epoch, not watched | | {whole:.2f} |\n| of which the GPU waits for the host | | {whole - busy:.2f} |")


if __name__ == "__main__":
    main()
