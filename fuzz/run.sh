#!/usr/bin/env bash
# fuzz/run.sh TARGET SECONDS: libFuzzer on the stable toolchain (coverage by LLVM flags, no
# nightly). New inputs go to fuzz/found/TARGET, crashers to fuzz/artifacts; fuzz/corpus only seeds.
set -euo pipefail
cd "$(dirname "$0")"
target=${1:?target} seconds=${2:?seconds}
sancov="-sanitizer-coverage-level=4 -sanitizer-coverage-inline-8bit-counters"
sancov+=" -sanitizer-coverage-pc-table -sanitizer-coverage-trace-compares"
flags="--cfg fuzzing -Cpasses=sancov-module -Ccodegen-units=1 -Cdebug-assertions"
for flag in $sancov; do flags+=" -Cllvm-args=$flag"; done
triple=$(rustc -vV | sed -n 's/host: //p')
RUSTFLAGS=$flags cargo build --release --target "$triple" --bin "$target"
mkdir -p "found/$target" "corpus/$target" artifacts
exec "target/$triple/release/$target" "found/$target" "corpus/$target" \
  -max_total_time="$seconds" -artifact_prefix="artifacts/$target-" -rss_limit_mb=2048 -timeout=20
