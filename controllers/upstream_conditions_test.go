package controllers_test

import (
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// trouble is a way in which WorkOS fails to return a token.
type trouble struct {
	fault workossim.Fault
	// reason, mark and kstatus are what the object shows when it has no valid token.
	reason, mark string
	kstatus      status.Status
	// pollsSlowly reports whether the object waits for a person (slow poll) instead of backing
	// off.
	pollsSlowly bool
}

func stalls(reason string, fault workossim.Fault) trouble {
	return trouble{fault, reason, v1alpha1.StalledCondition, status.FailedStatus, true}
}

func passes(reason string, fault workossim.Fault) trouble {
	return trouble{fault, reason, v1alpha1.ReconcilingCondition, status.InProgressStatus, false}
}

var troubles = map[string]trouble{
	"400": stalls(v1alpha1.RequestRejectedReason, workossim.Fault{Kind: workossim.FaultStatus, Status: http.StatusBadRequest}),
	"403": stalls(v1alpha1.RequestRejectedReason, workossim.Fault{Kind: workossim.FaultStatus, Status: http.StatusForbidden}),
	"404": stalls(v1alpha1.IntegrationNotFoundReason, workossim.Fault{Kind: workossim.FaultStatus, Status: http.StatusNotFound}),
	"409": stalls(v1alpha1.AccountSelectionRequiredReason, workossim.Fault{Kind: workossim.FaultAccountSelection}),
	"408": passes(v1alpha1.UpstreamUnavailableReason, workossim.Fault{Kind: workossim.FaultStatus, Status: http.StatusRequestTimeout}),
	"409 with another code": passes(v1alpha1.UpstreamUnavailableReason, workossim.Fault{
		Kind: workossim.FaultStatus, Status: http.StatusConflict, Body: `{"code":"refresh_in_progress"}`,
	}),
	"421": passes(v1alpha1.UpstreamUnavailableReason, workossim.Fault{Kind: workossim.FaultStatus, Status: http.StatusMisdirectedRequest}),
	"503 concurrent_request": passes(v1alpha1.UpstreamUnavailableReason, workossim.Fault{
		Kind: workossim.FaultStatus, Status: http.StatusServiceUnavailable, Body: `{"code":"concurrent_request","message":"Retry."}`,
	}),
	"301": stalls(v1alpha1.RequestRejectedReason, workossim.Fault{Kind: workossim.FaultStatus, Status: http.StatusMovedPermanently}),
	"inactive, but a choice of account": stalls(v1alpha1.AccountSelectionRequiredReason, workossim.Fault{
		Kind: workossim.FaultStatus, Status: http.StatusOK, Body: `{"active":false,"error":"account_selection_required"}`,
	}),
	"422 auth_method_mismatch":    stalls(v1alpha1.AuthMethodMismatchReason, workossim.Fault{Kind: workossim.FaultAuthMethodMismatch}),
	"422 validation":              stalls(v1alpha1.RequestRejectedReason, workossim.Fault{Kind: workossim.FaultValidation}),
	"429 without Retry-After":     passes(v1alpha1.RateLimitedReason, workossim.Fault{Kind: workossim.FaultRateLimited}),
	"429 with seconds":            passes(v1alpha1.RateLimitedReason, workossim.Fault{Kind: workossim.FaultRateLimited, RetryAfter: "20"}),
	"429 with a date":             passes(v1alpha1.RateLimitedReason, workossim.Fault{Kind: workossim.FaultRateLimited, RetryAfterDate: 20 * time.Second}),
	"500 in HTML":                 passes(v1alpha1.UpstreamUnavailableReason, workossim.Fault{Kind: workossim.FaultServerError}),
	"503":                         passes(v1alpha1.UpstreamUnavailableReason, workossim.Fault{Kind: workossim.FaultStatus, Status: http.StatusServiceUnavailable}),
	"a connection reset":          passes(v1alpha1.UpstreamUnavailableReason, workossim.Fault{Kind: workossim.FaultReset}),
	"malformed JSON":              passes(v1alpha1.UpstreamUnavailableReason, workossim.Fault{Kind: workossim.FaultMalformedJSON}),
	"truncated JSON":              passes(v1alpha1.UpstreamUnavailableReason, workossim.Fault{Kind: workossim.FaultTruncatedJSON}),
	"a body without end":          passes(v1alpha1.UpstreamUnavailableReason, workossim.Fault{Kind: workossim.FaultEndlessBody}),
	"active without a token":      passes(v1alpha1.UpstreamUnavailableReason, workossim.Fault{Kind: workossim.FaultNoToken}),
	"an empty token":              passes(v1alpha1.UpstreamUnavailableReason, workossim.Fault{Kind: workossim.FaultEmptyToken}),
	"a token of control codes":    passes(v1alpha1.UpstreamUnavailableReason, workossim.Fault{Kind: workossim.FaultControlCharacters}),
	"a token that has expired":    passes(v1alpha1.TokenExpiredReason, workossim.Fault{Kind: workossim.FaultExpiredToken}),
	"an expired token, and a lie": passes(v1alpha1.TokenExpiredReason, workossim.Fault{Kind: workossim.FaultExpiredToken, DateOffset: time.Hour}),
}

var _ = Describe("WorkOS in trouble", func() {
	var w *world
	BeforeEach(func() { w = running() })

	for name, t := range troubles {
		It("is told while there is no token: "+name, func() {
			w.upstream.Inject(t.fault)
			token := w.token("alice")
			w.connect(token)
			w.settled(token, t.reason)

			Expect(conditionsOf(token)).To(ContainElements("Ready=False/"+t.reason, t.mark+"=True/"+t.reason))
			Expect(kstatusOf(token)).To(Equal(t.kstatus))
			Expect(w.secret(token)).To(BeNil())
			expectComplete(token)
			wait := w.timeline.timerOf(requestFor(token)).Sub(w.clock.Now())
			if t.pollsSlowly {
				Expect(wait).To(Equal(30 * time.Second))
			} else {
				Expect(wait).To(BeNumerically("<=", 20*time.Second))
			}

			w.upstream.ClearFaults()
			w.timeline.advance(30 * time.Second)
			w.waitForReason(token, v1alpha1.TokenSyncedReason)
			Expect(kstatusOf(token)).To(Equal(status.CurrentStatus))
		})

		It("never harms a valid token, and is told once that has expired: "+name, func() {
			token := w.synced("alice")
			before := w.secret(token)
			w.upstream.Inject(t.fault)
			calls := len(w.upstream.RequestsFor(idOf(token)))

			w.timeline.advance(token.Status.RenewalTime.Sub(w.clock.Now()) + time.Second)
			Eventually(func() []string { return conditionsOf(w.reload(token)) }, soon, often).Should(
				ContainElements("Ready=True/TokenSynced", "RenewalFailed=True/"+t.reason))
			Expect(kstatusOf(token)).To(Equal(status.CurrentStatus))
			Expect(meta.FindStatusCondition(token.Status.Conditions, v1alpha1.StalledCondition)).To(BeNil())
			Expect(meta.FindStatusCondition(token.Status.Conditions, v1alpha1.ReconcilingCondition)).To(BeNil())

			w.timeline.advance(token.Status.ExpirationTime.Sub(w.clock.Now()))
			w.waitForReason(token, t.reason)
			Expect(conditionsOf(token)).To(ContainElements("Ready=False/"+t.reason, t.mark+"=True/"+t.reason))
			Expect(meta.FindStatusCondition(token.Status.Conditions, v1alpha1.RenewalFailedCondition)).To(BeNil())
			Expect(kstatusOf(token)).To(Equal(t.kstatus))
			expectComplete(token)
			Expect(w.secret(token)).To(Equal(before), "the Secret has been touched")
			Expect(len(w.upstream.RequestsFor(idOf(token)))-calls).To(BeNumerically("<=", 30), "a hot loop")

			w.upstream.ClearFaults()
			w.timeline.advance(10 * time.Minute)
			w.waitForReason(token, v1alpha1.TokenSyncedReason)
			Expect(w.tokenIn(token)).To(Equal(w.held(token)))
		})
	}

	It("is looked at again soon when it is another trouble than before, however long there has been that", func() {
		token := w.token("alice")
		w.upstream.Put(workossim.Connection{ID: idOf(token), State: workossim.NotInstalled})
		w.settled(token, v1alpha1.NotInstalledReason)
		wait := func() time.Duration { return w.timeline.timerOf(requestFor(token)).Sub(w.clock.Now()) }
		w.timeline.advance(2 * time.Hour)
		w.timeline.advance(wait())
		Expect(wait()).To(Equal(10 * time.Minute))

		w.upstream.Inject(workossim.Fault{Kind: workossim.FaultAccountSelection})
		w.timeline.advance(wait())
		w.waitForReason(token, v1alpha1.AccountSelectionRequiredReason)
		Expect(wait()).To(Equal(30 * time.Second))
		w.timeline.advance(wait())
		Expect(wait()).To(Equal(10*time.Minute), "it is no news any more")

		w.upstream.ClearFaults()
		w.timeline.advance(wait())
		w.waitForReason(token, v1alpha1.NotInstalledReason)
		Expect(wait()).To(Equal(30 * time.Second))
	})

	It("takes active:true for a token, whatever error stands beside it", func() {
		w.upstream.Inject(workossim.Fault{Kind: workossim.FaultActiveWithError})
		w.synced("alice")
	})

	It("ignores fields that it does not know", func() {
		w.upstream.Inject(workossim.Fault{Kind: workossim.FaultExtraFields})
		w.synced("alice")
	})

	It("does not repeat itself in the status while the trouble stays the same", func() {
		w.upstream.Inject(workossim.Fault{Kind: workossim.FaultServerError})
		token := w.token("alice")
		w.connect(token)
		w.settled(token, v1alpha1.UpstreamUnavailableReason)
		mark := w.operator.requests.mark()
		w.timeline.advance(10 * time.Minute)
		Expect(len(w.upstream.RequestsFor(idOf(token)))).To(BeNumerically(">", 5))
		Expect(w.operator.requests.since(mark)).To(BeEmpty())
	})

	It("is never asked more often than requestsPerMinute allows, and everybody gets their turn", func() {
		environment := w.environment()
		w.edit(environment, func() { environment.Spec.RequestsPerMinute = 3 })
		w.waitForEnvironment(v1alpha1.AvailableReason)
		var tokens []*v1alpha1.PipesToken
		for _, name := range []string{"a", "b", "c", "d", "e", "f", "g"} {
			token := w.token(name)
			w.connect(token)
			w.create(token)
			tokens = append(tokens, token)
		}
		for _, token := range tokens {
			Eventually(func() int64 { return w.reload(token).Status.ObservedGeneration }, soon, often).Should(BeNumerically(">", 0))
			if token.Status.Conditions[0].Reason != v1alpha1.TokenSyncedReason {
				Expect(conditionsOf(token)).To(ConsistOf("Ready=Unknown/Pending", "Reconciling=True/Pending"))
				Expect(kstatusOf(token)).To(Equal(status.InProgressStatus))
			}
		}
		w.timeline.advance(5 * time.Minute)
		for _, token := range tokens {
			w.waitForReason(token, v1alpha1.TokenSyncedReason)
		}
		requests := w.upstream.Requests()
		Expect(requests).To(HaveLen(len(tokens)))
		for i := 3; i < len(requests); i++ {
			Expect(requests[i].Time.Sub(requests[i-3].Time)).To(BeNumerically(">=", time.Minute))
		}
	})

	It("holds everyone on the key back while a Retry-After lasts", func() {
		alice, bob := w.token("alice"), w.token("bob")
		w.connect(alice)
		w.connect(bob)
		w.upstream.Inject(workossim.Fault{Kind: workossim.FaultRateLimited, RetryAfter: "60", Times: 1})
		w.settled(alice, v1alpha1.RateLimitedReason)
		w.settled(bob, v1alpha1.RateLimitedReason)
		Expect(w.upstream.Requests()).To(HaveLen(1))
		w.timeline.advance(59 * time.Second)
		Expect(w.upstream.Requests()).To(HaveLen(1))
		w.timeline.advance(10 * time.Second)
		w.waitForReason(alice, v1alpha1.TokenSyncedReason)
		w.waitForReason(bob, v1alpha1.TokenSyncedReason)
		Expect(w.upstream.Requests()).To(HaveLen(3))
	})
})

// expectComplete asserts the rules that every status must follow.
func expectComplete(token *v1alpha1.PipesToken) {
	GinkgoHelper()
	Expect(token.Status.ObservedGeneration).To(Equal(token.Generation))
	marks := 0
	for _, condition := range token.Status.Conditions {
		Expect(condition.ObservedGeneration).To(Equal(token.Generation), condition.Type)
		Expect(condition.Message).NotTo(BeEmpty(), condition.Type)
		Expect(len(condition.Message)).To(BeNumerically("<", 1024), condition.Type)
		if condition.Type == v1alpha1.StalledCondition || condition.Type == v1alpha1.ReconcilingCondition {
			marks++
		}
	}
	Expect(marks).To(BeNumerically("<=", 1), "Stalled and Reconciling together")
}
