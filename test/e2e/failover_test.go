//go:build e2e

package e2e

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// failovers are the ways to lose the leader.
var failovers = []struct {
	how string
	do  func(leader string)
}{
	{"the pod is deleted", func(leader string) {
		kubectl("delete", "pod", leader, "--namespace="+operatorNamespace, "--wait=false")
	}},
	{"its process is killed", killProcess},
	{"the pod is evicted", evict},
	{"its Lease is taken", func(string) {
		kubectl("patch", "lease", leaseName, "--namespace="+operatorNamespace, "--type=merge", `--patch={"spec": {"holderIdentity": "nobody_stranger"}}`)
	}},
}

// This spec is Serial because it repeatedly removes the operator, and other specs measure the
// operator.
var _ = Describe("Losing the leader", Serial, func() {
	const (
		// These tokens are due soon, so that some of them are due at every failover.
		due      = 10
		lifetime = 2 * time.Minute
		// leadAtLeast is the minimum renewal lead: half of the lifetime, minus the jitter of up
		// to a fifth of that half.
		leadAtLeast = lifetime / 2 * 4 / 5
		// failoverLimit is how late a renewal may be because of a failover. A replica takes the
		// Lease when it has seen no renewal of the Lease for 15 seconds. It checks every 2 to
		// 4.4 seconds, so both the last renewal and the expiry are noticed late. Then it has to
		// start.
		failoverLimit = 30 * time.Second
		// These tokens are not due for a long time.
		idle = 10
	)

	It("costs no call and makes no token late, however it goes", func() {
		namespace := newNamespace()
		var dueSoon, notDue []connection
		for i := range due {
			c := connect(func(c *connection) { c.Lifetime, c.RefreshLead = lifetime.String(), "90s" })
			dueSoon = append(dueSoon, c)
			apply(c.token(namespace, fmt.Sprintf("due-%d", i)))
		}
		for i := range idle {
			c := connect()
			notDue = append(notDue, c)
			apply(c.token(namespace, fmt.Sprintf("idle-%d", i)))
		}
		kubectl("wait", "pipestokens", "--all", "--namespace="+namespace, "--for=condition=Ready", "--timeout=1m")

		for _, failover := range failovers {
			By(failover.how)
			pod, before := leader()
			expectNoCanaries(operatorNamespace) // while its log exists
			started := time.Now()
			failover.do(pod)
			Eventually(func() string {
				_, process := leader()
				return process
			}, time.Minute).ShouldNot(BeElementOf(before, "stranger", ""), failover.how)
			AddReportEntry("failover: "+failover.how, time.Since(started).Round(time.Second).String(), ReportEntryVisibilityAlways)
			rolledOut(operatorNamespace)
			awaitWorkingLeader(namespace)
		}

		// Each token has been renewed at least once by now. This waits for another renewal of
		// each.
		Eventually(func(g Gomega) {
			for _, c := range dueSoon {
				g.Expect(len(c.tokens())).To(BeNumerically(">=", 3))
			}
		}, 3*lifetime, 5*time.Second).Should(Succeed())
		for _, c := range dueSoon {
			c.expectOneCallPerToken()
			Expect(lateness(c.tokens(), leadAtLeast, time.Now())).To(BeNumerically("<=", failoverLimit))
		}
		for _, c := range notDue {
			Expect(c.requests()).To(HaveLen(1))
		}
		for _, secret := range get[struct {
			Items []struct{ Metadata struct{ Name string } }
		}]("secrets", "--namespace="+namespace).Items {
			Expect(secretKeys(namespace, secret.Metadata.Name)).To(ContainElement("access_token"))
		}
	})
})

// awaitWorkingLeader waits until the leader works: it creates a PipesToken whose user is not
// connected, and waits for its status.
func awaitWorkingLeader(namespace string) {
	GinkgoHelper()
	c := connect(func(c *connection) { c.State = "not_installed" })
	name := "probe-" + suffix()
	apply(c.token(namespace, name))
	waitForReason(namespace, name, "NotInstalled", time.Minute)
}

// expectOneCallPerToken expects a single call for each token. It requires an upstream that
// returns a new token on every call that is due.
func (c connection) expectOneCallPerToken() {
	GinkgoHelper()
	Expect(c.requests()).To(HaveLen(len(c.tokens())))
}

// lateness returns the longest delay of a renewal, including renewals that are overdue now. A
// renewal is due when the remaining lifetime of a token equals lead.
func lateness(tokens map[int]issued, lead time.Duration, now time.Time) time.Duration {
	var latest time.Duration
	for serial, token := range tokens {
		renewed := now
		if next, replaced := tokens[serial+1]; replaced {
			renewed = next.at
		}
		latest = max(latest, renewed.Sub(token.expires.Add(-lead)))
	}
	return latest
}

// evict evicts a pod as kubectl drain does.
func evict(pod string) {
	GinkgoHelper()
	eviction := fmt.Sprintf(`{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": %q, "namespace": %q}}`, pod, operatorNamespace)
	_, err := tryKubectl(eviction, "create", "--raw", fmt.Sprintf("/api/v1/namespaces/%s/pods/%s/eviction", operatorNamespace, pod), "--filename=-")
	Expect(err).NotTo(HaveOccurred())
}

// killProcess kills the operator process in a pod with SIGKILL, so that it cannot shut down
// gracefully. The image of the operator has no shell, so another pod does it, which sees the
// processes of the node.
func killProcess(pod string) {
	GinkgoHelper()
	name, node := "killer-"+suffix(), kubectl("get", "pod", pod, "--namespace="+operatorNamespace, "--output=jsonpath={.spec.nodeName}")
	apply(fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: default}
spec:
  hostPID: true
  nodeName: %s
  restartPolicy: Never
  containers:
  - name: killer
    image: %s
    imagePullPolicy: IfNotPresent
    securityContext: {runAsUser: 65532} # the operator's, which may see and kill its own
    command:
    - sh
    - -c
    - |
      for process in /proc/[0-9]*; do
        if tr '\0' '\n' <"$process/environ" 2>/dev/null | grep -qx "HOSTNAME=%s" &&
          tr '\0' '\n' <"$process/cmdline" | grep -qx /pipes-operator; then
          kill -9 "${process#/proc/}" && exit 0
        fi
      done
      exit 1
`, name, node, toolsImage, pod))
	DeferCleanup(func() { kubectl("delete", "pod", name, "--namespace=default", "--wait=false") })
	waitFor("default", "pod/"+name, "jsonpath={.status.phase}=Succeeded", time.Minute)
}
