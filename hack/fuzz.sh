#!/usr/bin/env bash
# Runs every fuzz target of the module for FUZZTIME each. It finds the targets itself, so a new
# target needs no entry here. FUZZ=REGEXP selects targets by name.
#
# Go keeps interesting inputs in its build cache, and the next run continues from them. Go writes
# an input that makes a target fail to testdata/fuzz in the source tree. Commit that file together
# with the fix. RELIABILITY_FIGURES names a directory for the figures, in the format of
# test/reliability/figures.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

go=${GO:-go}
fuzztime=${FUZZTIME:-5s}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# targets: prints a line "PACKAGE TARGET" for each function FuzzXxx in a test file.
targets() {
  "$go" list -f '{{range .TestGoFiles}}{{$.Dir}} {{$.ImportPath}} {{.}}{{"\n"}}{{end}}{{range .XTestGoFiles}}{{$.Dir}} {{$.ImportPath}} {{.}}{{"\n"}}{{end}}' ./... |
    while read -r dir package file; do
      [[ -z $file ]] || sed -n -E "s|^func (Fuzz[A-Z0-9_][A-Za-z0-9_]*)\(.*|$package \1|p" "$dir/$file"
    done | awk -v pattern="${FUZZ:-.}" '$2 ~ pattern'
}

# last TEXT LOG: prints the last number that follows TEXT in the log, or 0.
last() { sed -n -E "s/.*$1 ([0-9]+).*/\1/p" "$2" | tail -n 1 | grep . || echo 0; }

# ran_out LOG: succeeds if the only error is that the time is over. Go before 1.27 sometimes
# reports that as a failure, mostly on a busy machine: https://go.dev/issue/75804.
ran_out() {
  grep -q -E '^ +context deadline exceeded$' "$1" &&
    ! grep -q -E '_test\.go:[0-9]+:|Failing input|seed corpus|panic|DATA RACE|process (hung|terminated)' "$1"
}

# run PACKAGE TARGET: fuzzes a target. By default, Go tries to minimize an interesting input for up
# to a minute, in which it does no fuzzing: 10x limits that to 10 executions.
run() {
  local log=$work/$2.log
  if "$go" test ${race:+"$race"} -run '^$' -fuzz "^$2\$" -fuzztime "$fuzztime" -fuzzminimizetime 10x -parallel 2 "$1" >"$log" 2>&1 ||
    ran_out "$log"; then
    printf 'fuzz: %s %s: ok, %d executions, %d new inputs\n' "$1" "$2" "$(last execs: "$log")" "$(last 'new interesting:' "$log")"
  else
    crashes=$((crashes + 1))
    grep -v 'fuzz: elapsed:' "$log" | tail -n 40 | sed 's/^/  /' >&2
    echo "fuzz: $1 $2: FAILED. If the lines above name an input, commit it with the fix" >&2
  fi
  count=$((count + 1)) total=$((total + $(last execs: "$log")))
}

race=-race
if CGO_ENABLED=1 "$go" test -race -c -o "$work/race.test" errors >/dev/null 2>&1; then
  export CGO_ENABLED=1
else
  echo "fuzz: without the race detector, which takes a C compiler and a platform that has it" >&2
  race=
fi
count=0 total=0 crashes=0
targets >"$work/targets"
[[ -s $work/targets ]] || { echo "fuzz: no target matches ${FUZZ:-.}" >&2; exit 1; }
while read -r package target <&3; do run "$package" "$target"; done 3<"$work/targets"

if [[ -n ${RELIABILITY_FIGURES:-} ]]; then
  cat >"$RELIABILITY_FIGURES/30-fuzz.json" <<END
{"name": "Fuzzing", "figures": [
  {"name": "targets, $fuzztime each", "value": "$count"},
  {"name": "executions", "value": "$total"},
  {"name": "inputs that make a target fail", "value": "$crashes", "promise": "0"}]}
END
fi
echo "fuzz: $crashes of $count targets failed, $total executions, $SECONDS s"
((crashes == 0))
