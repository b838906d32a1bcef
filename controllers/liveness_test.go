package controllers_test

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

var _ = Describe("The liveness check", func() {
	It("bears an outage of WorkOS of a day", func() {
		w := running()
		token := w.synced("alice")
		w.upstream.Inject(workossim.Fault{Kind: workossim.FaultServerError})
		w.timeline.advance(24 * time.Hour)
		w.waitForReason(token, v1alpha1.UpstreamUnavailableReason)
		Expect(w.operator.watchdog.Check(nil)).To(Succeed())
	})

	It("notices an object that does not come back", func() {
		w := running()
		token := w.synced("alice")
		w.timeline.lose(requestFor(token))
		w.timeline.advance(36 * time.Minute)
		Expect(w.operator.watchdog.Check(nil)).To(MatchError(ContainSubstring("/alice has been due for ")))
	})
})
