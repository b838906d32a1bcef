#!/usr/bin/env bash
# Writes what the operator's program in the image is made of, as CycloneDX JSON: dist/pipes-operator.cdx.json. It is read from the
# program itself, and has neither a time nor a random number, so that the same program has the same one. Then it is held against
# go.mod: a list that lacks the main module, or has another version of a dependency, is not the program's.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

go=${GO:-go}
cyclonedx=${CYCLONEDX_GOMOD:?run make sbom}
program=${1:?run make sbom}
version=${2:?run make sbom}
readonly sbom=dist/pipes-operator.cdx.json

mkdir -p dist
"$cyclonedx" bin -json -noserial -notimestamp -std -version "$version" -output "$sbom" "$program"

# expect MODULE@VERSION: the list has it.
expect() {
  grep -q -F "\"bom-ref\": \"pkg:golang/$1?" "$sbom" || { echo "sbom: $sbom does not name $1" >&2; exit 1; }
}
expect "$("$go" list -m)@$version"
for module in sigs.k8s.io/controller-runtime k8s.io/client-go; do
  expect "$module@$("$go" list -m -f '{{.Version}}' "$module")"
done
# "go1.26.8 X:boringcrypto" is version 1.26.8 of module std.
built=$("$go" version "$program")
built=${built##*: go}
expect "std@go${built%% *}"
echo "$sbom: $(grep -c '"type": "library"' "$sbom") modules, $version"
