//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("A pod that mounts the Secret", func() {
	// Six pods with two rotations each. A token lives for four minutes and is renewed two
	// minutes before it expires, delayed by the jitter. The same lead applies to tokens that
	// live for up to ten minutes. It leaves the kubelet the least time.
	const (
		pods      = 6
		rotations = 2
		lifetime  = 4 * time.Minute
	)

	It("reads a valid token at every moment, with its own expiry beside it", func() {
		namespace := newNamespace()
		var connections []connection
		for i := range pods {
			c := connect(func(c *connection) { c.Lifetime, c.RefreshLead = lifetime.String(), "3m" })
			connections = append(connections, c)
			apply(c.token(namespace, tokenName(i)))
		}
		for i := range pods {
			waitForReason(namespace, tokenName(i), "TokenSynced", time.Minute)
			startReader(namespace, tokenName(i), tokenName(i))
		}

		By("waiting for the rotations")
		Eventually(func(g Gomega) {
			for i := range pods {
				g.Expect(len(sights(namespace, tokenName(i)))).To(BeNumerically(">", rotations), tokenName(i))
			}
		}, (rotations+1)*lifetime, 5*time.Second).Should(Succeed())

		var delays []time.Duration
		for i, c := range connections {
			found := sights(namespace, tokenName(i))
			own, err := judge(c.tokens(), found, time.Now())
			Expect(err).NotTo(HaveOccurred(), "%+v", found)
			delays = append(delays, own...)
			for _, request := range c.requests() {
				Expect(request.TokenSerial).NotTo(BeZero(), "%+v", request)
			}
			Expect(c.requests()).To(HaveLen(len(c.tokens())), "one call for each token")
		}
		AddReportEntry("from the answer of WorkOS to the file", summary(delays), ReportEntryVisibilityAlways)
		Expect(len(delays)).To(BeNumerically(">=", 10))
	})
})

func tokenName(i int) string { return fmt.Sprintf("token-%d", i) }

// percentile returns the smallest duration d for which at least this percentage of the durations
// is at most d.
func percentile(durations []time.Duration, percent int) time.Duration {
	sorted := slices.Sorted(slices.Values(durations))
	return sorted[max(0, (len(sorted)*percent+99)/100-1)]
}
