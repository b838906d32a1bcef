# The commands for developers and CI. `make` without a target lists them.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

GO ?= go
# The version that the binaries report.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# The image of the targets image and docker-build, and the container tool of docker-build.
IMG ?= pipes-operator:dev
CONTAINER_TOOL ?= docker
# Extra flags for the tools image of make images.
# Example: TOOLS_FLAGS='--add /usr/bin/server=bin/server'
TOOLS_FLAGS ?=

TEST_PACKAGES ?= ./...
TEST_TIMEOUT ?= 30m
# Extra flags for go test. Example: TEST_FLAGS='-run TestRenewal -v'
TEST_FLAGS ?=
# Extra flags for make run. Example: RUN_FLAGS=--default-environment=pipes-system/default
RUN_FLAGS ?=

# The folders of the Go modules with code. hack/cluster and hack/image have modules of their own, so
# that the operator does not depend on their libraries.
MODULES := . hack/cluster hack/image
# $(call each-module,COMMAND) runs a command in every module. It fails if one of them fails.
each-module = code=0; for module in $(MODULES); do (cd $$module && $(1)) || code=$$?; done; exit $$code

BIN := $(CURDIR)/bin
CONTROLPLANE := hack/controlplane/install.sh

# --- Tools ------------------------------------------------------------------------------------
# Each tool is a separate Go module in hack/tools: go.mod pins the version and go.sum the
# checksums, and no tool changes the dependencies of another tool. The folder name contains the
# version, so a new version causes a rebuild. The file name does not contain it, because
# controller-gen writes its own name into the files that it generates.

# $(call version-of,folder,module) is the version of the module in hack/tools/folder/go.mod.
version-of = $(shell awk '$$1 == "$(2)" {print $$2; exit}' hack/tools/$(1)/go.mod)

CONTROLLER_GEN := $(BIN)/controller-gen-$(call version-of,controller-gen,sigs.k8s.io/controller-tools)/controller-gen
KUSTOMIZE := $(BIN)/kustomize-$(call version-of,kustomize,sigs.k8s.io/kustomize/kustomize/v5)/kustomize
# golangci-lint with kube-api-linter compiled in.
GOLANGCI_LINT := $(BIN)/golangci-lint-$(call version-of,golangci-lint,github.com/golangci/golangci-lint/v2)/golangci-lint
GOVULNCHECK := $(BIN)/govulncheck-$(call version-of,govulncheck,golang.org/x/vuln)/govulncheck
KUBE_SCORE := $(BIN)/kube-score-$(call version-of,kube-score,github.com/zegl/kube-score)/kube-score
CYCLONEDX_GOMOD := $(BIN)/cyclonedx-gomod-$(call version-of,cyclonedx-gomod,github.com/CycloneDX/cyclonedx-gomod)/cyclonedx-gomod

$(CONTROLLER_GEN): PACKAGE := sigs.k8s.io/controller-tools/cmd/controller-gen
$(CONTROLLER_GEN): hack/tools/controller-gen/go.mod hack/tools/controller-gen/go.sum
$(KUSTOMIZE): PACKAGE := sigs.k8s.io/kustomize/kustomize/v5
$(KUSTOMIZE): hack/tools/kustomize/go.mod hack/tools/kustomize/go.sum
$(GOLANGCI_LINT): PACKAGE := sigs.k8s.io/kube-api-linter/cmd/golangci-lint-kube-api-linter
$(GOLANGCI_LINT): hack/tools/golangci-lint/go.mod hack/tools/golangci-lint/go.sum
$(GOVULNCHECK): PACKAGE := golang.org/x/vuln/cmd/govulncheck
$(GOVULNCHECK): hack/tools/govulncheck/go.mod hack/tools/govulncheck/go.sum
$(KUBE_SCORE): PACKAGE := github.com/zegl/kube-score/cmd/kube-score
$(KUBE_SCORE): hack/tools/kube-score/go.mod hack/tools/kube-score/go.sum
$(CYCLONEDX_GOMOD): PACKAGE := github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod
$(CYCLONEDX_GOMOD): hack/tools/cyclonedx-gomod/go.mod hack/tools/cyclonedx-gomod/go.sum

