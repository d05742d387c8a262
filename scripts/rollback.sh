#!/usr/bin/env bash
# Puts a version back that has served before: scripts/rollback.sh SERVICE|PROJECT [VERSION] [mana's own flags, e.g. -e production].
# Without VERSION the one before. The same as `mana rollback`, by the name that runbooks know. Exit codes are mana's.
set -euo pipefail
cd "$(dirname "$0")/.."
mana=${MANA:-target/release/mana}
[ -x "$mana" ] || { echo "rollback: $mana is not there: run \`make build\` first, or set MANA to the binary" >&2; exit 64; }
[ $# -gt 0 ] || { echo "usage: scripts/rollback.sh SERVICE|PROJECT [VERSION] [mana's flags]" >&2; exit 64; }
exec "$mana" rollback "$@"
