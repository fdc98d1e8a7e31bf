"""The feature store against memcpy, NumPy, safetensors, pyarrow, polars, DuckDB and pickle: `make bench-store`.

    bench_store.py EXAMPLE [--rows 27793] [--repeat 5] [--write docs/benchmarks.md]

Every measurement is a process of its own and the least of several; CPU seconds are what to trust on a busy machine.
`cold` drops the file from the page cache first. The table goes to standard output, and with `--write` between the
markers in a page.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PEERS = {
    "np.load": "import numpy; prepare=lambda: None; read=lambda: numpy.load(F + '/image.npy')",
    "np.load, mapped": "import numpy; prepare=lambda: None; read=lambda: numpy.load(F + '/image.npy', mmap_mode='r')",
    "safetensors": "from safetensors.numpy import load_file; read=lambda: load_file(F + '/image.safetensors')['image']",
    "pyarrow, our file": "import pyarrow.parquet as q; read=lambda: q.read_table(F + '/store.parquet', columns=['image'])['image']"
                         ".combine_chunks().flatten().to_numpy(zero_copy_only=False)",
    "polars, our file": "import polars; read=lambda: polars.read_parquet(F + '/store.parquet', columns=['image'])['image'].to_numpy()",
    "DuckDB, our file": "import duckdb; read=lambda: duckdb.sql(f\"select image from '{F}/store.parquet'\").to_arrow_table()",
    "pickle of arrays": "import pickle, numpy; read=lambda: numpy.array(list(pickle.load(open(F + '/image.pickle', 'rb')).values()))",
}
TIMER = """
import time, json, resource, sys
F = sys.argv[1]
{setup}
base = resource.getrusage(resource.RUSAGE_SELF)
wall = time.perf_counter()
held = read()
wall = time.perf_counter() - wall
end = resource.getrusage(resource.RUSAGE_SELF)
cpu = end.ru_utime + end.ru_stime - base.ru_utime - base.ru_stime
anon = [int(l.split()[1]) for l in open('/proc/self/status') if l.startswith('RssAnon')][0] / 1024
print(json.dumps(dict(wall=wall, cpu=cpu, anonymous_mb=anon)))
"""


def drop_cache(folder: Path) -> None:
    """Drops the files of a folder from the page cache."""
    for file in folder.rglob("*"):
        if file.is_file():
            with open(file, "rb") as handle:
                os.fsync(handle.fileno())
                os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure(command: list[str], repeat: int, cold: Path | None = None) -> dict:
    runs = []
    for _ in range(repeat):
        if cold:
            drop_cache(cold)
        # The last line: DuckDB may draw a progress bar before it.
        answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        runs.append(json.loads(answer.strip().splitlines()[-1]))
    return {key: min(run[key] for run in runs) for key in ("wall", "cpu", "anonymous_mb")}


def peer(name: str, folder: Path, repeat: int, cold: bool = False) -> dict:
    code = TIMER.format(setup=PEERS[name])
    return measure([sys.executable, "-c", code, str(folder)], repeat, folder if cold else None)


def peer_files(folder: Path) -> None:
    """The same vectors in the peers' own formats."""
    import pickle

    import numpy
    import pyarrow.parquet
    from safetensors.numpy import save_file

    column = pyarrow.parquet.read_table(folder / "store.parquet", columns=["image"])["image"].combine_chunks()
    matrix = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, column.type.list_size)
    numpy.save(folder / "image.npy", matrix)
    save_file({"image": matrix}, folder / "image.safetensors")
    with open(folder / "image.pickle", "wb") as file:
        pickle.dump(dict(enumerate(matrix)), file, protocol=4)


def row(name: str, warm: dict, memcpy: float, cold: dict | None = None) -> str:
    cold_wall = f"{cold['wall'] * 1e3:.1f}" if cold else "–"
    return (f"| {name} | {warm['wall'] * 1e3:.2f} | {warm['cpu'] * 1e3:.2f} | {warm['cpu'] / memcpy:.3f} "
            f"| {warm['anonymous_mb']:.0f} | {cold_wall} |")


