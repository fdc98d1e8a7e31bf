#!/usr/bin/env bash
# The main job on a generated pair of graphs, offline: store → texts → training → evaluation → predicted links.
# Ends with H@1 and fails where it is below 0.9. The folder is kept: runs/demo.
set -euo pipefail
cd "$(dirname "$0")/.."
humea=${CARGO_TARGET_DIR:-target}/debug/humea
folder=runs/demo
say() { printf '\n$ humea %s\n' "$*"; "$humea" "$@"; }

rm -rf "$folder"
mkdir -p "$folder"
say prep synthetic --entities 1000 --seed 7 --image-noise 0.3 --out "$folder/pair.parquet"
say embed-text --store "$folder/pair.parquet" --plm hashing
say inspect "$folder/pair.parquet"
say train --config pipelines/demo.toml --store "$folder/pair.parquet" --run-dir "$folder/run"
say evaluate --run "$folder/run"
say align --run "$folder/run" --out "$folder/pairs.parquet"

"$humea" evaluate --run "$folder/run" --json | "${PYTHON:-python3}" -c '
import json, sys
run = json.load(sys.stdin)
test = run[run["counts"]]["test"]
hits = sum(test[way]["hits_at_1"] for way in ("left_to_right", "right_to_left")) / 2
print(f"\ndemo: H@1 = {hits:.3f} on links never seen in training (it must reach 0.9)")
sys.exit(hits < 0.9)'
