#!/usr/bin/env bash
# PostgreSQL and Redis for tests: private ones, in a temporary folder, on free ports, gone afterwards.
#   scripts/test-services.sh install    installs what tests need, and nothing else
#   scripts/test-services.sh run CMD…   starts both, runs CMD with MANA_TEST_POSTGRES_URL and MANA_TEST_REDIS_URL set, stops both
# Installs what the tests need on Debian (PostgreSQL, Redis, Prometheus and three exporters, nginx, faketime, Python's venv, pebble, testssl.sh, certutil, Chromium and its driver) when missing; elsewhere says what to install.
set -euo pipefail

install_missing() {
  local missing=()
  ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing+=(postgresql)
  command -v redis-server >/dev/null || missing+=(redis-server)
  command -v chromium >/dev/null || missing+=(chromium)
  command -v chromedriver >/dev/null || missing+=(chromium-driver)
  command -v certutil >/dev/null || missing+=(libnss3-tools)
  command -v testssl >/dev/null || missing+=(testssl.sh)
  command -v pebble >/dev/null || missing+=(pebble)
  command -v prometheus >/dev/null || missing+=(prometheus)
  for exporter in redis postgres nginx; do
    command -v "prometheus-$exporter-exporter" >/dev/null || missing+=("prometheus-$exporter-exporter")
  done
  [ -x /usr/sbin/nginx ] || command -v nginx >/dev/null || missing+=(nginx)
  python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
  python3 -c 'import yaml' 2>/dev/null || missing+=(python3-yaml)
  ls /usr/lib/*/faketime/libfaketime.so.1 >/dev/null 2>&1 || missing+=(faketime)
  [ ${#missing[@]} -eq 0 ] && return
  if ! command -v apt-get >/dev/null; then
    echo "test-services: install these and run it again: ${missing[*]} (the names are Debian's)" >&2
    exit 1
  fi
  echo "test-services: installing ${missing[*]}" >&2
  local sudo=()
  [ "$(id -u)" -eq 0 ] || sudo=(sudo)
  "${sudo[@]}" apt-get update -q >&2
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" >&2
  # These packages start their services and let them start with the machine; tests start their own.
  local name
  for name in "${missing[@]}"; do
    [[ "$name" == prometheus* || "$name" == nginx ]] || continue
    [ ! -d /run/systemd/system ] || "${sudo[@]}" systemctl disable --now "$name" >&2
  done
}

free_port() {
  # Below the range that outgoing connections take theirs from.
  local port
  for _ in $(seq 100); do
    port=$((RANDOM % 2000 + 30000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
  echo "test-services: no free port" >&2
  exit 1
}

# PostgreSQL refuses to run as root; then the package's own user runs it.
as_postgres() {
  if [ "$(id -u)" -eq 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}

stop() {
  [ -z "${redis_pid:-}" ] || kill "$redis_pid" 2>/dev/null || true
  [ ! -f "$folder/postgres/postmaster.pid" ] || as_postgres "$pg/pg_ctl" -D "$folder/postgres" -m immediate -w stop >/dev/null 2>&1 || true
  [ -z "${redis_pid:-}" ] || wait "$redis_pid" 2>/dev/null || true
  rm -rf "$folder"
}

start() {
  folder=$(mktemp -d "${TMPDIR:-/tmp}/mana-test-services.XXXXXX")
  chmod 755 "$folder"
  trap stop EXIT
  trap 'exit 130' INT TERM
  pg=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
  mkdir "$folder/postgres" "$folder/socket" "$folder/redis"
  [ "$(id -u)" -ne 0 ] || chown postgres: "$folder/postgres" "$folder/socket"
  as_postgres "$pg/initdb" -D "$folder/postgres" -U mana -A trust -E UTF8 --locale=C >"$folder/initdb.log" 2>&1 ||
    { cat "$folder/initdb.log" >&2; exit 1; }
  local port redis_port
  port=$(free_port)
  as_postgres "$pg/pg_ctl" -D "$folder/postgres" -w -t 60 -l "$folder/postgres/server.log" \
    -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$folder/socket -c max_connections=500" start >/dev/null ||
    { cat "$folder/postgres/server.log" >&2; exit 1; }
  redis_port=$(free_port)
  redis-server --port "$redis_port" --bind 127.0.0.1 --dir "$folder/redis" --save '' --daemonize no >"$folder/redis/log" 2>&1 &
  redis_pid=$!
  for _ in $(seq 200); do
    (exec 3<>"/dev/tcp/127.0.0.1/$redis_port") 2>/dev/null && break
    sleep 0.05
  done
  export MANA_TEST_POSTGRES_URL="postgres://mana@127.0.0.1:$port/postgres"
  export MANA_TEST_REDIS_URL="redis://127.0.0.1:$redis_port/"
}

case "${1:-}" in
  install)
    install_missing
    ;;
  run)
    shift
    [ $# -gt 0 ] || { echo "usage: scripts/test-services.sh install | run CMD…" >&2; exit 64; }
    install_missing
    start
    "$@"
    ;;
  *)
    echo "usage: scripts/test-services.sh install | run CMD…" >&2
    exit 64
    ;;
esac
