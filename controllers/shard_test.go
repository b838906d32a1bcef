package controllers_test

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/sharding"
)

const (
	writeEnvironment = "PATCH pipesenvironments/status"
	patchEnvironment = "PATCH pipesenvironments"
	patchToken       = "PATCH pipestokens"

	shardLabel = "pipes.workos.com/shard"
	ring       = "pipes-operator"
	ringShard  = "shard.alpha.sharding.timebertt.dev/" + ring
	ringDrain  = "drain.alpha.sharding.timebertt.dev/" + ring
)

func selected(selector string) sharding.Shard {
	GinkgoHelper()
	parsed, err := labels.Parse(selector)
	Expect(err).NotTo(HaveOccurred())
	return sharding.Selected(parsed)
}

// assign puts an object into a shard.
func (w *world) assign(object client.Object, label, shard string) {
	GinkgoHelper()
	w.edit(object, func() { metav1.SetMetaDataLabel(labelled(object), label, shard) })
}

func labelled(object client.Object) *metav1.ObjectMeta {
	switch object := object.(type) {
	case *v1alpha1.PipesToken:
		return &object.ObjectMeta
	case *v1alpha1.PipesEnvironment:
		return &object.ObjectMeta
	default:
		panic("neither a PipesToken nor a PipesEnvironment")
	}
}

// sees reports whether an operator has the PipesToken in its cache.
func (o *operator) sees(token *v1alpha1.PipesToken) bool {
	return o.caches.Get(GinkgoT().Context(), client.ObjectKeyFromObject(token), &v1alpha1.PipesToken{}) == nil
}

// expectMove waits until a PipesToken has moved from one operator to another, and until both have
// reacted.
func (w *world) expectMove(token *v1alpha1.PipesToken, from, to *operator) {
	GinkgoHelper()
	Eventually(func() bool { return to.sees(token) && !from.sees(token) }, soon, often).Should(BeTrue())
	waitForTimers(w, token)
}

