#!/usr/bin/env bash
# Seconds from the start of `humea train` to its first epoch, and those of them in which libtorch is loaded, which `humea --version` does
# as well. STORE names the store (default data/fb_db.parquet), what follows is given to `train`.
set -euo pipefail
cd "$(dirname "$0")/.."
store=${STORE:-data/fb_db.parquet}
[ -e "$store" ] || { echo "no store $store: make one with humea prep mmkb, or set STORE"; exit 1; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 - "${CARGO_TARGET_DIR:-target}/debug/humea" "$store" "$folder/run" "$@" <<'PYTHON'
import json, pathlib, shutil, statistics, subprocess, sys, time
humea, store, run, *settings = sys.argv[1:]
log = pathlib.Path(run, "metrics.jsonl")

def load():
    began = time.time()
    subprocess.run([humea, "--version"], check=True, stdout=subprocess.DEVNULL)
    return time.time() - began

def start():
    shutil.rmtree(run, ignore_errors=True)
    began = time.time()
    command = [humea, "-q", "train", "--store", store, "--epochs", "2", "--device", "cpu", "--run-dir", run, *settings]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while not (log.exists() and "\n" in log.read_text()):
        if child.poll() is not None:
            raise SystemExit(f"{' '.join(command)} ended with status {child.returncode}")
        time.sleep(0.005)
    over = time.time()
    child.kill()
    child.wait()
    return over - began - json.loads(log.read_text().splitlines()[0])["seconds"]

load(), start()  # so that files are in memory
loads, starts = ([measure() for _ in range(5)] for measure in (load, start))
for name, seconds in ("loading libtorch", loads), ("to the first epoch", starts):
    print(f"{name}: {min(seconds):.2f} to {max(seconds):.2f} s, median {statistics.median(seconds):.2f} s")
PYTHON
