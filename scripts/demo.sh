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
say prep synthetic --entities 1500 --seed 1 --out "$folder/pair.parquet"
say embed-text --store "$folder/pair.parquet" --plm hashing
say train --store "$folder/pair.parquet" --config pipelines/demo.toml --rate 0.3 --device cpu --run-dir "$folder/run"
say evaluate --run "$folder/run" | tee "$folder/evaluation.txt"
say align --run "$folder/run" --out "$folder/pairs.parquet"
say inspect "$folder/pair.parquet"
