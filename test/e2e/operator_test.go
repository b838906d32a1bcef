//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/pipes-operator/pipes-operator/test/harness/canary"
)

const (
	operatorNamespace  = "pipes-system"
	operatorDeployment = "deployment/pipes-operator-manager"
	operatorSelector   = "app.kubernetes.io/name=pipes-operator,app.kubernetes.io/component=manager"
	operatorAccount    = "system:serviceaccount:pipes-system:pipes-operator-manager"
	leaseName          = "pipes-operator.pipes.workos.com"
)

// overlay is a kustomization on top of an installer, as a user would write it. It adds the
// settings that only the tests need: the address of the simulator, which uses http, and the
// debug log. A debug log is the most likely place for a leaked secret.
const overlay = `
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [install.yaml]
patches:
- target: {kind: Deployment}
  patch: |
    - {op: add, path: /spec/template/spec/containers/0/args/-, value: --allow-insecure-upstream}
    - {op: add, path: /spec/template/spec/containers/0/args/-, value: "--allowed-upstream-hosts=%s"}
    - {op: add, path: /spec/template/spec/containers/0/args/-, value: --zap-log-level=debug}
`

// environment returns the YAML of a PipesEnvironment and its API key. All namespaces of the
// suite may use it.
func environment(namespace, key string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Secret
metadata: {name: workos-api-key, namespace: %[1]s}
stringData: {api-key: %[2]s}
---
apiVersion: pipes.workos.com/v1alpha1
kind: PipesEnvironment
metadata: {name: default, namespace: %[1]s}
spec:
  apiKeySecretRef: {name: workos-api-key, key: api-key}
  baseURL: http://%[3]s
  grants:
  - namespaces: {selector: {matchLabels: {e2e: granted}}}
    slugs: ["*"]
    organizationIDs: ["*"]
    userIDs: ["*"]
`, namespace, key, with.Simulator)
}

// installOperator installs dist/install.yaml and a PipesEnvironment, and waits until both are
// ready.
func installOperator() {
	GinkgoHelper()
	applyInstaller("install.yaml")
	rolledOut(operatorNamespace)
	apply(environment(operatorNamespace, apiKey))
	waitFor(operatorNamespace, "pipesenvironment/default", "condition=Ready", time.Minute)
}

// applyInstaller applies an installer from dist through the overlay. kubectl must print no
// warning.
func applyInstaller(name string) {
	GinkgoHelper()
	yaml, err := os.ReadFile(filepath.Join(with.Dist, name))
	Expect(err).NotTo(HaveOccurred())
	folder, err := os.MkdirTemp(with.Dist, "overlay-")
	Expect(err).NotTo(HaveOccurred())
	defer func() { _ = os.RemoveAll(folder) }()
	Expect(os.WriteFile(filepath.Join(folder, "install.yaml"), yaml, 0o600)).To(Succeed())
	Expect(os.WriteFile(filepath.Join(folder, "kustomization.yaml"), fmt.Appendf(nil, overlay, with.Simulator), 0o600)).To(Succeed())
	kubectl("apply", "--kustomize="+folder, "--warnings-as-errors")
}

// overlayOf creates a kustomization of a folder in config, with the flags of the suite. more is
// additional YAML.
func overlayOf(base, more string) (folder string) {
	GinkgoHelper()
	folder, err := os.MkdirTemp(with.Dist, "deploy-")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(os.RemoveAll, folder)
	base, err = filepath.Rel(folder, base)
	Expect(err).NotTo(HaveOccurred())
	text := strings.Replace(fmt.Sprintf(overlay, with.Simulator), "[install.yaml]", "["+base+"]", 1) +
		"images:\n- {name: pipes-operator, newTag: e2e}\n" + more + "\n"
	Expect(os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte(text), 0o600)).To(Succeed())
	return folder
}

// rolledOut waits until the rollout of the operator in a namespace is complete.
func rolledOut(namespace string) {
	GinkgoHelper()
	kubectl("rollout", "status", operatorDeployment, "--namespace="+namespace, "--timeout=3m")
}

// uninstallOperator runs the commands of docs/guides/operate.md under Uninstall.
func uninstallOperator() {
	GinkgoHelper()
	kubectl("delete", "pipestokens", "--all", "--all-namespaces", "--timeout=1m")
	kubectl("delete", "pipesenvironments", "--all", "--all-namespaces", "--timeout=1m")
	kubectl("delete", "--filename="+filepath.Join(with.Dist, "install.yaml"), "--timeout=3m")
}

// leader returns the pod of the leader and the ID of its process, from the holder of the Lease.
// Both are empty without a holder.
func leader() (pod, process string) {
	GinkgoHelper()
	holder := kubectl("get", "lease", leaseName, "--namespace="+operatorNamespace, "--output=jsonpath={.spec.holderIdentity}")
	pod, process, _ = strings.Cut(holder, "_")
	return pod, process
}

// expectNoCanaries expects no token and no API key in the output of the operator in a namespace:
// logs, API objects, events and metadata of Secrets. It searches for all forms in package
// canary.
func expectNoCanaries(namespace string) {
	GinkgoHelper()
	for what, text := range map[string]string{
		"its log":              kubectl("logs", "--selector="+operatorSelector, "--namespace="+namespace, "--tail=-1", "--prefix"),
		"PipesTokens":          kubectl("get", "pipestokens", "--all-namespaces", "--output=yaml"),
		"PipesEnvironments":    kubectl("get", "pipesenvironments", "--all-namespaces", "--output=yaml"),
		"events":               kubectl("get", "events.events.k8s.io", "--all-namespaces", "--output=yaml"),
		"metadata of Secrets":  kubectl("get", "secrets", "--all-namespaces", "--selector=app.kubernetes.io/managed-by=pipes-operator", "--output=jsonpath={.items[*].metadata}"),
		"the simulator's list": string(control("get", "requests", nil)),
	} {
		Expect(canary.Find(text)).To(BeEmpty(), what)
	}
}
