package controllers_test

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/workos"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

var _ = Describe("A user's connection", func() {
	var w *world
	BeforeEach(func() { w = running() })

	for state, reason := range map[workossim.State]string{
		workossim.NotInstalled:         v1alpha1.NotInstalledReason,
		workossim.NeedsReauthorization: v1alpha1.NeedsReauthorizationReason,
		"account_on_fire":              v1alpha1.InactiveReason,
	} {
		It("is told to be missing, and found again: "+string(state), func() {
			token := w.token("alice")
			id := w.connect(token, func(c *workossim.Connection) { c.State = state })
			w.settled(token, reason)
			Expect(conditionsOf(token)).To(ConsistOf("Ready=False/"+reason, "Connected=False/"+reason, "Stalled=True/"+reason))
			Expect(kstatusOf(token)).To(Equal(status.FailedStatus))
			Expect(w.secret(token)).To(BeNil())
			expectComplete(token)

			By("polling fresh after the change, and patiently later")
			w.timeline.advance(5 * time.Minute)
			early := len(w.upstream.RequestsFor(id))
			Expect(early).To(BeNumerically("~", 9, 2))
			w.timeline.advance(24 * time.Hour)
			Expect(len(w.upstream.RequestsFor(id)) - early).To(BeNumerically("~", 24*6+8, 8))

			w.upstream.SetState(id, workossim.Connected)
			w.timeline.advance(10 * time.Minute)
			w.waitForReason(token, v1alpha1.TokenSyncedReason)
			Expect(conditionsOf(token)).To(ConsistOf("Ready=True/TokenSynced", "Connected=True/Connected", "ScopesGranted=True/AllScopesGranted"))
			Expect(kstatusOf(token)).To(Equal(status.CurrentStatus))
		})

		It("takes the token out of the Secret when it is lost: "+string(state), func() {
			token := w.synced("alice")
			uid := w.secret(token).UID
			w.upstream.SetState(idOf(token), state)
			w.timeline.advance(2 * time.Hour)
			w.waitForReason(token, reason)
			secret := w.secret(token)
			Expect(secret.UID).To(Equal(uid), "Clear keeps the Secret")
			Expect(secret.Data).To(BeEmpty())
			Expect(secret.Annotations).To(BeEmpty())
			Expect(token.Status.ExpirationTime).To(BeNil())
			Expect(token.Status.Scopes).To(BeEmpty())
			Expect(kstatusOf(token)).To(Equal(status.FailedStatus))

			w.upstream.SetState(idOf(token), workossim.Connected)
			w.timeline.advance(10 * time.Minute)
			w.waitForReason(token, v1alpha1.TokenSyncedReason)
			Expect(w.tokenIn(token)).To(Equal(w.held(token)))
			Expect(w.secret(token).UID).To(Equal(uid))
		})
	}

	It("keeps a valid token for an hour while WorkOS gives a reason that is not known", func() {
		token := w.rested("alice", func(c *workossim.Connection) { c.Lifetime = 8 * time.Hour })
		valid, lost := w.tokenIn(token), w.clock.Now()
		w.upstream.SetState(idOf(token), "account_on_fire")
		w.upstream.ResetRequests()
		w.edit(token, func() { token.Annotations = map[string]string{v1alpha1.RefreshRequestedAtAnnotation: "now"} })
		Eventually(func() []string { return conditionsOf(w.reload(token)) }, soon, often).Should(
			ConsistOf("Ready=True/TokenSynced", "Connected=False/Inactive", "ScopesGranted=True/AllScopesGranted", "RenewalFailed=True/Inactive"))
		Expect(kstatusOf(token)).To(Equal(status.CurrentStatus))
		Expect(meta.FindStatusCondition(token.Status.Conditions, v1alpha1.RenewalFailedCondition).Message).To(ContainSubstring("account_on_fire"))

		By("a restart, which does not begin the hour anew")
		w.timeline.advance(30 * time.Minute)
		w.operator.stop()
		w.start()
		waitForTimers(w, token)
		w.timeline.advance(29 * time.Minute)
		Expect(w.tokenIn(token)).To(Equal(valid))
		Expect(conditionsOf(w.reload(token))).To(ContainElement("Ready=True/TokenSynced"))
		w.timeline.advance(lost.Add(time.Hour + 10*time.Second).Sub(w.clock.Now()))
		w.waitForReason(token, v1alpha1.InactiveReason)
		Expect(w.tokenIn(token)).To(BeEmpty())
		Expect(conditionsOf(token)).To(ConsistOf("Ready=False/Inactive", "Connected=False/Inactive", "Stalled=True/Inactive"))
		Expect(len(w.upstream.Requests())).To(BeNumerically("~", 16, 8), "polls that grow longer")

		By("WorkOS, which returns a token again")
		w.upstream.SetState(idOf(token), workossim.Connected)
		w.timeline.advance(15 * time.Minute)
		w.waitForReason(token, v1alpha1.TokenSyncedReason)
	})

	It("keeps the token when the unknown reason passes within the hour", func() {
		token := w.rested("alice", func(c *workossim.Connection) { c.Lifetime = 8 * time.Hour })
		before := w.tokenIn(token)
		w.upstream.SetState(idOf(token), "account_on_fire")
		w.edit(token, func() { token.Annotations = map[string]string{v1alpha1.RefreshRequestedAtAnnotation: "now"} })
		Eventually(func() []string { return conditionsOf(w.reload(token)) }, soon, often).Should(ContainElement("RenewalFailed=True/Inactive"))
		for range 2 {
			w.timeline.advance(20 * time.Minute)
			Expect(w.tokenIn(token)).To(Equal(before))
		}
		w.upstream.SetState(idOf(token), workossim.Connected)
		w.timeline.advance(20 * time.Minute)
		Expect(conditionsOf(w.reload(token))).To(ConsistOf("Ready=True/TokenSynced", "Connected=True/Connected", "ScopesGranted=True/AllScopesGranted"))
		Expect(w.tokenIn(token)).To(Equal(w.held(token)))
	})

	It("leaves a token without an expiry where it is when inactivePolicy is Retain, and is not ready after the hour", func() {
		token := w.token("alice")
		token.Spec.InactivePolicy = v1alpha1.InactivePolicyRetain
		w.connect(token, func(c *workossim.Connection) { c.Lifetime = 0 })
		w.settled(token, v1alpha1.TokenSyncedReason)
		w.timeline.advance(workos.MinInterval)
		w.upstream.SetState(idOf(token), "account_on_fire")
		w.edit(token, func() { token.Annotations = map[string]string{v1alpha1.RefreshRequestedAtAnnotation: "now"} })
		Eventually(func() []string { return conditionsOf(w.reload(token)) }, soon, often).Should(ContainElement("RenewalFailed=True/Inactive"))
		w.timeline.advance(time.Hour + time.Minute)
		Expect(conditionsOf(w.reload(token))).To(ContainElements("Ready=False/Inactive", "Stalled=True/Inactive"))
		Expect(w.tokenIn(token)).NotTo(BeEmpty())
	})

	It("deletes the Secret when inactivePolicy is Delete", func() {
		token := w.token("alice")
		token.Spec.InactivePolicy = v1alpha1.InactivePolicyDelete
		w.connect(token)
		w.settled(token, v1alpha1.TokenSyncedReason)
		w.upstream.SetState(idOf(token), workossim.NotInstalled)
		w.timeline.advance(time.Hour)
		w.waitForReason(token, v1alpha1.NotInstalledReason)
		Expect(w.secret(token)).To(BeNil())
		Expect(token.Status.Binding).To(BeNil())
		w.upstream.SetState(idOf(token), workossim.Connected)
		w.timeline.advance(10 * time.Minute)
		w.waitForReason(token, v1alpha1.TokenSyncedReason)
	})

	It("leaves the Secret alone when inactivePolicy is Retain, and still says that the token is not to be used", func() {
		token := w.token("alice")
		token.Spec.InactivePolicy = v1alpha1.InactivePolicyRetain
		w.connect(token)
		w.settled(token, v1alpha1.TokenSyncedReason)
		before := w.secret(token)
		w.upstream.SetState(idOf(token), workossim.NotInstalled)
		w.timeline.advance(time.Hour)
		w.waitForReason(token, v1alpha1.NotInstalledReason)
		Expect(w.secret(token)).To(Equal(before))
	})

	It("keeps what the API server insists on in a typed Secret that is cleared", func() {
		token := w.token("alice")
		token.Spec.SecretTemplate = &v1alpha1.SecretTemplate{
			Type: v1alpha1.SecretTypeDockerConfigJSON,
			Data: map[string]v1alpha1.DataTemplate{".dockerconfigjson": `{"auths":{"ghcr.io":{"password":{{ quote .AccessToken }}}}}`},
		}
		w.connect(token)
		w.settled(token, v1alpha1.TokenSyncedReason)
		w.upstream.SetState(idOf(token), workossim.NotInstalled)
		w.timeline.advance(time.Hour)
		w.waitForReason(token, v1alpha1.NotInstalledReason)
		Expect(w.secret(token).Data).To(Equal(map[string][]byte{".dockerconfigjson": []byte(`{"auths":{}}`)}))
	})

	It("tells scopes that the user has not granted, and works all the same", func() {
		token := w.synced("alice", func(c *workossim.Connection) { c.MissingScopes = []string{"admin:org"} })
		Expect(conditionsOf(token)).To(ConsistOf("Ready=True/TokenSynced", "Connected=True/Connected", "ScopesGranted=False/MissingScopes"))
		Expect(token.Status.MissingScopes).To(Equal([]string{"admin:org"}))
		Expect(token.Status.Scopes).To(Equal([]string{"repo", "user:email"}))
		Expect(kstatusOf(token)).To(Equal(status.CurrentStatus))
	})

	It("says that there are more scopes than the status lists", func() {
		token := w.synced("alice", func(c *workossim.Connection) {
			for n := range 1000 {
				c.Scopes = append(c.Scopes, fmt.Sprintf("scope:%d", n))
			}
		})
		Expect(token.Status.Scopes).To(HaveLen(workos.MaxScopes))
		granted := meta.FindStatusCondition(token.Status.Conditions, v1alpha1.ScopesGrantedCondition)
		Expect(granted.Message).To(HaveSuffix("Only the first 256 scopes are listed, there may be more"))
	})

	It("says until when WorkOS asks to wait, also to a PipesToken that is created later", func() {
		w.upstream.Inject(workossim.Fault{Kind: workossim.FaultRateLimited, RetryAfter: "1000000000", Times: 1})
		until := w.clock.Now().Add(time.Hour).UTC().Truncate(time.Second).Format("2006-01-02T15")
		for _, name := range []string{"alice", "bob"} {
			token := w.token(name)
			w.connect(token)
			w.settled(token, v1alpha1.RateLimitedReason)
			Expect(meta.FindStatusCondition(token.Status.Conditions, v1alpha1.ReadyCondition).Message).To(ContainSubstring("(not before " + until))
			w.timeline.advance(time.Minute)
		}
		Expect(w.upstream.Requests()).To(HaveLen(1))
	})

	It("asks nothing on a restart while the user is not connected", func() {
		token := w.token("alice")
		w.connect(token, func(c *workossim.Connection) { c.State = workossim.NotInstalled })
		w.settled(token, v1alpha1.NotInstalledReason)
		w.timeline.advance(time.Hour)
		calls := len(w.upstream.Requests())
		w.restart()
		waitForTimers(w, token)
		Expect(w.upstream.Requests()).To(HaveLen(calls))
		w.timeline.advance(10 * time.Minute)
		Expect(w.upstream.Requests()).To(HaveLen(calls + 1))
	})

	It("is asked about at once on request", func() {
		token := w.token("alice")
		w.connect(token, func(c *workossim.Connection) { c.State = workossim.NotInstalled })
		w.settled(token, v1alpha1.NotInstalledReason)
		w.timeline.advance(workos.MinInterval)
		w.upstream.SetState(idOf(token), workossim.Connected)
		w.edit(token, func() { token.Annotations = map[string]string{v1alpha1.RefreshRequestedAtAnnotation: "now"} })
		w.waitForReason(token, v1alpha1.TokenSyncedReason)
		Expect(token.Status.LastHandledRefreshRequest).To(Equal("now"))
	})
})
