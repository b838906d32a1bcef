#!/usr/bin/env bash
# `make verify` runs this script. It regenerates all generated files in place, and fails and
# prints the difference if a file changes. On a clean clone this is the same as a dirty `git
# status`. In a tree with uncommitted changes, only the changes of the generators count. It also
# runs the linters, builds every overlay and looks for vulnerabilities.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

go=${GO:-go}
make=${MAKE:-make}
kustomize=${KUSTOMIZE:?run make verify}

# The directory is in bin/, which git ignores, because kustomize accepts only relative paths.
mkdir -p bin
work=$(mktemp -d bin/verify.XXXXXX)
trap 'rm -rf "$work"' EXIT

steps=0
failed=()

# step NAME COMMAND...: runs the command and continues after a failure, so that one run shows all
# failures.
step() {
  local name=$1 started=$SECONDS
  shift
  steps=$((steps + 1))
  echo "verify: $name"
  if "$@"; then
    echo "verify: $name: ok, $((SECONDS - started)) s"
  else
    failed+=("$name")
    echo "verify: $name: FAILED, $((SECONDS - started)) s" >&2
  fi
}

# apart: runs git with a separate index and object directory, so that the repository stays
# unchanged.
apart() {
  GIT_INDEX_FILE=$PWD/$work/index \
    GIT_OBJECT_DIRECTORY=$PWD/$work \
    GIT_ALTERNATE_OBJECT_DIRECTORIES=$(git rev-parse --path-format=absolute --git-path objects) \
    git "$@"
}

# snapshot: writes all files of the tree that are not ignored to a git tree object, and prints
# its ID.
snapshot() {
  apart add --all . && apart write-tree
}

tidy() {
  local mod result=0
  while IFS= read -r mod; do
    if ! (cd "$(dirname "$mod")" && GOWORK=off GOFLAGS=-mod=mod "$go" mod tidy -diff); then
      echo "$mod is not tidy: run go mod tidy in $(dirname "$mod")" >&2
      result=1
    fi
  done < <(git ls-files --cached --others --exclude-standard -- 'go.mod' '*/go.mod')
  return $result
}

regenerate() {
  local before after
  before=$(snapshot)
  "$make" generate manifests || return 1
  after=$(snapshot)
  if [[ $before != "$after" ]]; then
    apart --no-pager diff "$before" "$after" --
    echo "generated files differ from their sources (above): run make generate manifests, and commit the result" >&2
    return 1
  fi
}

# overlays: builds every kustomization. Components need a base, so they are built on
# config/default.
overlays() {
  local file folder result=0
  mkdir -p "$work/components"
  {
    echo "apiVersion: kustomize.config.k8s.io/v1beta1"
    echo "kind: Kustomization"
    echo "resources: [../../../config/default]"
    echo "components:"
  } >"$work/components/kustomization.yaml"
  while IFS= read -r file; do
    folder=$(dirname "$file")
    if grep -q '^kind: Component$' "$file"; then
      echo "- ../../../$folder" >>"$work/components/kustomization.yaml"
    else
      "$kustomize" build "$folder" >/dev/null || { echo "$folder does not build" >&2; result=1; }
    fi
  done < <(find config -name kustomization.yaml | sort)
  "$kustomize" build "$work/components" >"$work/components.yaml" ||
    { echo "config/default with all components does not build" >&2; result=1; }
  # kustomize reports no error when a patch of a component matches no object.
  grep -q '^  - Egress$' "$work/components.yaml" && grep -q '^          metrics: enabled$' "$work/components.yaml" ||
    { echo "config/network-policy does not narrow both policies of config/default" >&2; result=1; }
  return $result
}

# namespaced: checks config/namespaced in a different namespace. All its objects must be in that
# namespace and of the allowed kinds.
namespaced() {
  mkdir -p "$work/namespaced"
  {
    echo "apiVersion: kustomize.config.k8s.io/v1beta1"
    echo "kind: Kustomization"
    echo "namespace: elsewhere"
    echo "resources: [../../../config/namespaced]"
    echo "components: [../../../config/network-policy]"
  } >"$work/namespaced/kustomization.yaml"
  "$kustomize" build "$work/namespaced" >"$work/namespaced.yaml" || { echo "config/namespaced does not build" >&2; return 1; }
  grep -q '^  - Egress$' "$work/namespaced.yaml" ||
    { echo "config/network-policy does not narrow the policy of config/namespaced" >&2; return 1; }
  awk -v own="$(awk '$1 == "namespace:" {print $2}' config/namespaced/kustomization.yaml)" -v want=elsewhere '
    function wrong(what) { print "config/namespaced: " kind " " name ": " what; bad = 1 }
    function finish() {
      if (!(kind in allowed)) wrong("is none of the kinds that it may have")
      if (namespace != want) wrong("is not in the namespace of the kustomization")
      kind = name = namespace = section = ""
    }
    BEGIN {
      split("Deployment NetworkPolicy PodDisruptionBudget Role RoleBinding ServiceAccount", kinds)
      for (i in kinds) allowed[kinds[i]]
    }
    /^---$/ { finish(); next }
    /^[a-zA-Z]/ { section = $1 }
    /^kind: / { kind = $2 }
    section == "metadata:" && /^  name: / { name = $2 }
    section == "metadata:" && /^  namespace: / { namespace = $2 }
    index($0, own) { wrong("still has " own) }
    /^ +(- )?kind: Cluster/ { wrong("refers to a " $NF) }
    END { finish(); exit bad }
  ' "$work/namespaced.yaml" >&2
}

git rev-parse --git-dir >/dev/null || { echo "verify: this is no git checkout" >&2; exit 1; }

step "modules are tidy" tidy
step "generated files" regenerate
step "lint" "$make" lint
step "API lint" "$make" lint-api
step "overlays" overlays
step "namespaced install" namespaced
step "manifests" "$make" lint-manifests
step "vulnerabilities" "$make" vuln

if ((${#failed[@]})); then
  printf 'verify: %d of %d checks failed: %s\n' "${#failed[@]}" "$steps" "$(IFS=,; echo "${failed[*]}")" >&2
  exit 1
fi
echo "verify: all checks passed in $SECONDS s"
