#!/usr/bin/env bash
# Sends a service what its OpenAPI document allows, and what it does not, and checks each answer against the document.
#   scripts/schemathesis.sh DOCUMENT [MORE FLAGS OF SCHEMATHESIS]
# DOCUMENT is a URL, or a file with `--url ADDRESS`. TOKEN is sent as a person's access token, SERVICE_TOKEN as a service's, where
# they are set. schemathesis is installed under target/ when it is not there; who needs it at the same time waits.
set -euo pipefail

version=4.32.5
folder=${CARGO_TARGET_DIR:-$(dirname "$0")/../target}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
venv=$folder/schemathesis-$version
exec 9>"$folder/schemathesis.lock"
flock 9
if [ ! -e "$venv/installed" ]; then
  python3 -m venv --clear "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$version"
  touch "$venv/installed"
fi
exec 9>&-

document=$1
shift
[ ! -f "$document" ] || document=$(realpath "$document")
headers=()
[ -z "${TOKEN:-}" ] || headers+=(--header "Authorization: Bearer $TOKEN")
[ -z "${SERVICE_TOKEN:-}" ] || headers+=(--header "X-Service-Token: $SERVICE_TOKEN")
# What it keeps of a run goes with the run: the next one begins from the same place.
kept=$(mktemp -d)
trap 'rm -rf "$kept"' EXIT
cd "$kept"
"$venv/bin/schemathesis" run "$document" "${headers[@]}" --no-color \
  --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance \
  --phases examples,coverage,fuzzing "$@"