$(CONTROLLER_GEN) $(KUSTOMIZE) $(GOLANGCI_LINT) $(GOVULNCHECK) $(KUBE_SCORE) $(CYCLONEDX_GOMOD):
	@echo "building $(@F)"
	@cd $(<D) && CGO_ENABLED=0 GOWORK=off GOFLAGS=-mod=readonly $(GO) build -trimpath -ldflags "-s -w" -o $@ $(PACKAGE)

##@ General

.PHONY: help
help: ## Show this list.
	@awk 'BEGIN {FS = ":.*##"; printf "Usage: make \033[36m<target>\033[0m\n"} \
		/^[a-zA-Z0-9_-]+:.*?##/ {printf "  \033[36m%-16s\033[0m %s\n", $$1, $$2} \
		/^##@/ {printf "\n\033[1m%s\033[0m\n", substr($$0, 5)}' $(MAKEFILE_LIST)

# The demo is built and started with exec. With go run, signals and the exit code would not be
# those of the demo.
.PHONY: demo
demo: ## Watch it work: control plane, simulator, operator, samples. ONCE=1 ends after the last step.
	@started=$$(date +%s) && assets=$$($(CONTROLPLANE)) && \
		echo "Building the operator and the demo, which the first time takes a minute or two" && \
		$(GO) build -ldflags "-s -w" -o $(BIN)/demo/ ./cmd/pipes-operator ./hack/demo && \
		KUBEBUILDER_ASSETS="$$assets" exec $(BIN)/demo/demo --since=$$started $(if $(filter-out 0 false no,$(ONCE)),--once)

.PHONY: clean
clean: ## Remove what was built here. The control plane stays cached in ~/.cache/pipes-operator.
	@rm -rf bin dist

##@ Development

.PHONY: generate
generate: $(CONTROLLER_GEN) ## Generate deep copies and apply configurations of the API types.
	@$(CONTROLLER_GEN) object applyconfiguration paths=./api/...

.PHONY: manifests
manifests: $(CONTROLLER_GEN) ## Generate the CRDs and the operator's ClusterRole into config/.
	@$(CONTROLLER_GEN) crd paths=./api/... output:crd:dir=config/crd/bases
	@$(CONTROLLER_GEN) rbac:roleName=manager paths=./controllers/... output:rbac:dir=config/rbac

.PHONY: fmt
fmt: $(GOLANGCI_LINT) ## Format the code and sort its imports.
	@$(GOLANGCI_LINT) fmt

.PHONY: vet
vet: ## Run go vet.
	@$(call each-module,$(GO) vet ./...)

.PHONY: lint
lint: $(GOLANGCI_LINT) ## Lint the code (.golangci.yml).
	@$(call each-module,$(GOLANGCI_LINT) run --config $(CURDIR)/.golangci.yml)

.PHONY: lint-fix
lint-fix: $(GOLANGCI_LINT) ## Lint the code and repair what can be repaired.
	@$(call each-module,$(GOLANGCI_LINT) run --config $(CURDIR)/.golangci.yml --fix)

.PHONY: lint-api
lint-api: $(GOLANGCI_LINT) ## Lint the API types with kube-api-linter (.golangci-kal.yml).
	@$(GOLANGCI_LINT) run --config .golangci-kal.yml ./api/...

.PHONY: run
run: ## Run the operator from source against the cluster of your kubeconfig. RUN_FLAGS adds flags.
	@$(GO) run ./cmd/pipes-operator $(RUN_FLAGS)

##@ Checks

.PHONY: verify
verify: $(CONTROLLER_GEN) $(KUSTOMIZE) $(GOLANGCI_LINT) $(KUBE_SCORE) $(GOVULNCHECK) ## Regenerate everything, lint, check the manifests, look for vulnerabilities; fail if a file changes.
	@GO="$(GO)" MAKE="$(MAKE)" hack/verify.sh

.PHONY: lint-manifests
lint-manifests: $(KUSTOMIZE) $(KUBE_SCORE) ## Check the rendered manifests with a dry run and kube-score.
	@GO="$(GO)" KUSTOMIZE="$(KUSTOMIZE)" KUBE_SCORE="$(KUBE_SCORE)" hack/manifests.sh

