#!/usr/bin/env bash
# Runs every fuzz target of the module for FUZZTIME each. It finds the targets itself, so a new
# target needs no entry here. FUZZ=REGEXP selects targets by name.
#
# It prints a line for each target, and fails if a target fails. Go keeps interesting inputs in
# its build cache, and the next run continues from them. Go writes an input that makes a target
# fail to testdata/fuzz in the source tree. Commit that file together with the fix.
# RELIABILITY_FIGURES names a directory for the figures, in the format of
# test/reliability/figures.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

go=${GO:-go}
fuzztime=${FUZZTIME:-5s}
pattern=${FUZZ:-.}
workers=2
# Go tries to minimize each interesting input. By default this takes up to a minute, in which Go
# does no fuzzing. This limits it to 10 executions.
minimize=10x

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# targets: prints a line "DIRECTORY PACKAGE TARGET" for each function FuzzXxx in a test file.
targets() {
  "$go" list -f '{{$p := .}}{{range .TestGoFiles}}{{$p.Dir}} {{$p.ImportPath}} {{.}}{{"\n"}}{{end}}{{range .XTestGoFiles}}{{$p.Dir}} {{$p.ImportPath}} {{.}}{{"\n"}}{{end}}' ./... |
    while read -r dir package file; do
      [[ -n $file ]] || continue
      sed -n -E 's/^func (Fuzz[A-Z0-9_][A-Za-z0-9_]*)\(.*/\1/p' "$dir/$file" | sed "s|^|$dir $package |"
    done | awk -v pattern="$pattern" '$3 ~ pattern'
}

# last TEXT LOG: prints the last number that follows TEXT in the log.
last() { sed -n -E "s/.*$1 ([0-9]+).*/\1/p" "$2" | tail -n 1; }

# executions LOG: prints how often the target was executed. While Go still runs the inputs of
# earlier runs, its log has only the progress of that.
executions() {
  local execs
  execs=$(last 'execs:' "$1")
  echo "${execs:-$(last 'baseline coverage:' "$1")}"
}

# ran_out LOG: succeeds if the only error is that the time is over. Go before 1.27 sometimes
# reports that as a failure, mostly on a busy machine: https://go.dev/issue/75804.
ran_out() {
  grep -q -E '^ +context deadline exceeded$' "$1" &&
    ! grep -q -E '_test\.go:[0-9]+:|Failing input|seed corpus|panic|DATA RACE|process (hung|terminated)' "$1"
}

# run DIRECTORY PACKAGE TARGET: fuzzes a target, adds to the totals, and prints the result.
run() {
  local dir=$1 package=$2 target=$3 log=$work/$3.log result=ok execs new
  targets=$((targets + 1))
  # shellcheck disable=SC2086 # there may be no flag
  "$go" test $race -run '^$' -fuzz "^$target\$" -fuzztime "$fuzztime" -fuzzminimizetime "$minimize" \
    -parallel "$workers" "$package" >"$log" 2>&1 || ran_out "$log" || result=FAILED
  execs=$(executions "$log")
  new=$(last 'new interesting:' "$log")
  total=$((total + ${execs:-0}))
  printf 'fuzz: %-52s %9d executions, %4d new inputs: %s\n' "${package#"$module"/} $target" "${execs:-0}" "${new:-0}" "$result"
  if [[ $result != ok ]]; then
    crashes=$((crashes + 1))
    sed 's/^/  /' "$log" | grep -v 'fuzz: elapsed:' | tail -n 40 >&2
    # Go names the file only for a failing input. Other failures, such as a failed build, have no
    # file.
    sed -n -E "s|.*Failing input written to (.*)|fuzz: the input is in ${dir#"$PWD"/}/\1: commit it with the repair|p" "$log" >&2
  fi
}

# figures FILE: writes the results in the format of test/reliability/figures.
figures() {
  cat >"$1" <<END
{
  "name": "Fuzzing",
  "figures": [
    {
      "name": "targets, $fuzztime each",
      "value": "$targets"
    },
    {
      "name": "executions",
      "value": "$total"
    },
    {
      "name": "inputs that make a target fail",
      "value": "$crashes",
      "promise": "0"
    }
  ]
}
END
}

module=$("$go" list -m)
race=-race
if ! CGO_ENABLED=1 "$go" test $race -c -o "$work/race.test" errors >/dev/null 2>&1; then
  echo "fuzz: without the race detector, which takes a C compiler and a platform that has it" >&2
  race=
fi
[[ -z $race ]] || export CGO_ENABLED=1
targets=0 total=0 crashes=0

targets >"$work/targets"
[[ -s $work/targets ]] || { echo "fuzz: no target matches $pattern" >&2; exit 1; }
while read -r dir package target <&3; do
  run "$dir" "$package" "$target"
done 3<"$work/targets"

if [[ -n ${RELIABILITY_FIGURES:-} ]]; then
  figures "$RELIABILITY_FIGURES/30-fuzz.json"
fi
if ((crashes)); then
  echo "fuzz: $crashes of $targets targets failed" >&2
  exit 1
fi
echo "fuzz: $targets targets, $total executions, no failure, $SECONDS s"
