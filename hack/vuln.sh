#!/usr/bin/env bash
# Looks for known vulnerabilities in the code that the modules in MODULES call, including tests. It
# fails if it finds one. The database is GOVULNDB if that is set, otherwise the published one. If the
# published one cannot be reached, it says that nothing was checked: an old copy would hide that.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly published=https://vuln.go.dev seconds=10
govulncheck=${GOVULNCHECK:?run make vuln}
database=${GOVULNDB:-$published}
if [[ $database == "$published" ]] &&
  ! curl --silent --fail --location --max-time "$seconds" --output /dev/null "$published/index/db.json"; then
  echo "vuln: NOTHING WAS CHECKED: $published does not answer. Set GOVULNDB to a mirror of it" >&2
  exit 0
fi
echo "vuln: the database is $database"
code=0
for module in ${MODULES:-.}; do
  "$govulncheck" -C "$module" -db "$database" -tags e2e,reliability -test ./... || code=$?
done
exit "$code"
