package controllers_test

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// These specs change objects and clocks while the operator waits for an answer.
var _ = Describe("During a call to WorkOS", func() {
	var w *world
	BeforeEach(func() { w = running() })

	calls := func(token *v1alpha1.PipesToken) int { return len(w.upstream.RequestsFor(idOf(token))) }
	shortLived := func(lifetime time.Duration) func(*workossim.Connection) {
		return func(c *workossim.Connection) { c.Lifetime, c.AlwaysFresh = lifetime, true }
	}
	// whileAsking begins a call with start, delays its answer, and calls change during the delay.
	whileAsking := func(token *v1alpha1.PipesToken, start, change func()) {
		GinkgoHelper()
		release := make(chan struct{})
		w.upstream.Inject(workossim.Fault{Kind: workossim.FaultLatency, Hold: release, Times: 1})
		before := calls(token)
		start()
		Eventually(func() int { return calls(token) }, soon, often).Should(Equal(before + 1))
		change()
		close(release)
	}
	askNow := func(token *v1alpha1.PipesToken) {
		w.clock.Step(5 * time.Second) // the least time between two calls for one connection
		w.edit(token, func() { token.Annotations = map[string]string{v1alpha1.RefreshRequestedAtAnnotation: "now"} })
	}

	It("the new token expires, and does not replace the valid one", func() {
		token := w.synced("alice", alwaysFresh)
		valid := w.tokenIn(token)
		w.connect(token, shortLived(4*time.Second))
		whileAsking(token, func() { askNow(token) }, func() { w.clock.Step(9 * time.Second) })
		Eventually(func() []string { return conditionsOf(w.reload(token)) }, soon, often).Should(
			ContainElements("Ready=True/TokenSynced", "RenewalFailed=True/TokenExpired"))
		Expect(w.tokenIn(token)).To(Equal(valid))
		Expect(token.Status.LastHandledRefreshRequest).To(Equal("now"))
	})

	It("the old token expires, and the status says so while the call hangs", func() {
		token := w.synced("alice", shortLived(20*time.Second))
		release := make(chan struct{})
		DeferCleanup(func() { close(release) })
		w.upstream.Inject(workossim.Fault{Kind: workossim.FaultLatency, Hold: release, Times: 1})
		before := calls(token)
		askNow(token)
		Eventually(func() int { return calls(token) }, soon, often).Should(Equal(before + 1))
		w.clock.Step(15 * time.Second)
		expired := time.Now()
		w.waitForReasonOnly(token, v1alpha1.TokenExpiredReason)
		Expect(time.Since(expired)).To(BeNumerically("<", 2*time.Second))
		Expect(conditionsOf(token)).To(ContainElements("Ready=False/TokenExpired", "Reconciling=True/TokenExpired"))
	})

	It("the grant is withdrawn, and no token is written", func() {
		token := w.token("alice")
		w.connect(token)
		whileAsking(token, func() { w.create(token) }, func() {
			environment := w.environment()
			w.edit(environment, func() { environment.Spec.Grants = nil })
			w.awaitCached(environment)
		})
		w.waitForReason(token, v1alpha1.NotGrantedReason)
		Expect(w.operator.requests.count(createSecret)).To(BeZero())
		Expect(w.secret(token)).To(BeNil())
	})

	It("the object is suspended, and the Secret stays as it is", func() {
		token := w.synced("alice", alwaysFresh)
		valid := w.secret(token)
		w.timeline.advance(time.Minute)
		whileAsking(token, func() { askNow(token) }, func() {
			w.edit(token, func() { token.Spec.Suspend = true })
			w.awaitCached(token)
		})
		w.waitForReason(token, v1alpha1.TokenSyncedReason)
		Expect(w.secret(token)).To(Equal(valid))
		Expect(token.Status.LastHandledRefreshRequest).To(BeEmpty(), "the token that came is not in the Secret")
	})

	It("the object is deleted, and nothing is written", func() {
		token := w.token("alice")
		w.connect(token)
		whileAsking(token, func() { w.create(token) }, func() {
			Expect(user.Delete(w.ctx, token)).To(Succeed())
			Eventually(func() error {
				return w.operator.caches.Get(w.ctx, client.ObjectKeyFromObject(token), &v1alpha1.PipesToken{})
			}, soon, often).ShouldNot(Succeed())
		})
		w.timeline.settle()
		Expect(w.operator.requests.count(createSecret)).To(BeZero())
	})

	It("the template changes, and the Secret is written by the new one", func() {
		token := w.token("alice")
		w.connect(token)
		whileAsking(token, func() { w.create(token) }, func() {
			w.edit(token, func() {
				token.Spec.SecretTemplate = &v1alpha1.SecretTemplate{Data: map[string]v1alpha1.DataTemplate{"password": "{{ .AccessToken }}"}}
			})
			w.awaitCached(token)
		})
		w.waitForReason(token, v1alpha1.TokenSyncedReason)
		Expect(w.secret(token).Data).To(HaveLen(1))
		Expect(string(w.secret(token).Data["password"])).To(Equal(w.held(token)))
		Expect(calls(token)).To(Equal(1))
	})

	It("another refresh is requested, and answered by another call", func() {
		token := w.synced("alice", alwaysFresh)
		w.timeline.advance(time.Minute)
		before := calls(token)
		whileAsking(token, func() { askNow(token) }, func() {
			w.edit(token, func() { token.Annotations[v1alpha1.RefreshRequestedAtAnnotation] = "later" })
			w.awaitCached(token)
		})
		w.timeline.advance(10 * time.Second)
		Eventually(func() string { return w.reload(token).Status.LastHandledRefreshRequest }, soon, often).Should(Equal("later"))
		Expect(calls(token)).To(Equal(before + 2))
	})

	It("the environment leads elsewhere, and the token of the other place is not written", func() {
		token := w.token("alice")
		w.connect(token)
		whileAsking(token, func() { w.create(token) }, func() {
			environment := w.environment()
			w.edit(environment, func() { environment.Spec.BaseURL = "http://169.254.169.254" })
			w.awaitCached(environment)
		})
		w.timeline.settle()
		Expect(w.secret(token)).To(BeNil())
	})
})

