//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

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
