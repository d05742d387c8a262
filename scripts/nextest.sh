#!/usr/bin/env bash
# Runs tests with cargo-nextest where it is installed, else with `cargo test`: same tests, nextest is just quicker.
set -euo pipefail
if cargo nextest --version >/dev/null 2>&1; then
  # Half as many again as there are processors: many tests wait, for a timeout, an interval or a process.
  exec cargo nextest run --locked --no-fail-fast --test-threads "$(($(nproc) * 3 / 2))" "$@"
fi
exec cargo test --locked --no-fail-fast "$@"