var _ = Describe("A token that is useless when it arrives", func() {
	calls := func(w *world, token *v1alpha1.PipesToken) int { return len(w.upstream.RequestsFor(idOf(token))) }

	for name, lifetime := range map[string]time.Duration{"3 seconds": 3 * time.Second, "14 seconds": 14 * time.Second} {
		It("is not written, and asked for ever less often: "+name, func() {
			w := running()
			token := w.token("alice")
			w.connect(token, func(c *workossim.Connection) { c.Lifetime, c.AlwaysFresh = lifetime, true })
			w.settled(token, v1alpha1.TokenExpiredReason)
			w.timeline.advance(10 * time.Minute)
			Expect(w.secret(token)).To(BeNil())
			Expect(calls(w, token)).To(BeNumerically("<=", 20))
			Expect(w.operator.requests.count(writeStatus)).To(BeNumerically("<=", 4))
			Expect(w.operator.requests.count(emitEvent)).To(BeNumerically("<=", 4+1), "the PipesEnvironment has one, too")
			w.connect(token)
			w.timeline.advance(5 * time.Minute)
			w.waitForReason(token, v1alpha1.TokenSyncedReason)
		})

		It("does not replace a valid one: "+name, func() {
			w := running()
			token := w.synced("alice", alwaysFresh)
			valid := w.tokenIn(token)
			w.connect(token, func(c *workossim.Connection) { c.Lifetime, c.AlwaysFresh = lifetime, true })
			before, statuses := calls(w, token), w.operator.requests.count(writeStatus)
			w.waitForPass(token, func() {
				w.edit(token, func() { token.Annotations = map[string]string{v1alpha1.RefreshRequestedAtAnnotation: "now"} })
			})
			w.timeline.advance(10 * time.Minute)
			Expect(w.tokenIn(token)).To(Equal(valid))
			Expect(conditionsOf(w.reload(token))).To(ContainElements("Ready=True/TokenSynced", "RenewalFailed=True/TokenExpired"))
			Expect(calls(w, token) - before).To(BeNumerically("<=", 20))
			Expect(w.operator.requests.count(writeStatus) - statuses).To(BeNumerically("<=", 4))
		})
	}
})
