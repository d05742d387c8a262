#!/usr/bin/env bash
# Asks every service of the manifest, through its public host and at its internal address, and says by name what is not well.
# Takes mana's own flags: scripts/health-check-all.sh --env production. Exit codes: 0 all well, 1 something is not, 64 no manifest.
set -euo pipefail
cd "$(dirname "$0")/.."
mana=${MANA:-target/release/mana}
[ -x "$mana" ] || { echo "health-check-all: $mana is not there: run \`make build\` first, or set MANA to the binary" >&2; exit 64; }
plan=$("$mana" "$@" plan --json) || exit 64
exec node scripts/health-check-all.mjs <<<"$plan"
