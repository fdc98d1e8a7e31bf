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
    # The last of the epochs is reported: the first gathers and allocates.
    python3 - "$humea" "$store" "$folder/run" "$((2 * side))" <<'PYTHON'
import json, os, pathlib, statistics, subprocess, sys
humea, store, run, entities = sys.argv[1:]
command = [humea, "-q", "train", "--store", store, "--epochs", "4", "--device", "cpu", "--overwrite", "--run-dir", run,
           "--set", "train.protocol=last", "--set", "train.evaluate_every=100"]
child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
_pid, status, usage = os.wait4(child.pid, 0)
if status:
    raise SystemExit(f"{' '.join(command)} ended with status {status}")
lines = [json.loads(line) for line in pathlib.Path(run, "metrics.jsonl").read_text().splitlines()]
seconds = [line["seconds"] for line in lines if line["line"] == "epoch"][1:]
print(f"| {int(entities):,} | {statistics.median(seconds):.2f} | {usage.ru_maxrss / 1024:.0f} |", flush=True)
PYTHON
done
