#!/usr/bin/env bash
# `make test-reliability` runs this script. It tries to break the promises of
# docs/explanation/reliability.md. FULL=1 selects the long run, which writes its results into that
# page. Without it, each suite runs for a few minutes, as in CI.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

go=${GO:-go}
full=0
if [[ -n ${FULL:-} && $FULL != 0 ]]; then full=1; fi
# sequences and raced are the numbers of model sequences, without and with the race detector. The
# race detector makes the model six times slower and can find little, because only one goroutine
# runs at a time. The long run uses a random seed (seed=0) to find new failures. CI uses a fixed
# seed for the model and for the faults of the storm, so that a change does not fail because of
# an older bug. fuzz is the time for each fuzz target.
if ((full)); then sequences=30000 raced=3000 seed=0 storm='' fuzz=30s; else sequences=4000 raced=400 seed=1 storm=1 fuzz=5s; fi

KUBEBUILDER_ASSETS=$(hack/controlplane/install.sh)
figures=$(mktemp -d)
trap 'rm -rf "$figures"' EXIT
export KUBEBUILDER_ASSETS RELIABILITY_FIGURES=$figures RELIABILITY_FULL=$full RELIABILITY_SEED=${RELIABILITY_SEED:-$storm} CGO_ENABLED=1

label=reliability
# shellcheck source=hack/steps.sh
source hack/steps.sh

# suite PACKAGE FLAGS...: tests a package of test/reliability.
suite() {
  local package=$1
  shift
  "$go" test -tags=reliability -count=1 -timeout=80m "./test/reliability/$package" "$@"
}

# model SEQUENCES FLAGS...: runs the model with that number of sequences.
model() {
  local checks=$1
  shift
  suite model "$@" -args -rapid.seed="$seed" -rapid.checks="$checks" -rapid.steps=50 -rapid.nofailfile
}

# together FIRST SECOND: runs two functions at the same time, and prints the output of SECOND at the
# end.
together() {
  local log=$figures/$2.log result=0
  "$2" >"$log" 2>&1 &
  "$1" || result=1
  wait $! || result=1
  cat "$log"
  rm "$log"
  return $result
}

# Each run of the model uses one CPU.
plain_model() { model "$sequences" -run='^TestModel$'; }
raced_model() { model "$raced" -race; }

# The operator whose memory is measured is a separate process, which waits most of the time. The
# clients that flood it are faster without the race detector.
memory() { suite tenancy -run='^TestMemory$'; }
fuzzing() { FUZZTIME=$fuzz nice -n 19 hack/fuzz.sh; }

step "model, without and with the race detector" together plain_model raced_model
if ((full)); then step "mutants" suite mutants; else step "mutants fit" suite mutants -run=TestEveryMutantFits; fi
step "tenancy" suite tenancy -race -skip='^TestMemory$'
step "memory, and fuzzing" together memory fuzzing
step "faults" suite faults -race

arguments=(--from "$figures")
if ((full)); then
  arguments+=(--into docs/explanation/reliability.md --commit "$(git describe --always --dirty --abbrev=12)")
fi
"$go" run ./hack/figures "${arguments[@]}"

finish
