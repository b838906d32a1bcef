//go:build e2e

package e2e

import (
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// These specs install and uninstall everything, including the CRDs. At the end they restore the
// install for other specs.
var _ = Describe("The life of an install", Serial, Ordered, func() {
	BeforeAll(func() {
		expectNoCanaries(operatorNamespace)
		uninstallOperator()
		DeferCleanup(installOperator)
	})

	// Each spec starts and ends without any installed object.
	BeforeEach(expectNothingLeft)

	It("is upgraded without a call to WorkOS and without a write of a Secret", func() {
		applyInstaller("install-previous.yaml")
		rolledOut(operatorNamespace)
		apply(environment(operatorNamespace, apiKey))
		namespace := newNamespace()
		var connections []connection
		for i := range 10 {
			c := connect()
			connections = append(connections, c)
			apply(c.token(namespace, tokenName(i)))
		}
		kubectl("wait", "pipestokens", "--all", "--namespace="+namespace, "--for=condition=Ready", "--timeout=1m")
		lost := connect(func(c *connection) { c.State = workossim.NotInstalled })
		apply(lost.token(namespace, "lost"))
		waitForReason(namespace, "lost", "NotInstalled", time.Minute)
		before := secretVersions(namespace)

		applyInstaller("install.yaml")
		rolledOut(operatorNamespace)
		awaitWorkingLeader(namespace)
		Consistently(func(g Gomega) {
			for _, c := range connections {
				g.Expect(c.requests()).To(HaveLen(1))
			}
			g.Expect(secretVersions(namespace)).To(Equal(before))
		}, 20*time.Second, 4*time.Second).Should(Succeed())

		By("renewing with the new version what the old one has written")
		connections[0].setState(workossim.NeedsReauthorization)
		requestRefresh(namespace, "token-0")
		waitForReason(namespace, "token-0", "NeedsReauthorization", time.Minute)
		expectNoCanaries(operatorNamespace)
		kubectl("delete", "namespace", namespace)
		uninstallOperator()
		expectNothingLeft()
	})

	DescribeTable("is uninstalled in any order, and nothing hangs or is left", func(orderOf func(namespace string) [][]string) {
		installOperator()
		namespace := newNamespace()
		for i := range 3 {
			apply(connect().token(namespace, tokenName(i)))
		}
		kubectl("wait", "pipestokens", "--all", "--namespace="+namespace, "--for=condition=Ready", "--timeout=1m")
		awaitGarbageCollector(namespace)
		expectNoCanaries(operatorNamespace)
		for _, step := range orderOf(namespace) {
			By("kubectl delete " + strings.Join(step, " "))
			kubectl(append([]string{"delete", "--timeout=2m", "--ignore-not-found"}, step...)...)
		}
		expectNothingLeft()
	},
		Entry("as docs/guides/operate.md says", func(string) [][]string {
			return [][]string{
				{"pipestokens", "--all", "--all-namespaces"}, {"pipesenvironments", "--all", "--all-namespaces"}, {"--filename=" + installer()},
			}
		}),
		Entry("the operator first", func(string) [][]string {
			return [][]string{{operatorDeployment, "--namespace=" + operatorNamespace}, {"--filename=" + installer()}}
		}),
		Entry("the CRDs first", func(string) [][]string {
			return [][]string{
				{"customresourcedefinition", "pipestokens.pipes.workos.com", "pipesenvironments.pipes.workos.com"}, {"--filename=" + installer()},
			}
		}),
		Entry("the namespaces first", func(namespace string) [][]string {
			return [][]string{{"namespace", operatorNamespace}, {"namespace", namespace}, {"--filename=" + installer()}}
		}),
	)

	It("works in one namespace without any right in the cluster, installed by the owner of the namespace", func() {
		kubectl("apply", "--kustomize="+filepath.Join(with.Repository, "config", "namespaced-prerequisites"), "--warnings-as-errors")
		DeferCleanup(func() {
			kubectl("delete", "--kustomize="+filepath.Join(with.Repository, "config", "namespaced-prerequisites"), "--timeout=2m")
		})
		namespace, other := newNamespace(), newNamespace()
		owner := "alice@example.com"
		for role, name := range map[string]string{"admin": "owner", "pipes-operator-namespaced-installer": "installer"} {
			kubectl("create", "rolebinding", name, "--namespace="+namespace, "--clusterrole="+role, "--user="+owner)
		}

		By("installing it as the owner")
		// The commands are those of docs/explanation/security.md.
		deploy := overlayOf(filepath.Join(with.Repository, "config", "namespaced"), "namespace: "+namespace)
		kubectl("apply", "--kustomize="+deploy, "--as="+owner, "--warnings-as-errors")
		rolledOut(namespace)
		_, err := tryKubectl(namespacedEnvironment(namespace), "apply", "--filename=-", "--as="+owner)
		Expect(err).NotTo(HaveOccurred())
		waitFor(namespace, "pipesenvironment/default", "condition=Ready", time.Minute)

		By("using it")
		c, elsewhere := connect(), connect()
		apply(c.token(namespace, "token"))
		apply(elsewhere.token(other, "token"))
		waitForReason(namespace, "token", "TokenSynced", time.Minute)
		startReader(namespace, "token", "token")
		kubectl("delete", "pods", "--selector="+operatorSelector, "--namespace="+namespace)
		rolledOut(namespace)
		c.setState(workossim.NotInstalled)
		requestRefresh(namespace, "token")
		waitForReason(namespace, "token", "NotInstalled", time.Minute)
		Eventually(func() int { return lastSight(namespace, "token").Serial }, volumeLimit).Should(BeZero())
		c.setState(workossim.Connected)
		waitForReason(namespace, "token", "TokenSynced", 2*time.Minute)
		waitForReason(other, "token", "Pending", time.Second)
		Expect(elsewhere.requests()).To(BeEmpty())

		expectNoClusterRights(namespace)
		expectNoCanaries(namespace)
		kubectl("delete", "--kustomize="+deploy, "--as="+owner, "--timeout=2m")
		Expect(secretKeys(namespace, "token")).To(ContainElement("access_token"), "docs/explanation/security.md says that Secrets stay")
		kubectl("delete", "namespace", namespace, other)
	})
})

func installer() string { return filepath.Join(with.Dist, "install.yaml") }

// awaitGarbageCollector waits until the garbage collector of Kubernetes watches PipesTokens. It
// looks for new kinds every 30 seconds, but notices a recreated CRD later. It never deletes
// dependents of an object that it has not seen before the CRD is deleted.
func awaitGarbageCollector(namespace string) {
	GinkgoHelper()
	created := get[header]("customresourcedefinition", "pipestokens.pipes.workos.com").CreationTimestamp
	Eventually(time.Now, 2*time.Minute).Should(BeTemporally(">", created.Add(time.Minute)))
	apply(connect().token(namespace, "first"))
	waitForReason(namespace, "first", "TokenSynced", time.Minute)
	kubectl("delete", "pipestoken", "first", "--namespace="+namespace)
	Eventually(func() string {
		return kubectl("get", "secret", "first", "--namespace="+namespace, "--ignore-not-found", "--output=name")
	}).Should(BeEmpty())
}

// expectNothingLeft expects that no object of an install and its PipesTokens exists. Garbage
// collection takes a moment.
func expectNothingLeft() {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		for _, what := range [][]string{
			{"secrets", "--all-namespaces", "--selector=app.kubernetes.io/managed-by=pipes-operator"},
			{"namespaces", operatorNamespace},
			{"customresourcedefinitions,clusterroles,clusterrolebindings,priorityclasses", "--selector=app.kubernetes.io/name=pipes-operator"},
			{"customresourcedefinitions", "pipestokens.pipes.workos.com", "pipesenvironments.pipes.workos.com"},
		} {
			found, err := tryKubectl("", append([]string{"get", "--output=name", "--ignore-not-found"}, what...)...)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(found).To(BeEmpty())
		}
	}).Should(Succeed())
}

