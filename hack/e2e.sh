#!/usr/bin/env bash
# `make test-e2e` runs this script. It builds images and installers of this version and of the
# previous version, loads them into a cluster, and runs the suite in test/e2e.
#
# If KUBECONFIG is set, the script uses that cluster. LOAD must then be the command that loads an
# image archive into it, such as "kind load image-archive". Otherwise the script uses the cluster
# of `make cluster-up`. If that cluster is not up yet, the script starts it, and stops it at the
# end unless KEEP is set.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

make=${MAKE:-make}
go=${GO:-go}
dist=$PWD/dist/e2e
mkdir -p "$dist" bin

say() { printf 'e2e: %s\n' "$*"; }

fail() {
  say "$@" >&2
  exit 1
}

# run COMMAND...: runs the command in its own process group. When this script gets a signal, stop
# can then end the whole group. Otherwise bash would wait for the command, and make and ginkgo do
# not forward signals.
child=
run() {
  local code=0
  set -m
  "$@" </dev/null &
  child=$!
  set +m
  wait "$child" || code=$?
  child=
  return "$code"
}

stop() {
  local waited
  if [[ -n $child ]]; then
    kill -TERM -- "-$child" 2>/dev/null || true
    for ((waited = 0; waited < 60; waited++)); do
      kill -0 "$child" 2>/dev/null || break
      sleep 1
    done
    kill -KILL -- "-$child" 2>/dev/null || true
  fi
  exit "$1"
}

ours=
cleanup() {
  local code=$?
  trap - EXIT INT TERM
  if [[ -n $ours && -z ${KEEP:-} ]]; then "$make" cluster-down || code=1; fi
  git worktree remove --force "$dist/previous" 2>/dev/null || true
  exit "$code"
}
trap cleanup EXIT
trap 'stop 130' INT
trap 'stop 143' TERM

# The upgrade test starts from the parent of the last commit that changed an installed file.
shipped=(api cmd/pipes-operator config controllers internal go.mod Dockerfile
  ':(exclude)config/samples' ':(exclude)internal/workossim' ':(exclude,glob)**/*_test.go')
last=$(git log -1 --format=%H -- "${shipped[@]}")
previous=$(git rev-parse --verify --quiet "$last^") ||
  fail "the history ends at $last, and the upgrade needs the commit before it: git fetch --unshallow"
! git diff --quiet "$previous" -- "${shipped[@]}" || fail "$previous is no different in what is installed: the upgrade would show nothing"

if [[ -z ${KUBECONFIG:-} ]]; then
  "$make" cluster-program
  # The pods of config/samples run unchanged: the tools image also gets the names of their
  # images. The probe replaces gh.
  names=$(sed -n 's/^ *image: \([^ ]*\)$/--tag \1/p' config/samples/pod{,_curl,_git,_gh}.yaml | tr '\n' ' ')
  if ! bin/cluster/cluster kubeconfig >/dev/null 2>&1; then
    "$make" cluster-check || exit 1
    ours=yes
    say "does a cluster come and go without a trace?"
    run "$go" -C hack/cluster test -count=1 -tags=e2e -run=Real .
    run "$make" cluster-up
  fi
  KUBECONFIG=$(bin/cluster/cluster kubeconfig)
  LOAD="bin/cluster/cluster load"
else
  names= # other pods of that cluster may use images with those names
  : "${LOAD:?set it to the command that gives the cluster of KUBECONFIG an image archive, such as kind load image-archive}"
fi
export KUBECONFIG

kubectl=$(hack/controlplane/install.sh)/kubectl
found=$("$kubectl" get namespaces pipes-system e2e-workos --ignore-not-found --output=name)
[[ -z $found || -n ${E2E_REUSE:-} ]] ||
  fail "the cluster has ${found//$'\n'/, } already, as of an earlier run: make cluster-down, delete them, or set E2E_REUSE=1 to use them as they are"

say "building the images and the installers"
CGO_ENABLED=0 GOOS=linux "$go" build -trimpath -ldflags "-s -w" -o bin/linux/ ./test/e2e/probe
run "$make" images build-installer IMG=pipes-operator:e2e \
  TOOLS_FLAGS="--add /usr/local/bin/probe=bin/linux/probe --add /usr/local/bin/gh=bin/linux/probe $names"
cp dist/install.yaml "$dist/install.yaml"

say "building the version before, of $(git log -1 --format='%h (%s)' "$previous")"
git worktree remove --force "$dist/previous" 2>/dev/null || true
git worktree add --quiet --force --detach "$dist/previous" "$previous"
(cd "$dist/previous" && CGO_ENABLED=0 GOOS=linux "$go" build -trimpath -ldflags "-s -w" -o "$OLDPWD/bin/linux/previous/" ./cmd/pipes-operator)
# This is the default image name in config/.
bin/image --binary bin/linux/previous/pipes-operator --tag pipes-operator:dev --output dist/images/previous.tar
"$KUSTOMIZE" build "$dist/previous/config/default" >"$dist/install-previous.yaml"

for archive in dist/images/{pipes-operator,workos-simulator,e2e-tools,previous}.tar; do
  $LOAD "$archive" # LOAD may have several words
done

say "running the suite"
"$go" build -o bin/ginkgo github.com/onsi/ginkgo/v2/ginkgo
export E2E_KUBECTL=$kubectl E2E_DIST=$dist E2E_REPOSITORY=$PWD
run bin/ginkgo run --tags=e2e --procs="${PROCS:-4}" --randomize-all --timeout=45m --poll-progress-after=15m ${E2E_FLAGS:-} ./test/e2e
