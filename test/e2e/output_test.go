//go:build e2e

package e2e

import (
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
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
