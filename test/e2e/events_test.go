//go:build e2e

package e2e

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

const (
	// eventPoll is the default of spec.events.pollInterval.
	eventPoll = 15 * time.Second
	// eventMargin is for a call that is made, a Secret that is written, and a busy machine.
	// Together with eventPoll it is less than the 30 seconds after which a poll without events
	// comes.
	eventMargin = 10 * time.Second
)

var _ = Describe("Events of WorkOS", func() {
	It("bring the token of a user who connects, and take it away again, without an annotation", func() {
		waitFor(operatorNamespace, "pipesenvironment/default", "condition=EventsFollowed", time.Minute)
		namespace, c := newNamespace(), connect(func(c *connection) { c.State = workossim.NotInstalled })
		apply(c.token(namespace, "token"))
		waitForReason(namespace, "token", "NotInstalled", time.Minute)
		apply(podMounting(namespace, "reader", "token", "/usr/local/bin/probe", "read", mountPath))

		By("connecting")
		noticed := c.change(workossim.Connected, namespace, "TokenSynced")
		AddReportEntry("from the connection to the Secret", noticed.String(), ReportEntryVisibilityAlways)
		waitFor(namespace, "pod/reader", "condition=Ready", 2*time.Minute)
		Eventually(func() int { return lastSight(namespace, "reader").Serial }, volumeLimit).Should(Equal(c.lastSerial()))
		Expect(c.requests()).To(HaveLen(2), "one call in vain, and one because of the event")

		By("disconnecting")
		noticed = c.change(workossim.NotInstalled, namespace, "NotInstalled")
		AddReportEntry("from the disconnection to no token", noticed.String(), ReportEntryVisibilityAlways)
		Expect(secretKeys(namespace, "token")).To(BeEmpty())
		Eventually(func() int { return lastSight(namespace, "reader").Serial }, volumeLimit).Should(BeZero())
		Expect(c.requests()).To(HaveLen(3))

		token := get[header]("pipestoken", "token", "--namespace="+namespace)
		Expect(token.Annotations).NotTo(HaveKey("pipes.workos.com/refresh-requested-at"))
	})
})

// change changes the state of the connection at WorkOS. It returns the time until the PipesToken
// token has the reason. Nothing but an event tells the operator of the change.
func (c connection) change(state workossim.State, namespace, reason string) time.Duration {
	GinkgoHelper()
	changed := time.Now()
	c.setState(state)
	waitForReason(namespace, "token", reason, eventPoll+eventMargin)
	return time.Since(changed).Round(100 * time.Millisecond)
}
