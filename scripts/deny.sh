#!/usr/bin/env bash
# Checks licences and banned crates with a pinned cargo-deny, built once into the cache if there is none.
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.20.2
tools=${HUMEA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/humea}/tools
if [ ! -x "$tools/bin/cargo-deny" ]; then
    echo "cargo-deny: building $version once for all checkouts, a few minutes"
    # Built without its default features and hardly optimised: it runs for a second.
    CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
        cargo install --quiet --locked --root "$tools" --version "$version" --no-default-features cargo-deny
fi
"$tools/bin/cargo-deny" --offline check licenses bans sources
