#!/usr/bin/env bash
# What `make test-reliability` runs: everything that tries to break the promises of docs/reliability.md. FULL=1 is the long run
# for the record, and writes what was seen into that page; without it, each suite runs for a few minutes, as in CI.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

go=${GO:-go}
full=0
if [[ -n ${FULL:-} && $FULL != 0 ]]; then full=1; fi
# Sequences of the model: as it is, and with the race detector, which makes it six times slower and has little to find where one
# goroutine runs at a time. The long run looks for what nobody has seen yet; in CI they are the same ones each time (seed 0: another
# one each time), and so are the faults of the storm, so that a change is not held up by what another one has done. And how long each
# fuzz target runs.
if ((full)); then sequences=30000 raced=3000 seed=0 storm='' fuzz=30s; else sequences=4000 raced=400 seed=1 storm=1 fuzz=5s; fi

KUBEBUILDER_ASSETS=$(hack/controlplane/install.sh)
figures=$(mktemp -d)
trap 'rm -rf "$figures"' EXIT
export KUBEBUILDER_ASSETS RELIABILITY_FIGURES=$figures RELIABILITY_FULL=$full RELIABILITY_SEED=${RELIABILITY_SEED:-$storm} CGO_ENABLED=1

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

# suite PACKAGE FLAGS...: one package of test/reliability.
suite() {
  local package=$1
  shift
  "$go" test -tags=reliability -count=1 -timeout=80m "./test/reliability/$package" "$@"
}

# model SEQUENCES FLAGS...
model() {
  local checks=$1
  shift
  suite model "$@" -args -rapid.seed="$seed" -rapid.checks="$checks" -rapid.steps=50 -rapid.nofailfile
}

step "model" model "$sequences" -run='^TestModel$'
step "model, with the race detector" model "$raced" -race
if ((full)); then step "mutants" suite mutants; else step "mutants fit" suite mutants -run=TestEveryMutantFits; fi
# The operator whose memory is measured is a process of its own, and what floods it is faster without the race detector.
step "tenancy" suite tenancy -race -skip='^TestMemory$'
step "memory" suite tenancy -run='^TestMemory$'
step "fuzzing" env FUZZTIME=$fuzz hack/fuzz.sh
step "faults" suite faults -race

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
