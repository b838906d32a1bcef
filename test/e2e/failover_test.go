//go:build e2e

package e2e

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// failovers are the ways in which a leader is lost.
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

// Serial, because it takes the operator away again and again, and other specs measure what it does.
var _ = Describe("Losing the leader", Serial, func() {
	const (
		// Tokens that are due soon, so that some are due at every failover.
		due      = 10
		lifetime = 2 * time.Minute
		// lead is how early they are renewed: half of their lifetime, less the jitter of up to a fifth of that.
		leadAtLeast = lifetime / 2 * 4 / 5
		// failoverLimit is how late a renewal may be because of a failover. A Lease is taken 15 seconds after its last renewal was
		// seen, and looked at every 2 to 4.4 seconds, both times; then comes the start.
		failoverLimit = 30 * time.Second
		// Tokens that are not due for a long time.
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
			expectNoCanaries(operatorNamespace) // as long as its log is there
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

		// Each of them has been renewed at least once meanwhile, and is seen to be renewed once more.
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

// awaitWorkingLeader waits until the leader works, by having it look after a PipesToken that is not connected.
func awaitWorkingLeader(namespace string) {
	GinkgoHelper()
	c := connect(func(c *connection) { c.State = "not_installed" })
	name := "probe-" + suffix()
	apply(c.token(namespace, name))
	waitForReason(namespace, name, "NotInstalled", time.Minute)
}

// expectOneCallPerToken holds for an upstream that hands out a newer token at each call that is due.
func (c connection) expectOneCallPerToken() {
	GinkgoHelper()
	Expect(c.requests()).To(HaveLen(len(c.tokens())))
}

// lateness is how long after it was due the latest renewal came, or is by now: each token is to be followed by another when no
// more than the lead is left of it.
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

// evict does what kubectl drain does with a pod.
func evict(pod string) {
	GinkgoHelper()
	eviction := fmt.Sprintf(`{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": %q, "namespace": %q}}`, pod, operatorNamespace)
	_, err := tryKubectl(eviction, "create", "--raw", fmt.Sprintf("/api/v1/namespaces/%s/pods/%s/eviction", operatorNamespace, pod), "--filename=-")
	Expect(err).NotTo(HaveOccurred())
}

// killProcess ends the operator in a pod with SIGKILL, so that it cannot say farewell. Its image has nothing to do that with, so
// a pod does it that sees the processes of the node.
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
