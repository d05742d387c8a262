#!/usr/bin/env bash
# Feeds the edge's parsers with what a fuzzer comes up with: `scripts/fuzz.sh [SECONDS]` runs each target of crates/edge/fuzz for
# so long (60) and fails on the first finding, whose bytes are then in crates/edge/fuzz/artifacts. What was learnt stays in
# crates/edge/fuzz/corpus, so that the next run begins where this one ended.
set -euo pipefail
seconds="${1:-60}"
[[ "$seconds" =~ ^[1-9][0-9]*$ ]] || { echo "usage: scripts/fuzz.sh [SECONDS]" >&2; exit 64; }
cd "$(dirname "$0")/../crates/edge"

# The fuzzer's instrumentation is unstable; the pinned compiler has it, but asks to be told.
export RUSTC_BOOTSTRAP=1
cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz
cargo fuzz build

for target in $(cargo fuzz list); do
  echo "== $target, ${seconds} s"
  mkdir -p "fuzz/corpus/$target"
  # An input of 4 KiB is enough for any state; one that takes 10 s or 1 GiB is a finding.
  cargo fuzz run "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
    -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=1024 -verbosity=0 -print_funcs=0 -print_final_stats=1 2>&1 |
    { grep -vE '^(INFO|Running|Compiling|Finished|"|######|stat::(new_units|slowest|average))|^ +(Compiling|Finished|Running)' || true; }
done
echo "nothing found"
