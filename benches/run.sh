#!/usr/bin/env bash
# All measurements in one run, then docs/BENCHMARKS.md from their results. Takes some two and a half hours.
# Installs the peers on Debian when missing; elsewhere says what to install.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
for program in nginx haproxy caddy wrk openssl prometheus; do
  command -v "$program" >/dev/null || [ -x "/usr/sbin/$program" ] || missing+=("$program")
done
command -v taskset >/dev/null || missing+=(util-linux)
command -v h2load >/dev/null || missing+=(nghttp2-client)
if [ ${#missing[@]} -gt 0 ]; then
  if ! command -v apt-get >/dev/null; then
    echo "benches: install these and run it again: ${missing[*]}" >&2
    exit 1
  fi
  sudo=()
  [ "$(id -u)" -eq 0 ] || sudo=(sudo)
  "${sudo[@]}" apt-get update -q >&2
  # Only the programs: a peer that starts as a service would take its share of the machine.
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -q --no-install-recommends "${missing[@]}" >&2
fi
export PATH="$PATH:/usr/sbin"

benches/system/run.py
benches/delivery/run.py
benches/watch/run.py
benches/ai/run.py
benches/edge/run.py
scripts/test-services.sh run benches/ledger/run.py
benches/report.py
echo "written: docs/BENCHMARKS.md"
