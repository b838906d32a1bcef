#!/usr/bin/env bash
# Looks for known vulnerabilities in what the code of this module calls, tests and the other programs included, with govulncheck.
# It fails when it finds one that is called, or when it cannot look. The database is the first of these:
#
#   1. GOVULNDB, when that is set;
#   2. the published one, when it answers within seconds;
#   3. the snapshot of it in hack/vuln/snapshot, which knows what was published until the day that it prints.
#
# With --update it makes the snapshot anew, from 1 or 2. That is due when go.mod has a new module of which it says that it
# lacks the entries, and otherwise now and then.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

go=${GO:-go}
readonly published=https://vuln.go.dev
readonly seconds=10

modules() { "$go" list -m -f '{{.Path}}' all; }

if [[ ${1:-} == --update ]]; then
  modules | "$go" run ./hack/vuln update --from "${GOVULNDB:-$published}"
  exit 0
fi

govulncheck=${GOVULNCHECK:?run make vuln}
database=${GOVULNDB:-}
if [[ -n $database ]]; then
  echo "vuln: the database is GOVULNDB, $database"
elif curl --silent --fail --location --max-time "$seconds" --output /dev/null "$published/index/db.json"; then
  database=$published
  echo "vuln: the database is $database"
else
  unpacked=$PWD/bin/vulndb
  rm -rf "$unpacked"
  date=$(modules | "$go" run ./hack/vuln unpack "$unpacked")
  database=file://$unpacked
  echo "vuln: $published cannot be reached from here. The database is the snapshot of $date: what was published since is NOT looked for" >&2
fi

"$govulncheck" -db "$database" -tags e2e,reliability -test ./...
