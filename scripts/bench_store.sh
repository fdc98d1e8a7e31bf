#!/usr/bin/env bash
# The feature store against its peers: builds the measuring example, then runs scripts/bench_store.py in a Python that
# has numpy, safetensors, pyarrow, polars and duckdb (HUMEA_BENCH_PYTHON, or the readers' environment, or a new one).
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --quiet --workspace --no-default-features --example store_bench
python=${HUMEA_BENCH_PYTHON:-}
if [ -z "$python" ]; then
    venv=${HUMEA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/humea}/bench
    if [ ! -e "$venv/ready" ]; then
        "${PYTHON:-python3}" -m venv "$venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check -r tests/foreign/requirements.txt numpy safetensors
        touch "$venv/ready"
    fi
    python=$venv/bin/python
fi
exec "$python" scripts/bench_store.py "${CARGO_TARGET_DIR:-target}/debug/examples/store_bench" "$@"
