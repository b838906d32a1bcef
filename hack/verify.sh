#!/usr/bin/env bash
# `make verify` runs this script. It regenerates all generated files in place, and fails and
# prints the difference if a file changes. Uncommitted changes do not count, only the changes of
# the generators. It also runs the linters, checks the manifests and looks for vulnerabilities.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

go=${GO:-go}
make=${MAKE:-make}
label=verify
# shellcheck source=hack/steps.sh
source hack/steps.sh

tidy() {
  local mod result=0
  while IFS= read -r mod; do
    if ! (cd "$(dirname "$mod")" && GOWORK=off GOFLAGS=-mod=mod "$go" mod tidy -diff); then
      echo "$mod is not tidy: run go mod tidy in $(dirname "$mod")" >&2
      result=1
    fi
  done < <(git ls-files --cached --others --exclude-standard -- 'go.mod' '*/go.mod')
  return $result
}

# changes: prints the changes of the tree since the last commit.
changes() {
  git --no-pager diff HEAD
  git ls-files --others --exclude-standard | git hash-object --stdin-paths
}

regenerate() {
  local before
  before=$(changes)
  "$make" generate manifests || return 1
  if ! diff <(echo "$before") <(echo "$(changes)"); then
    echo "generated files differ from their sources (above): run make generate manifests, and commit the result" >&2
    return 1
  fi
}

git rev-parse --git-dir >/dev/null || { echo "verify: this is no git checkout" >&2; exit 1; }

step "modules are tidy" tidy
step "generated files" regenerate
step "lint" "$make" lint
step "API lint" "$make" lint-api
step "manifests" "$make" lint-manifests
step "vulnerabilities" "$make" vuln
finish
