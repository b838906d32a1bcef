//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// kubectlLimit is longer than any --timeout that a spec passes to kubectl.
const kubectlLimit = 6 * time.Minute

// kubectl runs kubectl, which must succeed, and returns its stdout.
func kubectl(args ...string) string {
	GinkgoHelper()
	output, err := tryKubectl("", args...)
	Expect(err).NotTo(HaveOccurred())
	return output
}

// tryKubectl runs kubectl with an input and returns its stdout. Its error includes stderr.
func tryKubectl(input string, args ...string) (string, error) {
	stdout, stderr, err := runKubectl(input, args...)
	if err != nil {
		return stdout, fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, stderr)
	}
	return stdout, nil
}

// runKubectl runs kubectl with an input and returns stdout and stderr. Its error is that of the
// process.
func runKubectl(input string, args ...string) (stdout, stderr string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), kubectlLimit)
	defer cancel()
	var printed, complained bytes.Buffer
	cmd := exec.CommandContext(ctx, with.Kubectl, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &printed, &complained
	// Ignore the kubectl preferences of the user who runs the tests.
	cmd.Env = append(cmd.Environ(), "KUBERC=off")
	err = cmd.Run()
	return printed.String(), complained.String(), err
}

// apply applies YAML.
func apply(yaml string) string {
	GinkgoHelper()
	output, err := tryKubectl(yaml, "apply", "--filename=-")
	Expect(err).NotTo(HaveOccurred(), yaml)
	return output
}

// get reads an object into a Go value. args name the object, as in kubectl get.
func get[T any](args ...string) T {
	GinkgoHelper()
	var object T
	Expect(json.Unmarshal([]byte(kubectl(append([]string{"get", "--output=json"}, args...)...)), &object)).To(Succeed())
	return object
}

// waitFor runs kubectl wait. condition is the value of --for.
func waitFor(namespace, object, condition string, limit time.Duration) {
	GinkgoHelper()
	kubectl("wait", object, "--namespace="+namespace, "--for="+condition, "--timeout="+limit.String())
}

// waitForReason waits until the Ready condition of a PipesToken has this reason.
func waitForReason(namespace, token, reason string, limit time.Duration) {
	GinkgoHelper()
	waitFor(namespace, "pipestoken/"+token, readyReason+reason, limit)
}

// waitForEnvironment waits until the Ready condition of the PipesEnvironment default has this
// reason.
func waitForEnvironment(namespace, reason string, limit time.Duration) {
	GinkgoHelper()
	waitFor(namespace, "pipesenvironment/default", readyReason+reason, limit)
}

// readyReason is the value of --for up to the reason.
const readyReason = `jsonpath={.status.conditions[?(@.type=="Ready")].reason}=`

// newNamespace creates a namespace that enforces the Pod Security Standard restricted and that
// may use the PipesEnvironment. The namespace is deleted after the spec.
func newNamespace() string {
	GinkgoHelper()
	namespace := "e2e-" + suffix()
	apply(`
apiVersion: v1
kind: Namespace
metadata:
  name: ` + namespace + `
  labels:
    e2e: granted
    pod-security.kubernetes.io/enforce: restricted
`)
	DeferCleanup(func() { kubectl("delete", "namespace", namespace, "--wait=false", "--ignore-not-found") })
	return namespace
}

// toolsImage contains a shell, git, curl and the probe.
const toolsImage = "pipes-operator-e2e-tools:dev"

// mountPath is where pods of the suite mount a Secret.
const mountPath = "/var/run/pipes"

// Security contexts as YAML. They satisfy the Pod Security Standard restricted, and the root
// file system is read-only.
const (
	restrictedPod       = "{runAsNonRoot: true, runAsUser: 65532, fsGroup: 65532, seccompProfile: {type: RuntimeDefault}}"
	restrictedContainer = "{allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}"
)

// podMounting returns the YAML of a pod that mounts a Secret and runs a command. The pod is as
// restricted as the pod in the README.
func podMounting(namespace, name, secret string, command ...string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: %[2]s, namespace: %[1]s}
spec:
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 1
  restartPolicy: Never # what it has to complain of must not be lost
  securityContext: %[7]s
  containers:
  - name: main
    image: %[4]s
    imagePullPolicy: IfNotPresent
    command: ["%[5]s"]
    volumeMounts:
    - {name: token, mountPath: %[6]s, readOnly: true}
    securityContext: %[8]s
  volumes:
  - name: token
    secret: {secretName: %[3]s, defaultMode: 0440}
`, namespace, name, secret, toolsImage, strings.Join(command, `", "`), mountPath, restrictedPod, restrictedContainer)
}

// startReader starts a pod that repeatedly reads a mounted Secret.
func startReader(namespace, name, secret string) {
	GinkgoHelper()
	apply(podMounting(namespace, name, secret, "/usr/local/bin/probe", "read", mountPath))
	waitFor(namespace, "pod/"+name, "condition=Ready", 2*time.Minute)
	Eventually(func() []sight { return sights(namespace, name) }).ShouldNot(BeEmpty())
}
