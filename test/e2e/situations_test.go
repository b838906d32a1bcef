//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// situation is a PipesToken in a particular state.
type situation struct {
	name       string
	connection func(*connection)
	spec       []string // additional lines of the PipesToken's spec
	reason     string   // expected final reason of Ready
}

// The order matters. The first PipesToken becomes Suspended only after the operator has seen the
// labels of the namespace, because NotGranted takes precedence. Therefore none of the other
// PipesTokens is NotGranted at first.
var situations = []situation{
	{name: "linear-suspended", connection: of("linear"), spec: []string{"suspend: true"}, reason: "Suspended"},
	{name: "github", connection: of("github"), reason: "TokenSynced"},
	{name: "github-alone", connection: func(c *connection) { c.OrganizationID = "" }, reason: "TokenSynced"},
	{name: "github-few-scopes", connection: func(c *connection) {
		c.Scopes, c.MissingScopes = []string{"repo"}, []string{"user:email", "read:org"}
	}, reason: "TokenSynced"},
	{name: "github-not-renewed", connection: of("github"), reason: "TokenSynced"},
	{name: "slack-broken", connection: inState("slack", workossim.NeedsReauthorization), reason: "NeedsReauthorization"},
	{name: "slack-not-connected", connection: inState("slack", workossim.NotInstalled), reason: "NotInstalled"},
	{name: "linear-name-taken", connection: of("linear"), reason: "SecretConflict"},
	{name: "linear-wrong-template", connection: of("linear"), spec: []string{`secretTemplate: {data: {token: "{{ .Token }}"}}`}, reason: "InvalidTemplate"},
}

func of(slug string) func(*connection) { return func(c *connection) { c.Slug = slug } }

func inState(slug string, state workossim.State) func(*connection) {
	return func(c *connection) { c.Slug, c.State = slug, state }
}

// scene is a namespace with all situations, and another namespace with a PipesToken without a
// grant.
type scene struct {
	namespace, ungranted string
	suffix               string // of all users and organizations
}

// steady returns the text without the parts that change from run to run.
func (s scene) steady(text string) string {
	return steady(text, strings.TrimPrefix(s.namespace, "e2e-"), s.suffix)
}

func newScene() scene {
	GinkgoHelper()
	s := scene{namespace: newNamespace(), suffix: suffix()}
	s.ungranted = s.namespace + "-stranger"
	kubectl("create", "namespace", s.ungranted)
	DeferCleanup(func() { kubectl("delete", "namespace", s.ungranted, "--wait=false") })
	kubectl("create", "secret", "generic", "linear-name-taken", "--namespace="+s.namespace, "--from-literal=somebody=else")
	s.create(s.ungranted, situation{name: "github-stranger", connection: of("github"), reason: "NotGranted"})
	connections := map[string]connection{}
	for _, situation := range situations {
		connections[situation.name] = s.create(s.namespace, situation)
	}
	for _, situation := range situations {
		waitForReason(s.namespace, situation.name, situation.reason, time.Minute)
	}
	connections["github-not-renewed"].failRenewal(s.namespace, "github-not-renewed")
	for _, namespace := range []string{s.namespace, s.ungranted} {
		kubectl("label", "pipestokens", "--all", "--namespace="+namespace, "scene="+s.suffix)
	}
	s.expectEvents(map[string]int{"github": 1, "github-few-scopes": 1, "github-not-renewed": 2, "slack-not-connected": 1})
	return s
}

func (s scene) create(namespace string, wanted situation) connection {
	GinkgoHelper()
	c := connect(func(c *connection) {
		c.UserID, c.OrganizationID = "user_"+s.suffix, "org_"+s.suffix
		wanted.connection(c)
		c.UserID = "user_" + strings.ReplaceAll(wanted.name, "-", "_") + "_" + s.suffix
	})
	apply(c.token(namespace, wanted.name, wanted.spec...))
	if wanted.name == situations[0].name || namespace == s.ungranted {
		waitForReason(namespace, wanted.name, wanted.reason, time.Minute)
	}
	return c
}

// failRenewal makes the renewal of the connection's PipesToken fail. WorkOS fails all further
// calls for the connection. The fault is not removed, because that would remove the faults of
// other specs too.
func (c connection) failRenewal(namespace, token string) {
	GinkgoHelper()
	const always = 1_000_000
	control("create", "faults", map[string]any{"match": c.ID, "kind": workossim.FaultServerError, "times": always})
	kubectl("annotate", "pipestoken", token, "--namespace="+namespace, "pipes.workos.com/refresh-requested-at=now")
	waitFor(namespace, "pipestoken/"+token, "condition=RenewalFailed", time.Minute)
}

// expectEvents waits for the events of PipesTokens, which come a moment after the status.
func (s scene) expectEvents(counts map[string]int) {
	GinkgoHelper()
	for token, count := range counts {
		Eventually(func() []string {
			return strings.Fields(kubectl("get", "events", "--namespace="+s.namespace, "--output=name",
				"--field-selector=involvedObject.kind=PipesToken,involvedObject.name="+token))
		}).Should(HaveLen(count), token)
	}
}

// environments is the format of a PipesEnvironment. The operator may read a single Secret in its
// namespace.
const environments = `
apiVersion: pipes.workos.com/v1alpha1
kind: PipesEnvironment
metadata: {name: %[2]s, namespace: %[1]s}
spec:
  apiKeySecretRef: {name: %[3]s, key: %[4]s}
  baseURL: %[5]s
`

func (s scene) createEnvironments() {
	GinkgoHelper()
	// Both commands are from docs/explanation/security.md.
	kubectl("create", "role", "workos-api-key-reader", "-n", s.namespace,
		"--verb=get", "--resource=secrets", "--resource-name=workos-api-key")
	kubectl("create", "rolebinding", "workos-api-key-reader", "-n", s.namespace,
		"--role=workos-api-key-reader", "--serviceaccount=pipes-system:pipes-operator-manager")
	kubectl("create", "secret", "generic", "workos-api-key", "--namespace="+s.namespace, "--from-literal=api-key="+apiKey)
	workos := "http://" + with.Simulator
	for _, e := range []struct{ name, secret, key, url, reason string }{
		{"in-order", "workos-api-key", "api-key", workos, "Available"},
		{"no-entry", "workos-api-key", "token", workos, "APIKeyNotFound"},
		{"no-right", "another-secret", "api-key", workos, "APIKeyForbidden"},
		{"other-host", "workos-api-key", "api-key", "https://workos.example.com/pipes", "UpstreamNotAllowed"},
	} {
		apply(fmt.Sprintf(environments, s.namespace, e.name, e.secret, e.key, e.url))
		waitFor(s.namespace, "pipesenvironment/"+e.name, `jsonpath={.status.conditions[?(@.type=="Ready")].reason}=`+e.reason, 2*time.Minute)
	}
}