.PHONY: vuln
vuln: $(GOVULNCHECK) ## Look for known vulnerabilities in what the code calls, with govulncheck.
	@GOVULNCHECK="$(GOVULNCHECK)" MODULES="$(MODULES)" hack/vuln.sh

# TEST_PACKAGES, if set, are packages of the operator's module.
.PHONY: test
test: MODULES := $(if $(filter ./...,$(TEST_PACKAGES)),$(MODULES),.)
test: ## Run unit and envtest suites on a real control plane, with the race detector, in random order.
	@assets=$$($(CONTROLPLANE)); echo "control plane: $$assets"; \
		export CGO_ENABLED=1 KUBEBUILDER_ASSETS="$$assets"; \
		$(call each-module,$(GO) test -race -shuffle=on -timeout=$(TEST_TIMEOUT) $(TEST_FLAGS) $(TEST_PACKAGES))

.PHONY: fuzz
fuzz: ## Run every fuzz target for a while: FUZZTIME=5s, FUZZ=REGEXP for some.
	@GO="$(GO)" hack/fuzz.sh

.PHONY: controlplane
controlplane: ## Get kube-apiserver, etcd and kubectl, and print the directory.
	@$(CONTROLPLANE)

##@ A cluster

CLUSTER := $(BIN)/cluster/cluster
# The port of 127.0.0.1 for the API server of the cluster.
CLUSTER_PORT ?= 6443

# The image for process 1 of each pod in the cluster. No registry has this image.
CLUSTER_SANDBOX := localhost/pipes-operator-cluster/pause:latest

.PHONY: cluster-program
cluster-program:
	@[[ $$($(GO) env GOHOSTOS) == linux ]] || { echo "cluster: this needs Linux: point KUBECONFIG at another cluster" >&2; exit 1; }
	@CGO_ENABLED=0 $(GO) -C hack/cluster build -o $(BIN)/cluster/ .

# Check the machine quickly before steps that take minutes.
.PHONY: cluster-check
cluster-check: cluster-program
	@$(CLUSTER) check --port=$(CLUSTER_PORT)

.PHONY: cluster-up
cluster-up: cluster-check ## Start a cluster of one node on this machine, and print its kubeconfig. Takes Linux and root.
	@CGO_ENABLED=0 $(GO) -C hack/cluster build -trimpath -ldflags "-s -w" -o $(BIN)/cluster/ ./pause
	@$(GO) -C hack/image build -o $(BIN)/image .
	@$(BIN)/image --binary $(BIN)/cluster/pause --tag $(CLUSTER_SANDBOX) --output $(BIN)/cluster/pause.tar >/dev/null
	@assets=$$($(CONTROLPLANE)) && node=$$(hack/cluster/install.sh) && \
		$(CLUSTER) up --port=$(CLUSTER_PORT) --control-plane="$$assets" --node="$$node" \
			--sandbox-image=$(CLUSTER_SANDBOX) --sandbox-archive=$(BIN)/cluster/pause.tar

.PHONY: cluster-down
cluster-down: cluster-program ## Stop it, and remove all that is left of it.
	@$(CLUSTER) down

.PHONY: test-e2e
test-e2e: $(KUSTOMIZE) ## Run the end-to-end suite on the cluster of KUBECONFIG (LOAD says how it gets images), or on one of its own.
	@GO="$(GO)" MAKE="$(MAKE)" KUSTOMIZE="$(KUSTOMIZE)" hack/e2e.sh

##@ Reliability

.PHONY: test-reliability
test-reliability: ## Try to break every promise of docs/explanation/reliability.md, for some minutes; FULL=1: for the record, which it writes there.
	@GO="$(GO)" hack/reliability.sh

##@ Performance

# N is the number of PipesTokens. LIFETIME is the lifetime of their tokens. LEAD is how long
# before expiry the upstream returns the next token ("always": on every call). LATENCY is how
# long the upstream takes to answer.
N ?= 1000
LIFETIME ?= 10m
LEAD ?= 60s
LATENCY ?= 0s
# WORKERS is how many PipesTokens the operator reconciles in parallel. LIFETIMES is how many
# token lifetimes the rotation scenario lasts. BUDGET is the requests per minute of the scenario
# budget.
WORKERS ?= 20
LIFETIMES ?= 2
BUDGET ?= 6000
# SCENARIOS is a comma-separated list of scenarios; a name may occur several times. Empty means
# all. OUT is the directory for the results. Empty means a new temporary directory.
SCENARIOS ?=
OUT ?=

