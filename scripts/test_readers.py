#!/usr/bin/env python3
"""Tests that readers.sh says what it skips: `python3 scripts/test_readers.py`."""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
import unittest
from pathlib import Path

SCRIPT = Path(__file__).resolve().parent / "readers.sh"


class Skipped(unittest.TestCase):
    def said(self, old: bool, *arguments: str) -> str:
        """What the script prints where Python is too old, or is not."""
        with tempfile.TemporaryDirectory() as folder:
            python = Path(folder, "python")
            python.write_text(f"#!/bin/sh\n[ \"$1\" != --version ] || echo Python 3.10.0\n[ \"$1\" != -c ] || exit {int(old)}\n")
            python.chmod(python.stat().st_mode | stat.S_IXUSR)
            environment = {**os.environ, "PYTHON": str(python)}
            return subprocess.run([SCRIPT, *arguments], env=environment, check=True, stdout=subprocess.PIPE).stdout.decode()

    def test_an_old_python_is_named_by_the_run_and_again_at_the_end(self):
        for arguments in [(), ("--skipped",)]:
            self.assertRegex(self.said(True, *arguments), "^skipped test-readers: .* is Python 3.10.0\n$")

    def test_nothing_is_said_to_be_skipped_otherwise(self):
        self.assertEqual(self.said(False, "--skipped"), "")


if __name__ == "__main__":
    unittest.main()