def one_width(example: str, rows: int, width: int, repeat: int, lines: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, store = Path(name), f"{name}/store.parquet"
        subprocess.run([example, "make", store, str(rows), str(width), "0"], check=True, stdout=subprocess.DEVNULL)
        peer_files(folder)
        size = [str(rows), str(width)]
        memcpy = measure([example, "memcpy", *size], repeat)
        touched = measure([example, "memtouch", *size], repeat)
        lines += ["", f"{rows:,} × {width} float32 ({rows * width * 4 / 1e6:.0f} MB):", "",
                  "| | wall ms | CPU ms | × memcpy | anonymous MB | cold, wall ms |", "|---|---|---|---|---|---|",
                  row("memcpy into fresh memory", memcpy, memcpy["cpu"])]
        ours = {}
        for action, label in {"first": "**humea: open to first float**", "touch": "**humea: open, touch every float**",
                              "copy": "**humea: open, copy into fresh memory**"}.items():
            ours[action] = measure([example, action, store], repeat)
            cold = measure([example, action, store], 3, folder)
            lines.append(row(label, ours[action], memcpy["cpu"], cold))
        lines.append(row("touch every float of anonymous memory", touched, memcpy["cpu"]))
        for name in PEERS:
            lines.append(row(name, peer(name, folder, repeat), memcpy["cpu"], peer(name, folder, 2, cold=True)))
        targets(lines, ours, memcpy, touched)
        if width > 1000:
            splice(example, store, rows, repeat, lines)


def targets(lines: list[str], ours: dict, memcpy: dict, touched: dict) -> None:
    verdict = lambda fact, limit: f"{fact:.2f} (wanted ≤ {limit})"
    lines += ["", f"First float after {verdict(ours['first']['wall'] * 1e3, 5)} ms; touching all "
              f"{verdict(ours['touch']['cpu'] / touched['cpu'], 1.3)} × anonymous memory by CPU; copying "
              f"{verdict(ours['copy']['cpu'] / memcpy['cpu'], 1.2)} × memcpy by CPU; resident beyond the page cache "
              f"{verdict(ours['touch']['anonymous_mb'], 20)} MB."]


def splice(example: str, store: str, rows: int, repeat: int, lines: list[str]) -> None:
    """Adding a 768-wide column against copying the file to a new name, in turns."""
    work = f"{store}.work"
    adding, copying = [], []
    for _ in range(repeat):
        Path(work).unlink(missing_ok=True)
        start = time.perf_counter()
        subprocess.run(["cp", store, work], check=True)
        with open(work, "rb") as file:
            os.fsync(file.fileno())
        copying.append(time.perf_counter() - start)
        adding.append(json.loads(subprocess.run([example, "add", work, str(rows), "768"], capture_output=True, text=True,
                                                check=True).stdout))
    ratio = statistics.median(run["wall"] / copy for run, copy in zip(adding, copying))
    wall, cpu = min(run["wall"] for run in adding), min(run["cpu"] for run in adding)
    lines += ["", f"Adding a 768-wide column to the {os.path.getsize(store) / 1e6:.0f} MB store: {wall:.2f} s wall, {cpu:.2f} s CPU; "
              f"`cp` and fsync of the file {min(copying):.2f} s (least of {repeat} each); {ratio:.2f} × as long in the median pair "
              f"(least {min(run['wall'] / copy for run, copy in zip(adding, copying)):.2f}; wanted ≤ 2)."]


def many_parts(example: str, rows: int, repeat: int, lines: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        store = f"{name}/store.parquet"
        subprocess.run([example, "make", store, str(rows), "64", "16"], check=True, stdout=subprocess.DEVNULL)
        opened, cold = measure([example, "open", store], repeat), measure([example, "open", store], 3, Path(name))
        lines += ["", f"{rows:,} rows × 64 in 16 parts open in {opened['wall'] * 1e3:.1f} ms warm, {cold['wall'] * 1e3:.1f} ms cold "
                  "(wanted ≤ 100)."]


def machine() -> str:
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    return (f"Machine: {os.cpu_count()} × {model.group(1) if model else platform.machine()}, load average {load} during the run; "
            "dev profile (the store is compiled with opt-level 2). Least of several runs; trust the CPU columns.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("example")
    parser.add_argument("--rows", type=int, default=27_793)
    parser.add_argument("--many", type=int, default=10_000_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--write", type=Path)
    args = parser.parse_args()
    if shutil.disk_usage(tempfile.gettempdir()).free < 8 << 30:
        sys.exit(f"needs 8 GB free in {tempfile.gettempdir()}; set TMPDIR")
    lines = [machine()]
    for width in (4096, 768):
        one_width(args.example, args.rows, width, args.repeat, lines)
    if args.many:
        many_parts(args.example, args.many, args.repeat, lines)
    text = "\n".join(lines)
    print(text)
    if args.write:
        page = args.write.read_text()
        marks = "<!-- store: begin -->", "<!-- store: end -->"
        before, _, rest = page.partition(marks[0])
        args.write.write_text(f"{before}{marks[0]}\n{text}\n{marks[1]}{rest.partition(marks[1])[2]}")


if __name__ == "__main__":
    main()
