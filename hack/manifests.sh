#!/usr/bin/env bash
# Checks the manifests that kustomize renders. kubeconform validates each object against the
# schema of its kind, and rejects unknown fields. kube-score checks how workloads run.
#
# hack/schemas generates the schemas, from the Kubernetes version of `make controlplane` and from
# our CRDs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

go=${GO:-go}
kustomize=${KUSTOMIZE:?run make lint-manifests}
kubeconform=${KUBECONFORM:?run make lint-manifests}
kube_score=${KUBE_SCORE:?run make lint-manifests}

# The directory is in bin/, which git ignores, because kustomize accepts only relative paths.
mkdir -p bin
work=$(mktemp -d bin/manifests.XXXXXX)
trap 'rm -rf "$work"' EXIT
result=0

# module FIELD: prints a field of the Kubernetes module: Dir or Version. It downloads the module
# if necessary.
module() {
  (cd hack/controlplane/kubernetes && GOWORK=off GOFLAGS=-mod=readonly "$go" mod download -json k8s.io/kubernetes) |
    sed -n -E "s/^\t\"$1\": \"(.*)\",?$/\1/p"
}

# kustomization FOLDER COMPONENT...: creates $work/FOLDER-components, a kustomization of the
# folder with these components.
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

# render NAME FOLDER: renders a kustomization to $work/rendered/NAME.yaml.
render() {
  "$kustomize" build "$2" >"$work/rendered/$1.yaml" || { echo "manifests: $2 does not build" >&2; result=1; }
}

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
# component network-policy restricts it, and with that component this check passes.
open_egress=(--ignore-test pod-networkpolicy)
# The user decides where the pods of the samples may connect to.
samples=(--ignore-test pod-networkpolicy)

# score NAME FLAG...: runs kube-score, where warnings are failures too, and prints all findings.
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

# We do not have the CRDs of these two kinds: the Prometheus operator owns ServiceMonitor, and
# the sharder owns ControllerRing.
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