# The measured programs are built like a release.
.PHONY: bench
bench: ## Measure what the operator costs, beside what is needed at least. N=1000 LIFETIME=10m LEAD=60s ... (see Makefile).
	@assets=$$($(CONTROLPLANE)) && \
		CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o $(BIN)/bench/ ./cmd/... ./test/bench && \
		KUBEBUILDER_ASSETS="$$assets" exec $(BIN)/bench/bench --n=$(N) --lifetime=$(LIFETIME) --lead=$(LEAD) --latency=$(LATENCY) \
			--workers=$(WORKERS) --lifetimes=$(LIFETIMES) --budget=$(BUDGET) $(if $(SCENARIOS),--scenarios=$(SCENARIOS)) --out="$(OUT)"

.PHONY: bench-medians
bench-medians: ## Make one page of the results of several runs of bench. RESULTS="a/results.json b/results.json c/results.json".
	@$(GO) run ./test/bench medians $(RESULTS)

##@ Build

.PHONY: build
build: ## Build the operator and the simulator into bin/.
	@CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o $(BIN)/ ./cmd/...

.PHONY: docker-build
docker-build: ## Build the image IMG.
	@$(CONTAINER_TOOL) build --build-arg VERSION=$(VERSION) -t $(IMG) .

# GOARCH=arm64 applies to the programs in the image, not to the tool that builds the image.
.PHONY: image-programs
image-programs:
	@CGO_ENABLED=0 GOOS=linux $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o $(BIN)/linux/ ./cmd/...
	@GOOS= GOARCH= $(GO) -C hack/image build -o $(BIN)/image .

.PHONY: image
image: image-programs ## Build the image IMG without Docker, into dist/images/pipes-operator.tar.
	@$(BIN)/image --binary $(BIN)/linux/pipes-operator --platform linux/$$($(GO) env GOARCH) --tag $(IMG) \
		--version $(VERSION) --output dist/images/pipes-operator.tar

.PHONY: images
images: image ## Build the image IMG, the simulator's, and one with tools for sample pods, into dist/images/.
	@$(BIN)/image --binary $(BIN)/linux/workos-simulator --platform linux/$$($(GO) env GOARCH) --tag workos-simulator:dev \
		--version $(VERSION) --output dist/images/workos-simulator.tar
	@$(BIN)/image --tools --tag pipes-operator-e2e-tools:dev $(TOOLS_FLAGS) --output dist/images/e2e-tools.tar

# The SBOM describes the program in the image.
.PHONY: sbom
sbom: $(CYCLONEDX_GOMOD) image-programs ## Write dist/pipes-operator.cdx.json: what the operator is made of.
	@GO="$(GO)" CYCLONEDX_GOMOD="$(CYCLONEDX_GOMOD)" hack/sbom.sh $(BIN)/linux/pipes-operator $(VERSION)

# The overlay is in bin/, so that no tracked file changes. The patch uses IMG unchanged.
.PHONY: build-installer
build-installer: $(KUSTOMIZE) ## Write dist/install.yaml: all of config/default, with the image IMG.
	@mkdir -p dist && overlay=$$(mktemp -d bin/installer.XXXXXX) && trap 'rm -rf "$$overlay"' EXIT && \
		(cd "$$overlay" && "$(KUSTOMIZE)" create --resources ../../config/default && \
			"$(KUSTOMIZE)" edit add patch --kind Deployment --name pipes-operator-manager --patch \
			'[{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "$(IMG)"}]') && \
		{ echo "# pipes-operator $(VERSION), with the image $(IMG): kubectl apply -f install.yaml" && \
			echo "# What comes next, the API key and who may use it, is in README.md, Install on a cluster." && \
			"$(KUSTOMIZE)" build "$$overlay"; } >"$$overlay/install.yaml" && \
		mv "$$overlay/install.yaml" dist/ && echo "dist/install.yaml, with the image $(IMG)"
