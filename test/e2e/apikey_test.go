//go:build e2e

package e2e

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

var _ = Describe("The API key", func() {
	It("is used within a minute of its rotation, and a wrong one leaves running pods their token", func() {
		const oldKey, newKey, wrongKey = "sk_test_canary_old", "sk_test_canary_new", "sk_test_canary_wrong"
		namespace := newNamespace()
		acceptKeys(apiKey, oldKey)
		DeferCleanup(acceptKeys, apiKey)
		pods := operatorPods()

		By("letting the operator read a key in a namespace that is not its own")
		// Without requests for events: one of them could be the first with the wrong key, and then
		// hold back the call that the spec waits for.
		apply(environment(namespace, oldKey) + "  events: {disabled: true}\n")
		waitForEnvironment(namespace, "APIKeyForbidden", time.Minute)
		kubectl("create", "role", "workos-api-key-reader", "--namespace="+namespace,
			"--verb=get", "--resource=secrets", "--resource-name=workos-api-key")
		kubectl("create", "rolebinding", "workos-api-key-reader", "--namespace="+namespace,
			"--role=workos-api-key-reader", "--serviceaccount=pipes-system:pipes-operator-manager")
		waitForEnvironment(namespace, "Available", time.Minute)

		c := connect(func(c *connection) { c.RefreshLead, c.AlwaysFresh = "", true })
		apply(c.token(namespace, "token", fmt.Sprintf("environmentRef: {name: default, namespace: %s}", namespace)))
		waitForReason(namespace, "token", "TokenSynced", time.Minute)
		startReader(namespace, "token", "token")
		Expect(c.lastKey()).To(Equal(workossim.Fingerprint(oldKey)))

		By("rotating it: WorkOS accepts both for a while")
		acceptKeys(apiKey, oldKey, newKey)
		changed := time.Now()
		writeKey(namespace, newKey)
		Eventually(func() string {
			requestRefresh(namespace, "token")
			return c.lastKey()
		}, time.Minute, 5*time.Second).Should(Equal(workossim.Fingerprint(newKey)))
		AddReportEntry("from the Secret to a call with the new key", time.Since(changed).Round(time.Second).String(), ReportEntryVisibilityAlways)
		acceptKeys(apiKey, newKey)

		By("writing a wrong one")
		writeKey(namespace, wrongKey)
		Eventually(func() string {
			requestRefresh(namespace, "token")
			return c.lastKey()
		}, time.Minute, 5*time.Second).Should(Equal(workossim.Fingerprint(wrongKey)))
		waitForEnvironment(namespace, "APIKeyRejected", 30*time.Second)
		waitFor(namespace, "pipestoken/token", `jsonpath={.status.conditions[?(@.type=="RenewalFailed")].reason}=EnvironmentNotReady`, 30*time.Second)
		waitFor(namespace, "pipestoken/token", "condition=Ready", time.Second)
		Expect(secretKeys(namespace, "token")).To(ContainElement("access_token"))
		Expect(lastSight(namespace, "token").Serial).NotTo(BeZero())

		By("mending it")
		writeKey(namespace, newKey)
		waitForEnvironment(namespace, "Available", time.Minute)
		waitFor(namespace, "pipestoken/token", `jsonpath={.status.lastHandledRefreshRequest}=`+requestRefresh(namespace, "token"), time.Minute)
		Eventually(func() string {
			return kubectl("get", "pipestoken", "token", "--namespace="+namespace, `--output=jsonpath={.status.conditions[?(@.type=="RenewalFailed")].reason}`)
		}).Should(BeEmpty())
		Expect(operatorPods()).To(Equal(pods), "nothing was restarted for it")
	})
})

// acceptKeys sets the keys that WorkOS accepts from now on.
func acceptKeys(keys ...string) { control("create", "api-keys", map[string][]string{"apiKeys": keys}) }

// writeKey changes the API key in its Secret.
func writeKey(namespace, key string) {
	GinkgoHelper()
	kubectl("patch", "secret", "workos-api-key", "--namespace="+namespace, "--type=merge", fmt.Sprintf(`--patch={"stringData": {"api-key": %q}}`, key))
}

// lastKey returns the fingerprint of the API key in the last call for the connection.
func (c connection) lastKey() string {
	GinkgoHelper()
	requests := c.requests()
	Expect(requests).NotTo(BeEmpty())
	return requests[len(requests)-1].Key
}

// operatorPods lists the pods of the operator with their restart counts.
func operatorPods() string {
	GinkgoHelper()
	return kubectl("get", "pods", "--namespace="+operatorNamespace, "--selector="+operatorSelector, "--sort-by=.metadata.name",
		`--output=jsonpath={range .items[*]}{.metadata.name} {.status.containerStatuses[0].restartCount}{"\n"}{end}`)
}
