//go:build e2e

package e2e

import (
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// This spec is Serial because the shards replace the operator that other specs use. It restores
// the operator at the end.
var _ = Describe("Three shards", Serial, func() {
	shards := []string{"one", "two", "rest"}

	It("take over what one operator had, and hand a PipesToken over when its label changes", func() {
		namespace := newNamespace()
		connections := map[string]connection{}
		for _, shard := range shards {
			c := connect()
			connections[shard] = c
			apply(c.token(namespace, shard))
		}
		kubectl("label", "pipestoken", "one", "--namespace="+namespace, "pipes.workos.com/shard=one")
		kubectl("label", "pipestoken", "two", "--namespace="+namespace, "pipes.workos.com/shard=two")
		kubectl("wait", "pipestokens", "--all", "--namespace="+namespace, "--for=condition=Ready", "--timeout=1m")
		before := secretVersions(namespace)
		expectNoCanaries(operatorNamespace) // while its log exists

		By("doing what docs/guides/sharding.md says")
		DeferCleanup(func() {
			installOperator()
			for _, shard := range shards {
				kubectl("delete", operatorDeployment+"-"+shard, "--namespace="+operatorNamespace, "--ignore-not-found")
			}
		})
		kubectl("apply", "--kustomize="+overlayOf(filepath.Join(with.Repository, "config", "shards"), ""), "--warnings-as-errors")
		kubectl("delete", operatorDeployment, "--namespace="+operatorNamespace)
		for _, shard := range shards {
			kubectl("rollout", "status", operatorDeployment+"-"+shard, "--namespace="+operatorNamespace, "--timeout=3m")
		}

		By("asking each of them for something")
		for _, shard := range shards {
			c := connect()
			name := "new-" + shard
			apply(c.token(namespace, name))
			if shard != "rest" {
				kubectl("label", "pipestoken", name, "--namespace="+namespace, "pipes.workos.com/shard="+shard)
			}
			waitFor(namespace, "pipestoken/"+name, "condition=Ready", time.Minute)
			kubectl("delete", "pipestoken", name, "--namespace="+namespace)
		}
		// the Secrets of the new tokens are gone
		Eventually(secretVersions).WithArguments(namespace).Should(Equal(before))
		for _, shard := range shards {
			Expect(connections[shard].requests()).To(HaveLen(1), "taking over %s cost a call", shard)
		}

		By("moving a PipesToken away from a shard that is down")
		kubectl("scale", operatorDeployment+"-one", "--replicas=0", "--namespace="+operatorNamespace)
		Eventually(func() string {
			return kubectl("get", operatorDeployment+"-one", "--namespace="+operatorNamespace, "--output=jsonpath={.status.replicas}")
		}).Should(BeElementOf("", "0"))
		connections["one"].setState("needs_reauthorization")
		requestRefresh(namespace, "one")
		Consistently(func(g Gomega) { g.Expect(connections["one"].requests()).To(HaveLen(1)) }, 5*time.Second, time.Second).Should(Succeed())
		kubectl("label", "pipestoken", "one", "--namespace="+namespace, "pipes.workos.com/shard=two", "--overwrite")
		waitForReason(namespace, "one", "NeedsReauthorization", time.Minute)
		Expect(connections["one"].requests()).To(HaveLen(2))
		expectNoCanaries(operatorNamespace)
	})
})
