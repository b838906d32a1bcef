#!/usr/bin/env bash
# Gets kube-apiserver, etcd and kubectl for this machine and prints the directory that holds them on stdout, ready
# to be KUBEBUILDER_ASSETS. Everything else goes to stderr.
#
# Where they come from, in this order:
#   1. KUBEBUILDER_ASSETS, when it holds all three already;
#   2. the cache: ${XDG_CACHE_HOME:-~/.cache}/pipes-operator/controlplane;
#   3. setup-envtest, which downloads them: seconds, where its index can be reached;
#   4. source, through the Go module proxy: minutes, once.
#
# CONTROLPLANE_SOURCE=download or =build leaves out 4 or 3, and of the cache what came from there.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../.." && pwd)
go=${GO:-go}
source=${CONTROLPLANE_SOURCE:-auto}

readonly binaries=(kube-apiserver etcd kubectl)
# How they are built. To be raised with every change of build_all that changes what comes out.
readonly recipe=1
readonly index_seconds=15
readonly download_seconds=600
readonly progress_seconds=15

# Whatever the caller builds with, these are built like this, from exactly what go.sum lists.
export CGO_ENABLED=0 GOWORK=off GOFLAGS=-mod=readonly

say() { printf 'controlplane: %s\n' "$*" >&2; }

fail() {
  say "$1"
  shift
  printf '  %s\n' "$@" >&2
  exit 1
}

# complete DIR: all three are there and can be run.
complete() {
  local binary
  for binary in "${binaries[@]}"; do
    [[ -f $1/$binary && -x $1/$binary ]] || return 1
  done
}

version_of() { # version_of MODULE FOLDER
  awk -v module="$1" '$1 == module && !found { print $2; found = 1 }
    $1 == "require" && $2 == module && !found { print $3; found = 1 }' "$here/$2/go.mod"
}

digest() {
  if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -c1-16
}

# run_with_limit SECONDS COMMAND...: fails once SECONDS have passed. (There is no timeout(1) on every system.)
run_with_limit() {
  local limit=$1 pid started=$SECONDS
  shift
  "$@" 9>&- &
  pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    if ((SECONDS - started >= limit)); then
      kill "$pid" 2>/dev/null || true
      wait "$pid" 2>/dev/null || true
      return 124
    fi
    sleep 0.2
  done
  wait "$pid"
}

# build WHAT FOLDER PACKAGE OUT LDFLAGS: builds one program, and says every so often that it still does.
build() {
  local what=$1 folder=$2 package=$3 out=$4 ldflags=$5
  local log=$work/$what.log started=$SECONDS said=$SECONDS pid
  # -v names each package once it is compiled, which is what there is to show.
  (cd "$folder" && exec "$go" build -v -trimpath -ldflags "$ldflags" -o "$out" "$package") >"$log" 2>&1 9>&- &
  pid=$!
  builds=$pid
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.5
    if ((SECONDS - said >= progress_seconds)); then
      said=$SECONDS
      say "$what: building, $((SECONDS - started)) s, $(progress "$log")"
    fi
  done
  builds=
  if ! wait "$pid"; then
    tail -n 30 "$log" >&2
    fail "$what: the build failed after $((SECONDS - started)) s; its last lines are above" \
      "It needs the Go module proxy ($("$go" env GOPROXY)), 4 GB of memory and 5 GB of disk." \
      "Or set KUBEBUILDER_ASSETS to a directory with kube-apiserver, etcd and kubectl."
  fi
  say "$what: built in $((SECONDS - started)) s"
}

progress() {
  local modules packages
  modules=$(grep -c '^go: downloading ' "$1" || true)
  packages=$(grep -c -v '^go: ' "$1" || true)
  if ((packages > 0)); then
    echo "$packages packages compiled"
  elif ((modules > 0)); then
    echo "$modules modules downloaded"
  else
    echo "from the Go build cache"
  fi
}

