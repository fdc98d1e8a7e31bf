# Two commands matter: `make demo` and `make test`. Both work in a fresh clone; see `make help`.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
CACHE := $(or $(HUMEA_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/humea)

.PHONY: help libtorch build demo test lint test-rust test-scripts test-readers test-spark deny fuzz bench-store bench-train bench-gpu bench-hot test-device

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{printf "  make %-14s %s\n", $$1, $$2}'

libtorch: ## find or fetch libtorch 2.11 and link `.libtorch` to it; plain cargo commands work afterwards
	@command -v cargo >/dev/null || { echo "no cargo: install Rust 1.95 or newer (rustup)"; exit 1; }
	@command -v $(PYTHON) >/dev/null || { echo "no $(PYTHON): apt-get install python3 python3-pip python3-venv"; exit 1; }
	@$(PYTHON) scripts/libtorch.py

build: libtorch
	cargo build

demo: build ## the main job on a generated pair of graphs, offline, in minutes
	@scripts/demo.sh

test: lint test-rust test-scripts test-readers deny demo ## every check but test-spark, test-device, fuzz and the benchmarks
	@skipped=$$(scripts/readers.sh --skipped); echo "make test: everything passed$${skipped:+; $$skipped}"

lint: libtorch ## formatting, and clippy with warnings as errors, with and without libtorch
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy --no-default-features -- -D warnings

test-rust: libtorch ## unit, golden, doc and command-line tests
	cargo test --workspace

test-scripts: ## the tests of the Python scripts
	$(PYTHON) scripts/test_libtorch.py
	$(PYTHON) scripts/test_bench_hot.py
	$(PYTHON) scripts/test_readers.py
	$(PYTHON) scripts/architecture.py --check

test-readers: build ## polars, pyarrow, pandas and DuckDB read our stores, and we read theirs (skipped below Python 3.11)
	@scripts/readers.sh

test-spark: build ## PySpark reads a store (needs Java 17)
	@scripts/readers.sh --spark

test-device: build ## the CUDA code on a stand-in for a GPU: where tensors are and when the host waits (needs g++)
	@scripts/stand_in_cuda.sh

deny: ## licences and banned crates; the advisory database needs the network and is left to `cargo deny check advisories`
	@scripts/deny.sh

fuzz: ## the readers under libFuzzer, one target after another: make fuzz [SECONDS=600] [TARGETS="pickle rdf"] (needs bash 4)
	@scripts/fuzz.sh $(or $(SECONDS),600) $(TARGETS)

bench-store: ## the feature store against memcpy, NumPy, safetensors, pyarrow, polars, DuckDB and pickle
	@scripts/bench_store.sh

bench-train: build ## an epoch against a plain PyTorch transcription of the published equations
	@scripts/bench_train.sh

bench-gpu: build ## the published runs on a GPU, of a store with images: make bench-gpu STORE=data/fb_db.parquet [SETTINGS="model.precision=tf32"]
	@scripts/bench_gpu.sh $(STORE) $(SETTINGS)

bench-hot: libtorch ## the hot parts of an epoch against their stored baseline; STORE=1 makes it anew
	cargo bench --profile dev --bench hot_parts
	@$(PYTHON) scripts/bench_hot.py $(or $(CARGO_TARGET_DIR),target)/criterion $(if $(STORE),--store)
