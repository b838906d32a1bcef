//go:build e2e

package e2e

import (
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// volumeLimit is how long a change of a Secret may take to reach a running pod. It is the limit
// in the README plus some seconds for a busy machine.
const volumeLimit = 2 * time.Minute

var _ = Describe("A connection that is lost", func() {
	It("takes the token out of running pods, or not, as inactivePolicy says", func() {
		namespace := newNamespace()
		policies := []string{"Clear", "Delete", "Retain"}
		connections := map[string]connection{}
		for _, policy := range policies {
			c := connect()
			connections[policy] = c
			apply(c.token(namespace, strings.ToLower(policy), "inactivePolicy: "+policy))
		}
		for _, policy := range policies {
			waitForReason(namespace, strings.ToLower(policy), "TokenSynced", time.Minute)
			startReader(namespace, strings.ToLower(policy), strings.ToLower(policy))
			Expect(lastSight(namespace, strings.ToLower(policy)).Serial).To(Equal(1))
		}

		By("disconnecting")
		for _, policy := range policies {
			connections[policy].setState(workossim.NotInstalled)
			requestRefresh(namespace, strings.ToLower(policy))
			waitForReason(namespace, strings.ToLower(policy), "NotInstalled", 30*time.Second)
		}
		lost := time.Now()
		Eventually(func() int { return lastSight(namespace, "clear").Serial }, volumeLimit).Should(BeZero())
		AddReportEntry("from NotInstalled to no file", time.Since(lost).Round(time.Second).String(), ReportEntryVisibilityAlways)
		Expect(secretKeys(namespace, "clear")).To(BeEmpty())
		Expect(kubectl("get", "secret", "delete", "--namespace="+namespace, "--ignore-not-found", "--output=name")).To(BeEmpty())
		Expect(secretKeys(namespace, "retain")).To(ConsistOf("access_token", "expires_at", "scopes"))
		// The kubelet needed at most this time for the other pod. Files that are still in the
		// volume stay.
		Eventually(time.Now, volumeLimit).Should(BeTemporally(">", lost.Add(volumeLimit)))
		for _, policy := range []string{"delete", "retain"} {
			Expect(sights(namespace, policy)).To(HaveLen(1), "the files of a running pod stay with %s", policy)
		}

		By("connecting again")
		for _, policy := range policies {
			connections[policy].setState(workossim.Connected)
		}
		// No refresh is requested here. The operator follows the events of WorkOS.
		for _, policy := range policies {
			waitForReason(namespace, strings.ToLower(policy), "TokenSynced", 2*time.Minute)
		}
		for _, policy := range policies {
			Eventually(func() int { return lastSight(namespace, strings.ToLower(policy)).Serial }, volumeLimit).
				Should(Equal(connections[policy].lastSerial()), policy)
		}
	})
})

// lastSight returns the latest content of a reader's volume.
func lastSight(namespace, reader string) sight {
	GinkgoHelper()
	found := sights(namespace, reader)
	Expect(found).NotTo(BeEmpty())
	return found[len(found)-1]
}

// lastSerial returns the serial of the newest token that WorkOS has returned.
func (c connection) lastSerial() int {
	GinkgoHelper()
	last := 0
	for serial := range c.tokens() {
		last = max(last, serial)
	}
	return last
}

// secretKeys returns the keys of a Secret.
func secretKeys(namespace, name string) []string {
	GinkgoHelper()
	var keys []string
	for key := range get[struct{ Data map[string]string }]("secret", name, "--namespace="+namespace).Data {
		keys = append(keys, key)
	}
	return keys
}

// requestRefresh makes the operator ask WorkOS immediately, as docs/guides/operate.md describes.
// It returns the value of the annotation.
func requestRefresh(namespace, token string) string {
	GinkgoHelper()
	value := strconv.FormatInt(time.Now().UnixNano(), 10)
	kubectl("annotate", "pipestoken", token, "--namespace="+namespace, "--overwrite", "pipes.workos.com/refresh-requested-at="+value)
	return value
}