build_all() { # build_all DIR
  local v=k8s.io/component-base/version minor=${kubernetes#v1.}
  local stamp="-s -w -X $v.gitVersion=$kubernetes -X $v.gitMajor=1 -X $v.gitMinor=${minor%%.*}"
  say "kube-apiserver $kubernetes: building from source, about 4 minutes on 2 cores (once; cached in $cache)"
  build kube-apiserver "$here/kubernetes" k8s.io/kubernetes/cmd/kube-apiserver "$1/kube-apiserver" "$stamp"
  say "kubectl $kubernetes: building from source, about 1 minute on 2 cores"
  build kubectl "$here/kubernetes" k8s.io/kubernetes/cmd/kubectl "$1/kubectl" "$stamp"
  say "etcd $etcd: building from source, about half a minute on 2 cores"
  build etcd "$here/etcd" go.etcd.io/etcd/server/v3 "$1/etcd" "-s -w"
}

# download DIR: moves what setup-envtest finds into DIR; fails when it finds nothing in time.
download() {
  local tool=$work/setup-envtest series=${kubernetes%.*} found
  series=${series#v}.x
  if ! (cd "$repo/hack/tools/setup-envtest" &&
    "$go" build -trimpath -ldflags "-s -w" -o "$tool" sigs.k8s.io/controller-runtime/tools/setup-envtest) 9>&- >"$work/tool.log" 2>&1; then
    tail -n 5 "$work/tool.log" >&2
    say "setup-envtest could not be built"
    return 1
  fi
  say "asking setup-envtest for Kubernetes $series (at most $index_seconds s)"
  if ! run_with_limit "$index_seconds" "$tool" list "$series" >"$work/index" 2>"$work/index.log"; then
    say "its index cannot be reached from here"
    return 1
  fi
  if ! grep -q -F "v${series%x}" "$work/index"; then
    say "it has no Kubernetes $series for this machine"
    return 1
  fi
  say "downloading with setup-envtest (at most $download_seconds s)"
  if ! run_with_limit "$download_seconds" "$tool" use "$series" --bin-dir "$work/envtest" -p path >"$work/found" 2>"$work/use.log"; then
    tail -n 5 "$work/use.log" >&2
    say "the download failed"
    return 1
  fi
  found=$(<"$work/found")
  complete "$found" || { say "the download lacks one of ${binaries[*]}"; return 1; }
  chmod -R u+w "$found"
  mv "$found" "$1"
}

# lock: one run installs, the others wait for it. The kernel lets go of the lock whenever its holder ends. Without
# flock(1) two runs do the work twice, which is harmless: what is finished is moved into place whole.
lock() {
  local started=$SECONDS
  exec 9>"$cache/lock"
  command -v flock >/dev/null || return 0
  until flock -w "$progress_seconds" 9; do
    say "another run is installing; waiting for it, $((SECONDS - started)) s"
  done
}

# publish DIR NAME: moves a finished directory into the cache, unless another run was first.
publish() {
  if ! complete "$cache/$2"; then
    complete "$1" || fail "the result lacks one of ${binaries[*]}: ${1}" "Report this as a bug of hack/controlplane/install.sh."
    rm -rf "${cache:?}/$2"
    mv "$1" "$cache/$2"
  fi
  say "installed in $cache/$2"
  printf '%s\n' "$cache/$2"
}

# cached: prints the directory of an earlier run that fits.
cached() {
  local from
  for from in download build; do
    if [[ $source == auto || $source == "$from" ]] && complete "$cache/$key-$from"; then
      printf '%s\n' "$cache/$key-$from"
      return 0
    fi
  done
  return 1
}

case $source in
auto | download | build) ;;
*) fail "CONTROLPLANE_SOURCE is \"$source\"" "Leave it out, or set it to download or build." ;;
esac

if [[ -n ${KUBEBUILDER_ASSETS:-} ]]; then
  if complete "$KUBEBUILDER_ASSETS"; then
    (cd "$KUBEBUILDER_ASSETS" && pwd)
    exit 0
  fi
  say "KUBEBUILDER_ASSETS ($KUBEBUILDER_ASSETS) lacks one of ${binaries[*]}: not used"
fi

command -v "$go" >/dev/null || fail "there is no $go in PATH" "Install Go $(awk '$1 == "go" {print $2}' "$repo/go.mod") or newer."
kubernetes=$(version_of k8s.io/kubernetes kubernetes)
etcd=$(version_of go.etcd.io/etcd/server/v3 etcd)
host=$("$go" env GOVERSION GOHOSTOS GOHOSTARCH)
read -r _ GOOS GOARCH <<<"${host//$'\n'/ }"
export GOOS GOARCH
key=$kubernetes-$({
  cat "$here"/{kubernetes,etcd}/go.{mod,sum}
  echo "$host $recipe"
} | digest)
cache=${XDG_CACHE_HOME:-${HOME:?set HOME or XDG_CACHE_HOME: the binaries are cached there}/.cache}/pipes-operator/controlplane

if cached; then
  exit 0
fi

mkdir -p "$cache" || fail "cannot write to $cache" "Set XDG_CACHE_HOME to a directory that can be written."
lock
if cached; then
  exit 0
fi

# What runs that were killed have left.
find "$cache" -maxdepth 1 -name 'work.*' -mtime +0 -exec rm -rf {} +

builds=
work=$(mktemp -d "$cache/work.XXXXXX")
cleanup() {
  if [[ -n $builds ]]; then kill "$builds" 2>/dev/null || true; fi
  chmod -R u+w "$work" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [[ $source != build ]] && download "$work/download"; then
  publish "$work/download" "$key-download"
elif [[ $source != download ]]; then
  mkdir "$work/build"
  build_all "$work/build"
  publish "$work/build" "$key-build"
else
  fail "the control plane cannot be downloaded from here" \
    "Leave out CONTROLPLANE_SOURCE=download to build it from the Go module proxy," \
    "or set KUBEBUILDER_ASSETS to a directory with kube-apiserver, etcd and kubectl."
fi
