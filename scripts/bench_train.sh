#!/usr/bin/env bash
# An epoch of `humea train` beside the PyTorch peer, on 6,900 entities of a store (default data/fb_db.parquet).
# Needs a Python with torch 2.11, numpy and pyarrow: PEER_PYTHON, or python3.
set -euo pipefail
cd "$(dirname "$0")/.."
store=${STORE:-data/fb_db.parquet}
python=${PEER_PYTHON:-python3}
[ -e "$store" ] || { echo "no store $store: make one with humea prep mmkb, or set STORE"; exit 1; }
"$python" -c 'import numpy, pyarrow, torch' 2>/dev/null || { echo "$python lacks torch, numpy or pyarrow: set PEER_PYTHON to one that has them"; exit 1; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
humea=${CARGO_TARGET_DIR:-target}/debug/humea
"$python" benches/peer/subgraph.py "$store" "$folder/subgraph.parquet" --links 3450
# As humea writes stores, so that it maps the vectors; both sides read this one.
"$humea" --quiet store convert "$folder/subgraph.parquet" --out "$folder/store.parquet"
"$python" benches/peer/compare.py "$humea" "$folder/store.parquet" "$@"
