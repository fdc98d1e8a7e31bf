#!/usr/bin/env python3
"""Tests of bench_hot.py: `python3 scripts/test_bench_hot.py`."""

from __future__ import annotations

import json
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import bench_hot  # noqa: E402  (the folder of this file must be on the path first)


def write(folder: Path, name: str, nanoseconds: float) -> None:
    place = folder / name.replace(" ", "_") / "new"
    place.mkdir(parents=True)
    (place / "benchmark.json").write_text(json.dumps({"full_id": name}))
    (place / "estimates.json").write_text(json.dumps({"median": {"point_estimate": nanoseconds}}))


class HotParts(unittest.TestCase):
    def test_times_are_in_units_of_the_reference(self):
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), "reference", 200.0)
            write(Path(folder), "graph encoder", 500.0)
            self.assertEqual(bench_hot.measured(Path(folder)), {"graph encoder": 2.5})

    def test_a_run_without_the_reference_is_refused(self):
        with tempfile.TemporaryDirectory() as folder, self.assertRaises(SystemExit):
            bench_hot.measured(Path(folder))

    def test_a_slower_part_and_one_without_a_counterpart_fail(self):
        self.assertFalse(bench_hot.compare({"a": 1.4}, {"a": 1.0})[1])
        self.assertTrue(bench_hot.compare({"a": 1.6}, {"a": 1.0})[1])
        self.assertTrue(bench_hot.compare({"a": 1.0, "b": 1.0}, {"a": 1.0})[1])
        self.assertTrue(bench_hot.compare({"a": 1.0}, {"a": 1.0, "b": 1.0})[1])


if __name__ == "__main__":
    unittest.main()
