#!/usr/bin/env bash
# Builds the programs of a node for this machine, in addition to those of hack/controlplane, and
# prints their directory on stdout. All other output goes to stderr. The programs are built once
# from source, through the Go module proxy, and cached in
# ${XDG_CACHE_HOME:-~/.cache}/pipes-operator/node. runc needs C libraries, so the script uses the
# runc of the machine. If the machine has none, root on Debian or Ubuntu installs it with
# apt-get.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../.." && pwd)
go=${GO:-go}
source=build
label=node
instead="Or point KUBECONFIG at another cluster."
readonly binaries=(kubelet kube-controller-manager kube-scheduler containerd containerd-shim-runc-v2 ctr bridge host-local)
# The version of the build recipe. Raise it with every change of build_all that changes the
# result.
readonly recipe=1

# shellcheck source=hack/programs.sh
source "$repo/hack/programs.sh"

build_all() { # build_all DIR
  local k=k8s.io/kubernetes/cmd c=github.com/containerd/containerd/v2 n=github.com/containernetworking/plugins/plugins
  say "kubelet, kube-controller-manager and kube-scheduler $kubernetes: building from source, about 3 minutes on 2 cores (once; cached in $cache)"
  build kubernetes "$repo/hack/controlplane/kubernetes" "$1/" "$(kubernetes_stamp "$kubernetes")" $k/kubelet $k/kube-controller-manager $k/kube-scheduler
  say "containerd $containerd: building from source, about 1 minute on 2 cores"
  # Leave out the snapshotters that need more than the kernel.
  GOFLAGS="$GOFLAGS -tags=no_btrfs,no_devmapper,no_zfs,no_aufs" \
    build containerd "$here/containerd" "$1/" "-s -w -X $c/version.Version=$containerd" $c/cmd/containerd $c/cmd/containerd-shim-runc-v2 $c/cmd/ctr
  build cni "$here/cni" "$1/" "-s -w" $n/main/bridge $n/ipam/host-local
}

if ! command -v runc >/dev/null; then
  hint="Install runc (on Debian and Ubuntu: apt-get install runc), or point KUBECONFIG at another cluster."
  [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null || fail "there is no runc in PATH" "$hint"
  say "installing runc with apt-get"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends runc; } >&2 || fail "apt-get could not install runc" "$hint"
fi

command -v "$go" >/dev/null || fail "there is no $go in PATH" "Install Go $(awk '$1 == "go" {print $2}' "$repo/go.mod") or newer."
kubernetes=$(version_of k8s.io/kubernetes "$repo/hack/controlplane/kubernetes/go.mod")
containerd=$(version_of github.com/containerd/containerd/v2 "$here/containerd/go.mod")
key=$kubernetes-$({
  cat "$repo"/hack/controlplane/kubernetes/go.{mod,sum} "$here"/{containerd,cni}/go.{mod,sum}
  echo "$("$go" env GOVERSION GOARCH) $recipe"
} | digest)
cache=${XDG_CACHE_HOME:-${HOME:?set HOME or XDG_CACHE_HOME: the binaries are cached there}/.cache}/pipes-operator/node

if cached; then
  exit 0
fi
begin
mkdir "$work/build"
build_all "$work/build"
publish "$work/build" "$key-build"
