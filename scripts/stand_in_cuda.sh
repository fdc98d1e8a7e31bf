#!/usr/bin/env bash
# Runs the CUDA path without a GPU, on a stand-in that keeps the device's tensors in the host's memory and refuses to mix the two
# (tests/stand_in_cuda). Fails where a tensor is in the wrong place, where an epoch makes the host wait for the device more than
# once or asks for more operators than it did, and where an epoch's losses are not the CPU's. It says nothing about CUDA's kernels or their
# speed.
set -euo pipefail
cd "$(dirname "$0")/.."
humea=${CARGO_TARGET_DIR:-target}/debug/humea
libtorch=$(cd -P "${LIBTORCH:-.libtorch}" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

mkdir "$folder/lib"
g++ -std=c++20 -O1 -w -fPIC -shared -I"$libtorch/include" -I"$libtorch/include/torch/csrc/api/include" \
    -o "$folder/lib/libtorch_cuda.so" tests/stand_in_cuda/stand_in.cpp -L"$libtorch/lib" -ltorch_cpu -lc10 \
    -Wl,-rpath-link,"$libtorch/lib"

# A command of humea; what it says is kept for the one that fails.
quietly() { "$@" > "$folder/said" 2>&1 || { cat "$folder/said"; echo "stand-in: failed: $*"; exit 1; }; }
on_stand_in() { quietly env LD_LIBRARY_PATH="$folder/lib" HUMEA_STAND_IN=report "$humea" "$@"; }
# The same with marks, as a GPU has them: an epoch is still under way when the next one is asked for.
marked_on_stand_in() {
    quietly env LD_LIBRARY_PATH="$folder/lib" LD_PRELOAD="$folder/lib/libtorch_cuda.so" HUMEA_STAND_IN=report "$humea" "$@"
}
# The waits of the last command on the stand-in.
waits() { awk '/^stand-in: [0-9]+ waits/ { sum += $2 } END { print sum + 0 }' "$folder/said"; }

store=$folder/pair.parquet
quietly "$humea" prep synthetic --entities 200 --seed 7 --image-noise 0.3 --out "$store"
for plm in albert bert chatglm2 llama roberta t5 xlm-roberta; do
    for format in float32 f16; do
        place=$folder/$plm-$format
        mkdir "$place"
        cp "$store" "$place/pair.parquet"
        on_stand_in embed-text --store "$place/pair.parquet" --plm "tests/fixtures/plm/$plm" --dtype "$format" --device cuda
    done
done
on_stand_in embed-text --store "$store" --plm tests/fixtures/plm/bert --device cuda
# Neither evaluates nor saves but at the end, so that runs of different length differ in their epochs alone.
train=(train --config pipelines/demo.toml --store "$store" --set train.evaluate_every=1000 --set train.checkpoint_every=1000)

# The operators of the last command: asking for them is most of what a small epoch takes on a GPU.
operators() { awk '/^stand-in: [0-9]+ operators/ { sum += $2 } END { print sum + 0 }' "$folder/said"; }

# check NAME WAITS OPERATORS [SETTING…]: an epoch waits so often and asks for so many at most, and the first one finds the losses the
# CPU finds; so does the second one, and the gradients have been the CPU's, unless the fusion keeps some of its combinations: of those that
# are nearly alike, rounding decides.
check() {
    local name=$1 most=$2 allowed=$3 settings=() of=() asked=() compared=1 epochs
    shift 3
    for setting in "$@"; do settings+=(--set "$setting"); done
    for epochs in 2 3; do
        marked_on_stand_in "${train[@]}" "${settings[@]}" --device cuda --epochs "$epochs" --run-dir "$folder/$name-$epochs"
        of+=("$(waits)")
        asked+=("$(operators)")
    done
    local each=$((of[1] - of[0])) operators=$((asked[1] - asked[0]))
    echo "stand-in: $name: an epoch waits $each times and asks for $operators operators"
    [ "$operators" -le "$allowed" ] || { echo "stand-in: $name may ask for $allowed operators"; exit 1; }
    [ "$each" -le "$most" ] || { echo "stand-in: $name may wait $most times"; exit 1; }
    quietly "$humea" "${train[@]}" "${settings[@]}" --device cpu --epochs 2 --run-dir "$folder/$name-cpu"
    [[ " $* " != *model.fusion.top_k=0* ]] || compared=2
    "${PYTHON:-python3}" - "$compared" "$folder/$name-cpu" "$folder/$name-2" <<'END'
import json, sys
compared, *runs = sys.argv[1:]
lines = ([json.loads(line) for line in open(f"{run}/metrics.jsonl")] for run in runs)
epochs = list(zip(*([line["loss"] for line in run if line["line"] == "epoch"] for run in lines)))[: int(compared)]
assert len(epochs) == int(compared), f"{len(epochs)} epochs"
for epoch, (cpu, cuda) in enumerate(epochs, 1):
    apart = {name: abs(cpu[name] - cuda[name]) / (abs(cpu[name]) + 1e-3) for name in cpu}
    worst = max(apart, key=apart.get)
    if not apart[worst] < 1e-4:
        sys.exit(f"stand-in: {worst} of epoch {epoch} is {cuda[worst]}, on the CPU {cpu[worst]}")
END
}

check defaults 1 690
check bf16 1 970 'model.precision="bf16"' 'inputs.missing="mask"' 'loss.decoupled="all"'
check variants 1 690 loss.mask_duplicates=true 'model.ablated=["image"]' model.fusion.top_k=0 model.fusion.query_dim=8 loss.tau_contrastive=0.02
# Entities with weights of their own, in blocks of which the last is filled up.
check per_entity 1 730 model.fusion.per_entity=true model.fusion.top_k=0 train.batch_size=25
check tf32 1 690 'model.precision="tf32"' model.propagation.rounds=2 'train.curriculum.replay="corrected"' train.curriculum.epochs='[0]' train.curriculum.pairs='[5]'
# Among equal combinations the host chooses, once an epoch, and waits for their shares.
check as_published 2 690 'model.fusion.ties="as_published"' 'train.curriculum.replay="as_published"' train.curriculum.epochs='[0]' train.curriculum.pairs='[5]'

run=$folder/defaults-2
on_stand_in "${train[@]}" --device cuda --epochs 2 --run-dir "$run" --resume
on_stand_in "${train[@]}" --device cuda --epochs 3 --run-dir "$folder/pseudo" --set pseudo_labels.enabled=true --set pseudo_labels.start=2
on_stand_in evaluate --run "$run"
for decoding in mutual greedy one_to_one; do
    on_stand_in align --run "$run" --decoding "${decoding/_to_/-to-}" --out "$folder/$decoding.csv"
done

# A device that is full is one line of error and code 6, whatever was under way.
full() {
    local code=0
    env HUMEA_STAND_IN_LIMIT="$1" LD_LIBRARY_PATH="$folder/lib" "$humea" -q "${@:2}" > "$folder/said" 2>&1 || code=$?
    grep -q '^error: .*CUDA out of memory' "$folder/said" && [ "$code" = 6 ] && [ "$(grep -vc '^stand-in' "$folder/said")" = 1 ] \
        || { cat "$folder/said"; echo "stand-in: full: code $code, or more than a line: ${*:2}"; exit 1; }
}
full 100000 "${train[@]}" --device cuda --epochs 2 --run-dir "$folder/full"
full 100000 evaluate --run "$run"
rm -r "$folder/bert-float32/embed-text.cache"
full 10000 embed-text --store "$folder/bert-float32/pair.parquet" --plm tests/fixtures/plm/bert --device cuda
full 64 "${train[@]}" --device cuda --epochs 2 --run-dir "$folder/nothing"
echo "stand-in: everything was where it had to be"
