#!/usr/bin/env bash
# The compiler for `make fuzz` (cargo's RUSTC_WRAPPER): libFuzzer's coverage in the crate that is fuzzed and in the targets, nothing in
# the rest. A stable compiler can do that; only the address sanitizer needs nightly.
crate=
previous=
for word in "$@"; do
    if [ "$previous" = --crate-name ]; then crate=$word; fi
    previous=$word
done
case " $HUMEA_FUZZED " in
*" $crate "*)
    exec "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
        -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Clink-dead-code
    ;;
esac
exec "$@"
