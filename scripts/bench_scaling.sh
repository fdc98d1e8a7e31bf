#!/usr/bin/env bash
# Seconds and memory of an epoch against size: synthetic pairs of graphs of 5,000 to 150,000 entities a side, all six
# modalities, 20 % seeds, float32 on the CPU. `SIZES="5000 15000" scripts/bench_scaling.sh` measures fewer.
set -euo pipefail
cd "$(dirname "$0")/.."
humea=${CARGO_TARGET_DIR:-target}/debug/humea
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
echo "| entities, both graphs | seconds per epoch | peak MiB |"
echo "|---:|---:|---:|"
for side in ${SIZES:-5000 15000 50000 150000}; do
    store=$folder/world.parquet
    "$humea" -q prep synthetic --entities "$side" --seed 7 --force --out "$store" >"$folder/log"
    "$humea" -q embed-text --store "$store" --plm hashing --device cpu >"$folder/log"
    # The first epoch gathers and allocates: the median of the others is reported. The run is killed after them, because the
    # ranking of all test links at its end is quadratic.
    python3 - "$humea" "$store" "$folder/run-$side" "$((2 * side))" <<'PYTHON'
import json, os, pathlib, statistics, subprocess, sys, time
EPOCHS = 4
humea, store, run, entities = sys.argv[1:]
command = [humea, "-q", "train", "--store", store, "--epochs", str(EPOCHS + 1), "--device", "cpu", "--run-dir", run,
           "--set", "train.protocol=last", "--set", "train.evaluate_every=100"]
child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
log = pathlib.Path(run, "metrics.jsonl")
seconds = []
while len(seconds) < EPOCHS:
    time.sleep(0.2)
    if child.poll() is not None:
        raise SystemExit(f"{' '.join(command)} ended with status {child.returncode}")
    text = log.read_text() if log.exists() else ""
    lines = text[: text.rfind("\n") + 1].splitlines()  # without a line that is being written
    seconds = [line["seconds"] for line in map(json.loads, lines) if line["line"] == "epoch"]
child.kill()
_pid, _status, usage = os.wait4(child.pid, 0)
print(f"| {int(entities):,} | {statistics.median(seconds[1:]):.2f} | {usage.ru_maxrss / 1024:.0f} |", flush=True)
PYTHON
done
