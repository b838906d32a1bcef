#!/usr/bin/env bash
# Gets kube-apiserver, etcd and kubectl for this machine, and prints their directory on stdout.
# The directory can be used as KUBEBUILDER_ASSETS. All other output goes to stderr.
#
# The sources, in this order:
#   1. KUBEBUILDER_ASSETS, if it contains all three already;
#   2. the cache: ${XDG_CACHE_HOME:-~/.cache}/pipes-operator/controlplane;
#   3. setup-envtest, which downloads them in seconds, if its index is reachable;
#   4. source code through the Go module proxy, which takes minutes, once.
#
# CONTROLPLANE_SOURCE=download skips 4, and =build skips 3. Both also ignore cached binaries from
# the skipped source.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../.." && pwd)
go=${GO:-go}
source=${CONTROLPLANE_SOURCE:-auto}
label=controlplane
instead="Or set KUBEBUILDER_ASSETS to a directory with kube-apiserver, etcd and kubectl."
readonly binaries=(kube-apiserver etcd kubectl)
# The version of the build recipe. Raise it with every change of build_all that changes the
# result.
readonly recipe=1
readonly index_seconds=15
readonly download_seconds=600

# shellcheck source=hack/programs.sh
source "$repo/hack/programs.sh"

# limited SECONDS COMMAND...: kills the command after SECONDS. (Not every system has timeout(1).)
limited() {
  local limit=$1 pid started=$SECONDS
  shift
  "$@" 9>&- &
  pid=$!
  while kill -0 "$pid" 2>/dev/null && ((SECONDS - started < limit)); do sleep 0.2; done
  kill "$pid" 2>/dev/null || true
  wait "$pid"
}

build_all() { # build_all DIR
  local stamp
  stamp=$(kubernetes_stamp "$kubernetes")
  say "kube-apiserver $kubernetes: building from source, about 4 minutes on 2 cores (once; cached in $cache)"
  build kube-apiserver "$here/kubernetes" "$1/kube-apiserver" "$stamp" k8s.io/kubernetes/cmd/kube-apiserver
  say "kubectl $kubernetes: building from source, about 1 minute on 2 cores"
  build kubectl "$here/kubernetes" "$1/kubectl" "$stamp" k8s.io/kubernetes/cmd/kubectl
  say "etcd $etcd: building from source, about half a minute on 2 cores"
  build etcd "$here/etcd" "$1/etcd" "-s -w" go.etcd.io/etcd/server/v3
}

# download DIR: moves the binaries of setup-envtest to DIR. It fails if it gets none in time.
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
  if ! limited "$index_seconds" "$tool" list "$series" >"$work/index" 2>&1 || ! grep -q -F "v${series%x}" "$work/index"; then
    say "it has none for this machine, or its index cannot be reached from here"
    return 1
  fi
  say "downloading with setup-envtest (at most $download_seconds s)"
  if ! limited "$download_seconds" "$tool" use "$series" --bin-dir "$work/envtest" -p path >"$work/found" 2>"$work/use.log"; then
    tail -n 5 "$work/use.log" >&2
    say "the download failed"
    return 1
  fi
  found=$(<"$work/found")
  complete "$found" || { say "the download lacks one of ${binaries[*]}"; return 1; }
  chmod -R u+w "$found"
  mv "$found" "$1"
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
kubernetes=$(version_of k8s.io/kubernetes "$here/kubernetes/go.mod")
etcd=$(version_of go.etcd.io/etcd/server/v3 "$here/etcd/go.mod")
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

begin
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
