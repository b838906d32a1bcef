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

// messagesOf selects the columns with the message of each object.
const messagesOf = `-o custom-columns=NAME:.metadata.name,'MESSAGE:.status.conditions[?(@.type=="Ready")].message'`

var _ = Describe("What kubectl prints", Ordered, ContinueOnFailure, func() {
	var s scene
	BeforeAll(func() {
		s = newScene()
		s.createEnvironments()
	})

	// expectPrinted compares the output of commands with a golden file. In the commands, $NS is
	// the namespace and $SCENE is the suffix.
	expectPrinted := func(golden string, commands ...string) {
		GinkgoHelper()
		for i, command := range commands {
			commands[i] = strings.NewReplacer("$NS", s.namespace, "$SCENE", s.suffix).Replace(command)
		}
		text := transcript(commands...)
		expectNoHoles(text)
		expectGolden(golden, s.steady(text))
	}

	It("shows the state of every PipesToken in one line", func() {
		expectPrinted("get",
			"get ptok -n $NS",
			"get ptok -A -l scene=$SCENE -o wide",
			"get ptok -A --field-selector spec.slug=linear,spec.organizationID=org_$SCENE",
			"get ptok -A -l scene=$SCENE "+messagesOf,
			"get pipes -n $NS")
	})

	It("shows instants that make sense", func() {
		for _, row := range rows(kubectl("get", "ptok", "-n", s.namespace, "-o", "wide")) {
			if row["READY"] != "True" {
				Expect(row["EXPIRES"]+row["RENEWAL"]).To(BeEmpty(), "%v", row)
				continue
			}
			expires, err := time.Parse(time.RFC3339, row["EXPIRES"])
			Expect(err).NotTo(HaveOccurred())
			renewal, err := time.Parse(time.RFC3339, row["RENEWAL"])
			Expect(err).NotTo(HaveOccurred())
			Expect(expires).To(And(BeTemporally(">", time.Now().Add(30*time.Minute)), BeTemporally("<", time.Now().Add(time.Hour))))
			// The lead is a fifth of the hour. Jitter postpones the renewal by up to a fifth of
			// the lead.
			Expect(renewal).To(And(BeTemporally(">=", expires.Add(-12*time.Minute)), BeTemporally("<", expires.Add(-9*time.Minute))))
		}
	})

	It("describes them", func() {
		expectPrinted("describe",
			"describe pipestoken github-few-scopes -n $NS",
			"describe pipestoken github-not-renewed -n $NS",
			"describe pipestoken slack-not-connected -n $NS")
	})

	It("tells their events", func() {
		expectPrinted("events",
			"events -n $NS --for pipestoken/github",
			"events -n $NS --for pipestoken/github-not-renewed",
			"events -n $NS --for pipestoken/slack-not-connected")
	})

	It("shows the state of every PipesEnvironment", func() {
		expectPrinted("environments",
			"get pipesenvironments -n $NS",
			"get pipesenvironments -n $NS "+messagesOf,
			"describe pipesenvironment in-order -n $NS",
			"events -n $NS --for pipesenvironment/no-right")
	})

	It("waits", func() {
		const reason = `jsonpath='{.status.conditions[?(@.type=="Ready")].reason}'`
		expectPrinted("wait",
			"wait ptok/github -n $NS --for=condition=Ready --timeout=60s",
			"wait ptok/slack-not-connected -n $NS --for=condition=Ready --timeout=1s",
			"wait ptok/slack-not-connected -n $NS --for=condition=Stalled --timeout=60s",
			"wait ptok/slack-not-connected -n $NS --for="+reason+"=NotInstalled --timeout=60s",
			"wait ptok/slack-not-connected -n $NS --for="+reason+"=TokenSynced --timeout=1s",
			"wait ptok/github-not-renewed -n $NS --for=condition=RenewalFailed --timeout=60s",
			"wait ptok/github-not-renewed -n $NS --for=jsonpath='{.status.lastHandledRefreshRequest}'=now --timeout=60s",
			"wait ptok/nobody -n $NS --for=condition=Ready --timeout=1s",
			"wait penv/in-order -n $NS --for=condition=Ready --timeout=60s")
	})

	It("explains every field", func() {
		expectPrinted("explain",
			"explain pipestoken.spec --recursive",
			"explain pipestoken.spec",
			"explain pipestoken.spec.secretTemplate",
			"explain pipestoken.status",
			"explain pipesenvironment.spec",
			"explain pipesenvironment.spec.grants --recursive")
	})
})

// expectNoHoles expects no placeholder that kubectl prints for a missing or invalid value.
// Labels and annotations may be <none>.
func expectNoHoles(text string) {
	GinkgoHelper()
	for line := range strings.Lines(text) {
		Expect(line).NotTo(Or(ContainSubstring("<invalid>"), ContainSubstring("<unknown>"), ContainSubstring("<nil>")))
		if !strings.HasPrefix(line, "Labels:") && !strings.HasPrefix(line, "Annotations:") {
			Expect(line).NotTo(ContainSubstring("<none>"))
		}
	}
}

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
// namespace. Where it cannot read the key, events are disabled: otherwise a second event of
// Kubernetes would come after two minutes.
const environments = `
apiVersion: pipes.workos.com/v1alpha1
kind: PipesEnvironment
metadata: {name: %[2]s, namespace: %[1]s}
spec:
  apiKeySecretRef: {name: %[3]s, key: %[4]s}
  baseURL: %[5]s
  events: %[6]s
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
		inOrder, events := e.reason == "Available", "{disabled: true}"
		if inOrder {
			events = "{pollInterval: 15s}"
		}
		apply(fmt.Sprintf(environments, s.namespace, e.name, e.secret, e.key, e.url, events))
		waitFor(s.namespace, "pipesenvironment/"+e.name, `jsonpath={.status.conditions[?(@.type=="Ready")].reason}=`+e.reason, 2*time.Minute)
		if inOrder {
			waitFor(s.namespace, "pipesenvironment/"+e.name, "condition=EventsFollowed", time.Minute)
		}
	}
}
