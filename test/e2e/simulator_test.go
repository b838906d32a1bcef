//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/util/rand"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

const (
	simulatorNamespace = "e2e-workos"
	simulatorPort      = 8089
	// apiKey contains a canary, like all tokens. It must appear only in Secrets.
	apiKey = "sk_test_canary_e2e"
)

// simulatorManifest defines the simulated WorkOS in the cluster. Only pods can reach it.
const simulatorManifest = `
apiVersion: v1
kind: Namespace
metadata:
  name: ` + simulatorNamespace + `
  labels:
    pod-security.kubernetes.io/enforce: restricted
---
apiVersion: v1
kind: Secret
metadata: {name: seed, namespace: ` + simulatorNamespace + `}
stringData:
  seed.yaml: |
    apiKeys: [` + apiKey + `]
    slugs: [github, slack, linear]
---
apiVersion: v1
kind: Pod
metadata: {name: simulator, namespace: ` + simulatorNamespace + `}
spec:
  automountServiceAccountToken: false
  securityContext: ` + restrictedPod + `
  containers:
  - name: simulator
    image: workos-simulator:dev
    imagePullPolicy: IfNotPresent
    args: [--listen=0.0.0.0:8089, --allow-remote, --seed=/seed/seed.yaml]
    readinessProbe: {httpGet: {path: /_simulator/healthz, port: 8089}, periodSeconds: 1}
    volumeMounts:
    - {name: seed, mountPath: /seed}
    securityContext: ` + restrictedContainer + `
  volumes:
  - name: seed
    secret: {secretName: seed}
`

// startSimulator starts the simulated WorkOS and returns its address.
func startSimulator() string {
	GinkgoHelper()
	apply(simulatorManifest)
	waitFor(simulatorNamespace, "pod/simulator", "condition=Ready", 2*time.Minute)
	return simulatorAddress()
}

// simulatorAddress returns the address of the pod inside the cluster.
func simulatorAddress() string {
	GinkgoHelper()
	ip := kubectl("get", "pod", "simulator", "--namespace="+simulatorNamespace, "--output=jsonpath={.status.podIP}")
	return fmt.Sprintf("%s:%d", ip, simulatorPort)
}

func stopSimulator() { kubectl("delete", "namespace", simulatorNamespace, "--ignore-not-found") }

// control calls the simulator's control API through the API server. method is a kubectl command:
// get, create or delete.
func control(method, endpoint string, body any) []byte {
	GinkgoHelper()
	input, args := "", []string{method, "--raw", fmt.Sprintf("/api/v1/namespaces/%s/pods/simulator:%d/proxy%s%s",
		simulatorNamespace, simulatorPort, workossim.ControlPrefix, endpoint)}
	if body != nil {
		text, err := json.Marshal(body)
		Expect(err).NotTo(HaveOccurred())
		input, args = string(text), append(args, "--filename=-")
	}
	output, err := tryKubectl(input, args...)
	Expect(err).NotTo(HaveOccurred())
	return []byte(output)
}

// connection is a user's connection at WorkOS, in the format of the control API.
type connection struct {
	workossim.ID
	State         workossim.State `json:"state,omitempty"`
	Lifetime      string          `json:"lifetime,omitempty"`
	RefreshLead   string          `json:"refreshLead,omitempty"`
	AlwaysFresh   bool            `json:"alwaysFresh,omitempty"`
	Scopes        []string        `json:"scopes"`
	MissingScopes []string        `json:"missingScopes,omitempty"`
	TokenPrefix   string          `json:"tokenPrefix,omitempty"`

	AuthMethod workossim.AuthMethod `json:"authMethod,omitempty"`
	Metadata   map[string]any       `json:"metadata,omitempty"`
	Config     map[string]string    `json:"config,omitempty"`
	// NoEvent: the user connected long ago. An event of a user who has just connected would cost
	// a call within the poll interval, and specs count calls.
	NoEvent bool `json:"noEvent"`
}

// connect creates a new user who connected GitHub long ago. The change functions edit the connection
// before it is created.
func connect(change ...func(*connection)) connection {
	GinkgoHelper()
	c := connection{
		ID:       workossim.ID{Slug: "github", UserID: "user_" + suffix(), OrganizationID: "org_" + suffix()},
		Lifetime: "1h", RefreshLead: "10m", Scopes: []string{"repo", "user:email"}, TokenPrefix: "gho_",
		NoEvent: true,
	}
	for _, do := range change {
		do(&c)
	}
	control("create", "connections", c)
	return c
}

func (c connection) setState(state workossim.State) {
	GinkgoHelper()
	control("create", "state", struct {
		workossim.ID
		State workossim.State `json:"state"`
	}{c.ID, state})
}

// requests returns all calls that WorkOS has received for the connection, oldest first.
func (c connection) requests() []workossim.Request {
	GinkgoHelper()
	var answer struct {
		Requests []workossim.Request `json:"requests"`
	}
	Expect(json.Unmarshal(control("get", "requests", nil), &answer)).To(Succeed())
	var own []workossim.Request
	for _, r := range answer.Requests {
		if r.ID == c.ID {
			own = append(own, r)
		}
	}
	return own
}

// token returns the YAML of a PipesToken for the connection. more has additional lines of its
// spec.
func (c connection) token(namespace, name string, more ...string) string {
	yaml := fmt.Sprintf(`
apiVersion: pipes.workos.com/v1alpha1
kind: PipesToken
metadata: {name: %s, namespace: %s}
spec:
  slug: %s
  userID: %s
`, name, namespace, c.Slug, c.UserID)
	if c.OrganizationID != "" {
		yaml += "  organizationID: " + c.OrganizationID + "\n"
	}
	for _, line := range more {
		yaml += "  " + line + "\n"
	}
	return yaml
}

// suffix returns a random part of a name, so that specs do not share names.
func suffix() string { return rand.String(6) }
