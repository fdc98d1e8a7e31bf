#!/usr/bin/env bash
# Builds the fuzz targets with a stable compiler and runs each, one after the other, from its seeds:
#   scripts/fuzz.sh SECONDS [TARGET …]
# What it finds stays in fuzz/artifacts/TARGET, what it learns in fuzz/corpus/TARGET.
# Needs bash 4 or newer (macOS ships 3.2).
[ "${BASH_VERSINFO[0]}" -ge 4 ] || { echo "fuzz.sh needs bash 4 or newer, and this is $BASH_VERSION: install one and put it first in PATH"; exit 1; }
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-600}
shift || true
mapfile -t all < <(sed -n 's/^name = "\([a-z_]*\)"$/\1/p' fuzz/Cargo.toml)
targets=("$@")
[ $# -gt 0 ] || targets=("${all[@]}")
export HUMEA_FUZZED="data_process ${all[*]}"
export CARGO_TARGET_DIR=${HUMEA_FUZZ_TARGET:-$PWD/fuzz/target}
RUSTC_WRAPPER=$PWD/fuzz/rustc.sh cargo build --manifest-path fuzz/Cargo.toml --bins
declare -A fixtures=(
    [pickle]="vectors/*.pkl" [numpy]="vectors/*.npy" [torch_file]="vectors/*.bin vectors/*.pt" [store_open]="store/*"
)
for target in "${targets[@]}"; do
    mkdir -p "fuzz/corpus/$target" "fuzz/artifacts/$target"
    # What the tests read makes good seeds.
    for kind in ${fixtures[$target]:-}; do cp -n tests/fixtures/$kind "fuzz/corpus/$target/"; done
    seeds=("fuzz/corpus/$target")
    [ ! -d "fuzz/seeds/$target" ] || seeds+=("fuzz/seeds/$target")
    echo "fuzz: $target for $seconds s"
    "$CARGO_TARGET_DIR/debug/$target" "${seeds[@]}" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=1024 -malloc_limit_mb=512 \
        -max_len=65536 -artifact_prefix="fuzz/artifacts/$target/" -print_final_stats=1 -verbosity=0
done
