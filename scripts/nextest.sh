#!/usr/bin/env bash
# `unit` or `system`: runs tests with cargo-nextest where it is installed, else with `cargo test`: same tests, nextest is just quicker.
set -euo pipefail
case "${1:-}" in
  unit) own=(--workspace --exclude system-tests) chosen='not package(system-tests)' ;;
  system) own=(-p system-tests) chosen='package(system-tests)' ;;
  *) echo "usage: $0 unit|system" >&2; exit 64 ;;
esac
if cargo nextest --version >/dev/null 2>&1; then
  # Always of the whole workspace, so that nothing is built twice with other features. Half as many again at once as there are
  # processors: many tests wait, for a timeout, an interval or a process.
  exec cargo nextest run --locked --no-fail-fast --workspace --test-threads "$(($(nproc) * 3 / 2))" -E "$chosen"
fi
exec cargo test --locked --no-fail-fast "${own[@]}"
