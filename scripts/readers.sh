#!/usr/bin/env bash
# Other engines read a generated store, and `humea` reads theirs (tests/foreign/readers.py). `--spark`: PySpark, needs Java 17.
# `--skipped`: only says why this Python cannot run them, or nothing. Makes a pinned virtual environment in the cache, once.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
humea=${CARGO_TARGET_DIR:-target}/debug/humea
skipped=
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    skipped="skipped test-readers: it needs Python 3.11 or newer, and $python is $("$python" --version 2>&1)"
if [ -n "$skipped" ] || [ "${1:-}" = --skipped ]; then
    [ -z "$skipped" ] || echo "$skipped"
    exit 0
fi
cache=${HUMEA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/humea}
lists=(tests/foreign/requirements.txt)
if [ "${1:-}" = --spark ]; then
    command -v java >/dev/null || { echo "no Java: apt-get install openjdk-17-jre-headless"; exit 1; }
    lists+=(tests/foreign/requirements-spark.txt)
fi

mark=$({ "$python" --version; cat "${lists[@]}"; } | sha256sum | cut -c1-12)
venv=$cache/readers-$mark
if [ ! -e "$venv/ready" ]; then
    echo "readers: making a virtual environment in $venv, once"
    rm -rf "$venv"
    "$python" -m venv "$venv" || { echo "no venv module: apt-get install python3-venv"; exit 1; }
    "$venv/bin/pip" install --quiet --disable-pip-version-check ${lists[@]/#/-r }
    touch "$venv/ready"
fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$humea" --quiet prep synthetic --entities 400 --seed 3 --out "$folder/pair.parquet"
"$humea" --quiet embed-text --store "$folder/pair.parquet" --plm hashing
"$venv/bin/python" tests/foreign/readers.py "$humea" "$folder/pair.parquet" "$@"