var _ = Describe("A shard", func() {
	var (
		w           *world
		environment *v1alpha1.PipesEnvironment
		a, b        *operator
	)
	start := func(label string, shardA, shardB sharding.Shard) {
		w = newWorld()
		w.stepEnvironments = true
		environment = w.environment()
		w.assign(environment, label, "a")
		a, b = w.startShard(shardA), w.startShard(shardB)
		w.operator = a
		w.waitForEnvironment(v1alpha1.AvailableReason)
		// This event is about the PipesEnvironment. Without this wait it could be taken for an
		// event about a PipesToken.
		a.requests.waitForEvents(1)
	}
	// synced creates a PipesToken in shard a, and waits for its Secret.
	synced := func(label string) *v1alpha1.PipesToken {
		GinkgoHelper()
		token := w.token("alice")
		token.Labels = map[string]string{label: "a"}
		w.connect(token, alwaysFresh)
		w.settled(token, v1alpha1.TokenSyncedReason)
		return token
	}
	// expectRenewal steps the clock to the renewal. The renewal must take one call, and the
	// operator by must write the Secret and the status once each.
	expectRenewal := func(token *v1alpha1.PipesToken, by, notBy *operator) {
		GinkgoHelper()
		before, mine, others := w.tokenIn(token), by.requests.mark(), notBy.requests.mark()
		w.upstream.ResetRequests()
		w.timeline.advance(w.reload(token).Status.ExpirationTime.Sub(w.clock.Now()) - time.Second)
		Expect(w.tokenIn(token)).NotTo(Equal(before))
		Expect(w.upstream.RequestsFor(idOf(token))).To(HaveLen(1))
		Expect(by.requests.since(mine)).To(ConsistOf(tryOut, patchSecret, writeStatus))
		Expect(notBy.requests.since(others)).To(BeEmpty())
	}

	Context("of a label selector", func() {
		BeforeEach(func() { start(shardLabel, selected(shardLabel+"=a"), selected(shardLabel+" notin (a)")) })

		It("looks after its own PipesTokens only, and tells of its own PipesEnvironments only", func() {
			token := synced(shardLabel)
			Expect(b.sees(token)).To(BeFalse())
			expectRenewal(token, a, b)
			Expect(a.requests.count(writeEnvironment)).To(Equal(1))
			Expect(b.requests.count(writeEnvironment)).To(BeZero())
		})

		It("takes over a PipesToken without a call and without a write, and renews it when that is due", func() {
			token := synced(shardLabel)
			held, resourceVersion := w.tokenIn(token), w.secret(token).ResourceVersion
			mine, others := a.requests.mark(), b.requests.mark()
			w.upstream.ResetRequests()

			w.assign(token, shardLabel, "b")
			w.expectMove(token, a, b)
			Expect(w.upstream.Requests()).To(BeEmpty())
			Expect(a.requests.since(mine)).To(BeEmpty())
			Expect(b.requests.since(others)).To(BeEmpty())
			Expect(w.tokenIn(token)).To(Equal(held))
			Expect(w.secret(token).ResourceVersion).To(Equal(resourceVersion))
			expectRenewal(token, b, a)

			By("moving it back")
			w.assign(token, shardLabel, "a")
			w.expectMove(token, b, a)
			expectRenewal(token, a, b)
		})

		It("withdraws a token although another shard tells of the PipesEnvironment", func() {
			token := synced(shardLabel)
			w.assign(token, shardLabel, "b")
			w.expectMove(token, a, b)
			w.edit(environment, func() { environment.Spec.Grants[0].Namespaces.Names = []string{"nobody"} })
			w.waitForReason(token, v1alpha1.NotGrantedReason)
			Expect(w.tokenIn(token)).To(BeEmpty())
			Expect(b.requests.count(writeEnvironment)).To(BeZero())
		})

		It("goes on with the next API key at once, also where it does not tell of the PipesEnvironment", func() {
			token := synced(shardLabel)
			w.assign(token, shardLabel, "b")
			w.expectMove(token, a, b)
			w.upstream.SetAPIKeys("sk_test_canary_next")
			w.waitForPass(token, func() {
				w.edit(token, func() { metav1.SetMetaDataAnnotation(&token.ObjectMeta, v1alpha1.RefreshRequestedAtAnnotation, "now") })
			})
			Expect(conditionsOf(w.reload(token))).To(ContainElement("RenewalFailed=True/EnvironmentNotReady"))

			key := &corev1.Secret{}
			Expect(user.Get(w.ctx, types.NamespacedName{Namespace: w.home, Name: apiKeySecret}, key)).To(Succeed())
			w.edit(key, func() { key.Data[apiKeyEntry] = []byte("sk_test_canary_next") })
			w.timeline.advance(31 * time.Second)
			Eventually(func() []string { return conditionsOf(w.reload(token)) }, soon, often).
				ShouldNot(ContainElement(HavePrefix("RenewalFailed")), "long before its slow poll")
			Expect(b.requests.count(writeEnvironment)).To(BeZero())
		})
	})

	Context("of a ControllerRing", func() {
		BeforeEach(func() { start(ringShard, sharding.Ring(ring, "a"), sharding.Ring(ring, "b")) })

		It("lets go of a PipesToken when the sharder asks for it, and only then another one takes over", func() {
			token := synced(ringShard)
			mine := a.requests.mark()
			w.upstream.ResetRequests()
			w.assign(token, ringDrain, "")
			Eventually(func() map[string]string { return w.reload(token).Labels }, soon, often).Should(BeEmpty())
			w.timeline.settle()
			Expect(a.requests.since(mine)).To(ConsistOf(patchToken))
			Expect(w.timeline.timerOf(requestFor(token))).To(BeZero(), "nobody has it")

			w.assign(token, ringShard, "b")
			w.expectMove(token, a, b)
			Expect(w.upstream.Requests()).To(BeEmpty())
			expectRenewal(token, b, a)
		})

		It("lets go of a PipesEnvironment too", func() {
			w.assign(environment, ringDrain, "")
			Eventually(func() map[string]string {
				Expect(user.Get(w.ctx, client.ObjectKeyFromObject(environment), environment)).To(Succeed())
				return environment.Labels
			}, soon, often).Should(BeEmpty())
			w.timeline.settle()
			Expect(a.requests.count(patchEnvironment)).To(Equal(1))
			Expect(b.requests.count(patchEnvironment)).To(BeZero(), "b does not have it")
			w.assign(environment, ringShard, "b")
			w.edit(environment, func() { environment.Spec.RequestsPerMinute = 100 })
			w.waitForEnvironment(v1alpha1.AvailableReason)
			Expect(b.requests.count(writeEnvironment)).To(Equal(1))
		})

		It("leaves labels alone that the sharder has changed meanwhile", func() {
			token := synced(ringShard)
			w.edit(token, func() { token.Labels[ringDrain], token.Labels[ringShard] = "", "b" })
			Eventually(func() map[string]string { return w.reload(token).Labels }, soon, often).Should(BeEmpty(), "b lets go of it")
			w.timeline.settle()
			Expect(a.requests.count(patchToken)).To(BeZero())
		})
	})
})
