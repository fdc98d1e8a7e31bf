#!/usr/bin/env python3
"""The hot parts of an epoch beside their stored baseline: `bench_hot.py CRITERION_FOLDER [--store]`.

Times are in units of one product of 1024 × 1024 matrices measured in the same run, so that a slower machine is no regression. Ends with
status 1 if a part takes more than LIMIT times its baseline; `--store` writes the figures as the new baseline instead.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

BASELINE = Path(__file__).resolve().parent.parent / "benches" / "hot_parts.json"
LIMIT = 1.5


def measured(folder: Path) -> dict[str, float]:
    """Median of every benchmark of criterion's last run, in units of the reference."""
    nanoseconds = {}
    for estimates in folder.glob("*/new/estimates.json"):
        name = json.loads(estimates.with_name("benchmark.json").read_text())["full_id"]
        nanoseconds[name] = json.loads(estimates.read_text())["median"]["point_estimate"]
    if "reference" not in nanoseconds:
        sys.exit(f"{folder} holds no run of the benchmark `reference`; run: cargo bench --profile dev --bench hot_parts")
    unit = nanoseconds.pop("reference")
    return {name: round(time / unit, 3) for name, time in sorted(nanoseconds.items())}


def compare(now: dict[str, float], before: dict[str, float]) -> tuple[list[str], bool]:
    """A table, and whether any part is slower than it may be or is measured on one side only."""
    lines, bad = ["| part | baseline | now | ratio |", "|---|---:|---:|---:|"], False
    for name in sorted(now.keys() | before.keys()):
        if name not in now or name not in before:
            lines.append(f"| {name} | {before.get(name, 'none')} | {now.get(name, 'not measured')} | – |")
            bad = True
            continue
        ratio = now[name] / before[name]
        lines.append(f"| {name} | {before[name]} | {now[name]} | {ratio:.2f}{' SLOWER' if ratio > LIMIT else ''} |")
        bad |= ratio > LIMIT
    return lines, bad


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=Path, help="target/criterion")
    arguments.add_argument("--store", action="store_true", help="write the figures as the new baseline")
    given = arguments.parse_args()
    now = measured(given.folder)
    if given.store:
        BASELINE.write_text(json.dumps(now, indent=2, ensure_ascii=False) + "\n")
        return
    lines, bad = compare(now, json.loads(BASELINE.read_text()))
    print("\n".join(lines))
    sys.exit(bad)


if __name__ == "__main__":
    main()
