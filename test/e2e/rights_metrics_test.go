//go:build e2e

package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/test/harness/canary"
)

var _ = Describe("Metrics", func() {
	It("are told to whom they are granted, by HTTPS, and are those that docs/reference/metrics.md lists", func() {
		namespace := newNamespace()
		// Some metrics exist only if they have something to count: a token, and a token that
		// cannot be renewed.
		c := connect()
		apply(c.token(namespace, "token"))
		waitForReason(namespace, "token", "TokenSynced", time.Minute)
		c.failRenewal(namespace, "token")

		kubectl("create", "serviceaccount", "prometheus", "--namespace="+namespace)
		kubectl("create", "clusterrolebinding", namespace, "--clusterrole=pipes-operator-metrics-reader", "--serviceaccount="+namespace+":prometheus")
		DeferCleanup(func() { kubectl("delete", "clusterrolebinding", namespace) })
		apply(podMounting(namespace, "curl", "token", "/bin/sleep", "600"))
		waitFor(namespace, "pod/curl", "condition=Ready", 2*time.Minute)

		// The leader may change, and a new leader first has to reconcile all PipesTokens.
		var metrics string
		Eventually(func(g Gomega) {
			address := leaderAddress(g)
			g.Expect(scrape(namespace, address, "")).To(HaveSuffix("\n401"))
			g.Expect(scrape(namespace, address, "default")).To(HaveSuffix("\n403"))
			metrics = scrape(namespace, address, "prometheus")
			g.Expect(metrics).To(HaveSuffix("\n200"))
			g.Expect(metrics).To(ContainSubstring(namespace))
		}, 2*time.Minute, 2*time.Second).Should(Succeed())
		expectDocumentedMetrics(metrics)

		token := get[v1alpha1.PipesToken]("pipestoken", "token", "--namespace="+namespace)
		value := fmt.Sprintf(`pipes_operator_token_expiration_timestamp_seconds{name="token",namespace=%q} %g`, namespace, float64(token.Status.ExpirationTime.Unix()))
		Expect(metrics).To(ContainSubstring(value + "\n"))
		for _, secret := range slices.Concat(canary.Forms, []string{c.UserID, c.OrganizationID}) {
			Expect(strings.Contains(metrics, secret)).To(BeFalse(), "metrics have %q in them", secret)
		}
	})
})

// leaderAddress returns the metrics address of the leader, from the EndpointSlices of the
// metrics Service. The test cluster has no DNS and no proxy for Services, so the Service itself
// is not reachable.
func leaderAddress(g Gomega) string {
	GinkgoHelper()
	addresses := map[string]string{}
	for _, slice := range get[discoveryv1.EndpointSliceList]("endpointslices", "--namespace="+operatorNamespace,
		"--selector=kubernetes.io/service-name=pipes-operator-metrics").Items {
		for _, endpoint := range slice.Endpoints {
			addresses[endpoint.TargetRef.Name] = fmt.Sprintf("%s:%d", endpoint.Addresses[0], *slice.Ports[0].Port)
		}
	}
	pod, _ := leader()
	g.Expect(addresses).To(HaveKey(pod))
	return addresses[pod]
}

// scrape reads the metrics from the pod curl, with a token of the ServiceAccount account, or
// without a token if account is empty. The last line is the HTTP status.
func scrape(namespace, address, account string) string {
	GinkgoHelper()
	const curl = `read -r token; curl --silent --show-error --insecure --max-time 10 --write-out '\n%{http_code}' ${token:+--header "Authorization: Bearer $token"} `
	token := ""
	if account != "" {
		token = kubectl("create", "token", account, "--namespace="+namespace)
	}
	output, err := tryKubectl(token+"\n", "exec", "curl", "--namespace="+namespace, "--stdin", "--", "sh", "-c", curl+"https://"+address+"/metrics")
	if err != nil {
		return err.Error() // for example because the leader has ended
	}
	return output
}

// expectDocumentedMetrics expects exactly our metrics and outcomes that docs/reference/metrics.md
// lists.
func expectDocumentedMetrics(metrics string) {
	GinkgoHelper()
	listed := page("docs/reference/metrics.md")
	all := func(pattern, text string) []string {
		found := map[string]bool{}
		var names []string
		for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			if !found[match[1]] {
				names = append(names, match[1])
			}
			found[match[1]] = true
		}
		return names
	}
	documented := all("(?m)^\\| `(pipes_operator_[a-z_]+)", listed)
	Expect(documented).NotTo(BeEmpty())
	Expect(all(`(?m)^# TYPE (pipes_operator_[a-z_]+) `, metrics)).To(ConsistOf(documented))
	Expect(metrics).To(ContainSubstring("\ncontroller_runtime_reconcile_total{"))

	_, outcomes, _ := strings.Cut(listed, "\nOutcomes: ")
	outcomes, _, _ = strings.Cut(outcomes, ".\n")
	// The outcome held appears only after a call was held back, so it is added here.
	Expect(append(all(`pipes_operator_upstream_calls_total{outcome="([a-z_]+)"`, metrics), "held")).
		To(And(ContainElements(all("`([a-z_]+)`", outcomes)), HaveEach(BeElementOf(all("`([a-z_]+)`", outcomes)))))
}
