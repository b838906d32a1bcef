#!/usr/bin/env bash
# What `make test-reliability` runs: everything that tries to break the promises of docs/reliability.md. FULL=1 is the long run
# for the record, and writes what was seen into that page; without it, each suite runs for a few minutes, as in CI.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

go=${GO:-go}
full=0
if [[ -n ${FULL:-} && $FULL != 0 ]]; then full=1; fi
# Sequences of the model, with the race detector; seconds for each fuzz target.
if ((full)); then sequences=25000 fuzz=60s; else sequences=3000 fuzz=5s; fi

KUBEBUILDER_ASSETS=$(hack/controlplane/install.sh)
figures=$(mktemp -d)
trap 'rm -rf "$figures"' EXIT
export KUBEBUILDER_ASSETS RELIABILITY_FIGURES=$figures RELIABILITY_FULL=$full CGO_ENABLED=1

failed=()

# step NAME COMMAND...: runs it, and goes on when it fails: one run shows all there is to mend.
step() {
  local name=$1 started=$SECONDS
  shift
  echo "reliability: $name"
  if "$@"; then
    echo "reliability: $name: ok, $((SECONDS - started)) s"
  else
    failed+=("$name")
    echo "reliability: $name: FAILED, $((SECONDS - started)) s" >&2
  fi
}

# suite PACKAGE FLAGS...: one package of test/reliability, with the race detector.
suite() {
  local package=$1
  shift
  "$go" test -race -tags=reliability -count=1 -timeout=80m "./test/reliability/$package" "$@"
}

step "model" suite model -run='^Test(Model|A|The)' -args -rapid.checks="$sequences" -rapid.steps=50 -rapid.nofailfile
if ((full)); then step "mutants" suite mutants; fi
step "tenancy" suite tenancy
step "fuzzing" env FUZZTIME=$fuzz hack/fuzz.sh
step "faults" suite faults

arguments=(--from "$figures")
if ((full)); then
  arguments+=(--into docs/reliability.md --commit "$(git describe --always --dirty --abbrev=12)")
fi
"$go" run ./hack/figures "${arguments[@]}"

if ((${#failed[@]})); then
  printf 'reliability: failed: %s\n' "$(IFS=,; echo "${failed[*]}")" >&2
  exit 1
fi
echo "reliability: all passed in $SECONDS s"