// secretVersions lists the resourceVersions of the Secrets in a namespace.
func secretVersions(namespace string) string {
	GinkgoHelper()
	return kubectl("get", "secrets", "--namespace="+namespace, "--sort-by=.metadata.name",
		`--output=jsonpath={range .items[*]}{.metadata.name} {.metadata.resourceVersion}{"\n"}{end}`)
}

// namespacedEnvironment returns the PipesEnvironment for a namespaced install, which needs no
// grants.
func namespacedEnvironment(namespace string) string {
	text, _, _ := strings.Cut(environment(namespace, apiKey), "  grants:")
	return text
}

// expectNoClusterRights expects that the ServiceAccount of a namespaced install has no rights
// outside its namespace.
func expectNoClusterRights(namespace string) {
	GinkgoHelper()
	account := "system:serviceaccount:" + namespace + ":pipes-operator-manager"
	for _, question := range [][]string{
		{"list", "secrets", "--all-namespaces"}, {"list", "namespaces"}, {"list", "pipestokens.pipes.workos.com", "--all-namespaces"},
		{"get", "secrets", "--namespace=default"}, {"create", "secrets", "--namespace=default"}, {"create", "tokenreviews"},
	} {
		Expect(canI(account, question[0], question[1], question[2:]...)).To(BeFalse(), "%v", question)
	}
	Expect(canI(account, "patch", "secrets", "--namespace="+namespace)).To(BeTrue())
	logs := kubectl("logs", "--selector="+operatorSelector, "--namespace="+namespace, "--tail=-1")
	Expect(logs).NotTo(ContainSubstring("forbidden"))
}
