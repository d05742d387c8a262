#!/usr/bin/env bash
# Sends a service what its OpenAPI document allows, and what it does not, and checks each answer against the document.
#   scripts/schemathesis.sh URL-OF-OPENAPI [MORE FLAGS OF SCHEMATHESIS]
# TOKEN is sent as a person's access token, SERVICE_TOKEN as a service's, where they are set. schemathesis is installed under
# target/ (or SCHEMATHESIS_FOLDER) when it is not there.
set -euo pipefail

version=4.32.5
folder=${SCHEMATHESIS_FOLDER:-$(dirname "$0")/../target}
venv=$folder/schemathesis-$version
if [ ! -x "$venv/bin/schemathesis" ]; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$version"
fi

url=$1
shift
headers=()
[ -z "${TOKEN:-}" ] || headers+=(--header "Authorization: Bearer $TOKEN")
[ -z "${SERVICE_TOKEN:-}" ] || headers+=(--header "X-Service-Token: $SERVICE_TOKEN")
cd "$folder"
exec "$venv/bin/schemathesis" run "$url" "${headers[@]}" --no-color \
  --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance \
  --phases examples,coverage,fuzzing "$@"
