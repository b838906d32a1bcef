#!/usr/bin/env bash
# Writes dist/pipes-operator.cdx.json, the components of the operator program in the image, as
# CycloneDX JSON. It is generated from the program itself, without a timestamp or a random
# number, so the same program always gives the same file. Then it is compared with go.mod: the
# file is wrong if it lacks the main module or has another version of a dependency.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

go=${GO:-go}
cyclonedx=${CYCLONEDX_GOMOD:?run make sbom}
program=${1:?run make sbom}
version=${2:?run make sbom}
readonly sbom=dist/pipes-operator.cdx.json

mkdir -p dist
"$cyclonedx" bin -json -noserial -notimestamp -std -version "$version" -output "$sbom" "$program"

# expect MODULE@VERSION: fails unless the file lists it.
expect() {
  grep -q -F "\"bom-ref\": \"pkg:golang/$1?" "$sbom" || { echo "sbom: $sbom does not name $1" >&2; exit 1; }
}
expect "$("$go" list -m)@$version"
for module in sigs.k8s.io/controller-runtime k8s.io/client-go; do
  expect "$module@$("$go" list -m -f '{{.Version}}' "$module")"
done
# For example, "go1.26.8 X:boringcrypto" means version 1.26.8 of module std.
built=$("$go" version "$program")
built=${built##*: go}
expect "std@go${built%% *}"
echo "$sbom: $(grep -c '"type": "library"' "$sbom") modules, $version"
