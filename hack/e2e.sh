#!/usr/bin/env bash
# What `make test-e2e` runs: builds the images and the installers, of this version and of the one before, gives them to a
# cluster, and runs the suite of test/e2e on it.
#
# The cluster is that of KUBECONFIG, if it is set: LOAD is then the command that gives it an image archive, such as
# "kind load image-archive". Otherwise it is one of its own, by `make cluster-up`, which is taken down at the end, unless it
# was up before or KEEP is set.
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

cleanup() {
  local code=$?
  trap - EXIT INT TERM
  if [[ -d $dist/previous ]]; then git worktree remove --force "$dist/previous"; fi
  if [[ -n ${ours:-} && -z ${KEEP:-} ]]; then "$make" cluster-down; fi
  exit "$code"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The upgrade starts from what was there before the last commit that changed what is installed.
shipped=(api cmd/pipes-operator config controllers internal go.mod Dockerfile)
last=$(git log -1 --format=%H -- "${shipped[@]}")
previous=$(git rev-parse --verify --quiet "$last^") || fail "the history ends at $last, and the upgrade needs the commit before it: git fetch --unshallow"

if [[ -z ${KUBECONFIG:-} ]]; then
  if ! [[ -e /var/cache/pipes-operator-cluster ]]; then
    say "does a cluster come and go without a trace?"
    "$go" test -count=1 -tags=e2e -run=Real ./hack/cluster
  fi
  up=$("$make" cluster-up) || exit 1
  echo "$up"
  if [[ $up != *"up already"* ]]; then ours=yes; fi
  export KUBECONFIG=${up##*KUBECONFIG=}
  LOAD="bin/cluster/cluster load"
else
  : "${LOAD:?set it to the command that gives the cluster of KUBECONFIG an image archive, such as kind load image-archive}"
fi

say "building the images and the installers"
CGO_ENABLED=0 GOOS=linux "$go" build -trimpath -ldflags "-s -w" -o bin/linux/ ./test/e2e/probe
# The tools image goes by the names that the sample pods have, so that these run as they are. The probe stands in for gh as well.
names=$(sed -n 's/^ *image: /--tag /p' config/samples/pod_{curl,git,gh}.yaml | tr '\n' ' ')
"$make" images build-installer IMG=pipes-operator:e2e TOOLS_FLAGS="--tag pipes-operator-e2e-tools:dev $names \
  --add /usr/local/bin/probe=bin/linux/probe --add /usr/local/bin/gh=bin/linux/probe"
cp dist/install.yaml "$dist/install.yaml"

say "building the version before, of $(git log -1 --format='%h (%s)' "$previous")"
git worktree remove --force "$dist/previous" 2>/dev/null || true
git worktree add --quiet --detach "$dist/previous" "$previous"
(cd "$dist/previous" && CGO_ENABLED=0 GOOS=linux "$go" build -trimpath -ldflags "-s -w" -o "$OLDPWD/bin/linux/previous/" ./cmd/pipes-operator)
# The name is the one that config/ has when nobody names another.
bin/image operator --binary bin/linux/previous/pipes-operator --tag pipes-operator:dev --output dist/images/previous.tar
"$KUSTOMIZE" build "$dist/previous/config/default" >"$dist/install-previous.yaml"

for archive in dist/images/{pipes-operator,workos-simulator,e2e-tools,previous}.tar; do
  $LOAD "$archive" # more than one word
done

say "running the suite"
"$go" build -o bin/ginkgo github.com/onsi/ginkgo/v2/ginkgo
E2E_KUBECTL=$(hack/controlplane/install.sh)/kubectl E2E_DIST=$dist E2E_REPOSITORY=$PWD \
  bin/ginkgo run --tags=e2e --procs="${PROCS:-6}" --randomize-all --timeout=45m --poll-progress-after=15m ${E2E_FLAGS:-} ./test/e2e
