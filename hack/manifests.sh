#!/usr/bin/env bash
# Checks the manifests that kustomize renders: every kustomization in config/, and the installs
# with their components. hack/dryrun creates each object in a dry run, on the API server of `make
# controlplane`, which refuses unknown fields. kube-score checks how workloads run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

go=${GO:-go}
kustomize=${KUSTOMIZE:?run make lint-manifests}
kube_score=${KUBE_SCORE:?run make lint-manifests}
KUBEBUILDER_ASSETS=$(hack/controlplane/install.sh)
export KUBEBUILDER_ASSETS

# The directory is in bin/, which git ignores, because kustomize accepts only relative paths.
mkdir -p bin
work=$(mktemp -d bin/manifests.XXXXXX)
trap 'rm -rf "$work"' EXIT
mkdir "$work/rendered"
result=0

wrong() {
  echo "manifests: $*" >&2
  result=1
}

# render NAME FOLDER: renders a kustomization to $work/rendered/NAME.yaml.
render() { "$kustomize" build "$2" >"$work/rendered/$1.yaml" || wrong "$2 does not build"; }

# overlay NAME FOLDER NAMESPACE COMPONENT...: renders config/FOLDER in a namespace (empty: its
# own), with components.
overlay() {
  local name=$1 folder=$2 namespace=$3 component
  shift 3
  mkdir "$work/$name"
  {
    echo "resources: [../../../config/$folder]"
    [[ -z $namespace ]] || echo "namespace: $namespace"
    echo "components:"
    for component in "$@"; do echo "- ../../../$component"; done
  } >"$work/$name/kustomization.yaml"
  render "$name" "$work/$name"
}

# expect TEXT NAME: kustomize reports no error when a patch matches no object.
expect() { grep -q -e "$1" "$work/rendered/$2.yaml" || wrong "$2 lacks the line \"$1\""; }

# Checks of kube-score that do not apply here, each with its reason.
everywhere=(
  # CPU throttling would delay renewals and probes of the operator. Samples cannot know how much
  # CPU a user has.
  --ignore-container-cpu-limit
  # No container writes to its own file system, which is read-only. Only a sample writes to a
  # volume, and that volume has a limit.
  --ignore-test container-ephemeral-storage-request-and-limit
  # A published tag never moves, and a node that already has the image should not need a
  # registry.
  --ignore-test container-image-pull-policy
  # topologySpreadConstraints spread the replicas. They are soft, because the operator must also
  # run on a cluster with one node.
  --ignore-test deployment-has-host-podantiaffinity
)
# The default install does not restrict egress, because ports differ between clusters. The
# component network-policy restricts it, and with that component this check passes. The user
# decides where the pods of the samples may connect to.
open_egress=(--ignore-test pod-networkpolicy)
version=$(sed -n 's|^.*k8s.io/kubernetes \(v[0-9]*\.[0-9]*\).*|\1|p' hack/controlplane/kubernetes/go.mod)

# score NAME FLAG...: runs kube-score, where warnings are failures too, and prints all findings.
score() {
  local name=$1
  shift
  "$kube_score" score --kubernetes-version "$version" --exit-one-on-warning --output-format ci \
    --enable-optional-test container-seccomp-profile --enable-optional-test container-ports-check \
    "${everywhere[@]}" "$@" "$work/rendered/$name.yaml" >"$work/score" && return
  grep -v -E '^\[(OK|SKIPPED)\]' "$work/score" >&2 || cat "$work/score" >&2
  wrong "kube-score does not accept $name"
}

components=()
while IFS= read -r file; do
  folder=$(dirname "$file")
  if grep -q '^kind: Component$' "$file"; then
    components+=("$folder")
  else
    name=${folder#config/}
    render "${name//\//-}" "$folder"
  fi
done < <(find config -name kustomization.yaml | sort)
overlay default-components default "" "${components[@]}"
expect '^  - Egress$' default-components
expect '^          metrics: enabled$' default-components
overlay namespaced-components namespaced elsewhere config/network-policy
expect '^  - Egress$' namespaced-components

# config/namespaced is for a user with rights in a single namespace.
own=$(awk '$1 == "namespace:" {print $2}' config/namespaced/kustomization.yaml)
kinds=$(sed -n 's/^kind: //p' "$work/rendered/namespaced-components.yaml" | sort -u | tr '\n' ' ')
[[ $kinds == "Deployment NetworkPolicy PodDisruptionBudget Role RoleBinding ServiceAccount " ]] ||
  wrong "config/namespaced has other kinds than the list here: $kinds"
! grep -n -E -e " kind: Cluster|$own|^ *namespace: " "$work/rendered/namespaced-components.yaml" | grep -v 'namespace: elsewhere$' >&2 ||
  wrong "config/namespaced refers to other namespaces, or to kinds of the whole cluster (above)"

"$go" run ./hack/dryrun "$work"/rendered/*.yaml || wrong "the API server does not take all objects (above)"
for name in default namespaced shards ring samples; do score "$name" "${open_egress[@]}"; done
score default-components
score namespaced-components
exit $result
