#!/usr/bin/env bash
# Checks the manifests as kustomize renders them: kubeconform holds each object against the schema of its kind, and refuses fields
# that the schema does not know; kube-score looks at how workloads are run.
#
# The schemas are made here (hack/schemas), of the Kubernetes that `make controlplane` gets, and of our CRDs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

go=${GO:-go}
kustomize=${KUSTOMIZE:?run make lint-manifests}
kubeconform=${KUBECONFORM:?run make lint-manifests}
kube_score=${KUBE_SCORE:?run make lint-manifests}

# In bin/, which git ignores, because kustomize takes relative paths only.
mkdir -p bin
work=$(mktemp -d bin/manifests.XXXXXX)
trap 'rm -rf "$work"' EXIT
result=0

# module FIELD: of the Kubernetes module, where it is, or its version. It is downloaded when it is not there.
module() {
  (cd hack/controlplane/kubernetes && GOWORK=off GOFLAGS=-mod=readonly "$go" mod download -json k8s.io/kubernetes) |
    sed -n -E "s/^\t\"$1\": \"(.*)\",?$/\1/p"
}

# kustomization FOLDER COMPONENT...: the folder with these components, in $work, under the name with "-components" behind it.
kustomization() {
  local folder=$1 component
  shift
  mkdir -p "$work/$folder-components"
  {
    echo "apiVersion: kustomize.config.k8s.io/v1beta1"
    echo "kind: Kustomization"
    echo "resources: [../../../config/$folder]"
    echo "components:"
    for component in "$@"; do echo "- ../../../config/$component"; done
  } >"$work/$folder-components/kustomization.yaml"
}

# render NAME FOLDER
render() {
  "$kustomize" build "$2" >"$work/rendered/$1.yaml" || { echo "manifests: $2 does not build" >&2; result=1; }
}

# Why some checks of kube-score are left out.
everywhere=(
  # Throttling delays renewals and probes, in the operator; and samples are not the place to say how much CPU a user has.
  --ignore-container-cpu-limit
  # Nothing writes to a container's own file system: it is read-only. The one volume that is written to, of a sample, has a limit.
  --ignore-test container-ephemeral-storage-request-and-limit
  # A tag is never moved once it is published, and a node that was given the image need not reach a registry.
  --ignore-test container-image-pull-policy
  # Replicas are kept apart by topologySpreadConstraints, softly, because a cluster of one node has to work as well.
  --ignore-test deployment-has-host-podantiaffinity
)
# Egress is open until the component network-policy closes it: ports differ between clusters. With it, the check holds.
open_egress=(--ignore-test pod-networkpolicy)
# What a user's pods may connect to is the user's.
samples=(--ignore-test pod-networkpolicy)

# score NAME FLAG...: warnings count. It prints all that is not in order.
score() {
  local name=$1
  shift
  if ! "$kube_score" score --kubernetes-version "${version%.*}" --exit-one-on-warning --output-format ci \
    --enable-optional-test container-seccomp-profile --enable-optional-test container-ports-check \
    "${everywhere[@]}" "$@" "$work/rendered/$name.yaml" >"$work/score"; then
    echo "manifests: kube-score does not accept $name:" >&2
    grep -v -E '^\[(OK|SKIPPED)\]' "$work/score" >&2 || cat "$work/score" >&2
    result=1
  fi
}

version=$(module Version)
kubernetes=$(module Dir)
"$go" run ./hack/schemas --openapi "$kubernetes/api/openapi-spec/swagger.json" --out "$work/schemas"

mkdir "$work/rendered"
kustomization default network-policy prometheus
kustomization namespaced network-policy
for folder in default namespaced namespaced-prerequisites shards ring crd user-roles samples; do
  render "$folder" "config/$folder"
done
for folder in default namespaced; do
  render "$folder-components" "$work/$folder-components"
done

# The CRD of ServiceMonitor is the Prometheus operator's, that of ControllerRing the sharder's; neither is at hand.
"$kubeconform" -strict -summary -skip monitoring.coreos.com/v1/ServiceMonitor,sharding.timebertt.dev/v1alpha1/ControllerRing \
  -schema-location "$work/schemas/{{.Group}}/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json" "$work"/rendered/*.yaml || result=1

score default "${open_egress[@]}"
score default-components
score namespaced "${open_egress[@]}"
score namespaced-components
score shards "${open_egress[@]}"
score ring "${open_egress[@]}"
score samples "${samples[@]}"

exit $result
