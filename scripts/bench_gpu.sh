#!/usr/bin/env bash
# The published runs at 20 and 80 % on a GPU: seconds, the GPU's memory, and where an epoch goes. Needs nvidia-smi, g++, CUPTI (CUDA_HOME),
# and LD_LIBRARY_PATH as the README's "On a GPU" has it. The store is FB15K-DB15K's, with images.
#
#   scripts/bench_gpu.sh STORE [SETTING…]         e.g. model.precision=tf32; HUMEA names another binary, EPOCHS fewer epochs than 1000
set -euo pipefail
store=$(realpath "$1")
cd "$(dirname "$0")/.."
humea=$(realpath "${HUMEA:-target/debug/humea}")
cuda=${CUDA_HOME:-/usr/local/cuda}
epochs=${EPOCHS:-1000}
settings=()
for setting in "${@:2}"; do settings+=(--set "$setting"); done
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

train() { "$humea" -q train --store "$store" --device "${DEVICE:-cuda}" "${settings[@]}" "$@" > "$folder/said" || { cat "$folder/said"; exit 1; }; }

# run PERCENT: the whole of a published run, and the most the GPU held meanwhile, its context included.
run() {
    local began=$SECONDS watcher most
    (while sleep 0.2; do nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits --id=0; done > "$folder/memory") &
    watcher=$!
    train --config "pipelines/paper/fb15k_db15k_$1.toml" --epochs "$epochs" --run-dir "$folder/$1"
    kill "$watcher"
    most=$(sort -n "$folder/memory" | tail -1)
    "${PYTHON:-python3}" - "$folder/$1/metrics.jsonl" "$1" "$((SECONDS - began))" "$most" << 'END'
import json, sys
epochs = [line["seconds"] for line in map(json.loads, open(sys.argv[1])) if line["line"] == "epoch"]
print(f"{sys.argv[2]} %: {len(epochs)} epochs in {sum(epochs):.1f} s, the whole command {sys.argv[3]} s, {sys.argv[4]} MiB of GPU memory")
END
}

nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader --id=0
run 20
run 80
g++ -std=c++17 -O2 -shared -fPIC -I"$cuda/include" -o "$folder/kernels.so" benches/gpu/kernels.cpp -L"$cuda/lib64" -L"$cuda/extras/CUPTI/lib64" \
    -I"$cuda/extras/CUPTI/include" -lcupti
# Watched, everything the host asks for takes it about half as long again: only what the GPU did is taken from this.
watched=(--config pipelines/paper/fb15k_db15k_20.toml --set train.curriculum.replay=off --set train.evaluate_every=1000)
export HUMEA_KERNELS="$folder/kernels.tsv"
CUDA_INJECTION64_PATH=$folder/kernels.so train "${watched[@]}" --epochs 12 --run-dir "$folder/watched"
"${PYTHON:-python3}" benches/gpu/profile.py "$HUMEA_KERNELS" "$folder/20/metrics.jsonl"
