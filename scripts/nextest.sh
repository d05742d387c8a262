#!/usr/bin/env bash
# Runs tests with cargo-nextest where it is installed, else with `cargo test`: same tests, nextest is just quicker.
set -euo pipefail
if cargo nextest --version >/dev/null 2>&1; then
  exec cargo nextest run --locked --no-fail-fast "$@"
fi
exec cargo test --locked --no-fail-fast "$@"
