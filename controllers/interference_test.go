package controllers_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// These specs cover changes by other people while a reconcile is running, and errors of the API
// server.
var _ = Describe("Interference", func() {
	var w *world
	BeforeEach(func() { w = running() })

	// held delays WorkOS's next answer until the returned function is called.
	held := func() func() {
		release := make(chan struct{})
		w.upstream.Inject(workossim.Fault{Kind: workossim.FaultLatency, Hold: release, Times: 1})
		return func() { close(release) }
	}
	askNow := func(token *v1alpha1.PipesToken, value string) {
		w.edit(token, func() { token.Annotations = map[string]string{v1alpha1.RefreshRequestedAtAnnotation: value} })
	}
	calls := func(token *v1alpha1.PipesToken) int { return len(w.upstream.RequestsFor(idOf(token))) }

	It("by a label on the PipesToken during a call loses nothing that WorkOS has said", func() {
		token := w.synced("alice")
		w.timeline.advance(time.Minute)
		w.upstream.SetState(idOf(token), workossim.NotInstalled)
		before := calls(token)
		release := held()
		askNow(token, "now")
		Eventually(func() int { return calls(token) }, soon, often).Should(Equal(before + 1))
		w.edit(token, func() { token.Labels = map[string]string{"team": "a"} })
		release()
		w.timeline.settle()
		w.timeline.advance(time.Second)
		w.waitForReason(token, v1alpha1.NotInstalledReason)
		Expect(conditionsOf(token)).To(ConsistOf("Ready=False/NotInstalled", "Connected=False/NotInstalled", "Stalled=True/NotInstalled"))
		Expect(token.Status.LastHandledRefreshRequest).To(Equal("now"))
		Expect(w.secret(token).Data).To(BeEmpty())
		Expect(calls(token)).To(Equal(before + 1))
	})

	It("by the end of the operator during a call has what WorkOS says written all the same", func() {
		token := w.synced("alice", alwaysFresh)
		first := w.tokenIn(token)
		w.timeline.advance(time.Minute)
		before := calls(token)
		release := held()
		askNow(token, "now")
		Eventually(func() int { return calls(token) }, soon, often).Should(Equal(before + 1))
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			w.operator.stop()
		}()
		Consistently(ended, 200*time.Millisecond, often).ShouldNot(BeClosed())
		release()
		Eventually(ended, soon, often).Should(BeClosed())
		Expect(w.tokenIn(token)).NotTo(Equal(first))
		Expect(w.reload(token).Status.LastHandledRefreshRequest).To(Equal("now"))
		w.start()
		waitForTimers(w, token)
		Expect(calls(token)).To(Equal(before + 1))
	})

	It("by somebody who deletes a Secret is made up for at once, also while WorkOS has no newer token yet", func() {
		token := w.synced("alice")
		w.timeline.advance(51 * time.Minute)
		Expect(calls(token)).To(Equal(2), "renewal was due")
		first := w.tokenIn(token)
		w.waitForPass(token, func() { Expect(user.Delete(w.ctx, w.secret(token))).To(Succeed()) })
		Eventually(func() string { return w.tokenIn(token) }, soon, often).Should(Equal(first))
		Expect(calls(token)).To(Equal(3))
	})

	It("by a failing API server costs no further call, and no refresh request", func() {
		token := w.synced("alice", alwaysFresh)
		first := w.tokenIn(token)
		w.timeline.advance(time.Minute)
		before := calls(token)
		w.operator.requests.fail(patchSecret, 1)
		askNow(token, "now")
		Eventually(func() int { return calls(token) }, soon, often).Should(Equal(before + 1))
		w.timeline.settle()
		Expect(w.reload(token).Status.LastHandledRefreshRequest).To(BeEmpty(), "the token that it asked for is not there yet")
		Expect(conditionsOf(token)).To(ContainElements("Ready=True/TokenSynced", "RenewalFailed=True/SecretNotWritten"))
		w.timeline.advance(5 * time.Second)
		Eventually(func() string { return w.reload(token).Status.LastHandledRefreshRequest }, soon, often).Should(Equal("now"))
		Expect(w.tokenIn(token)).NotTo(Equal(first))
		Expect(w.tokenIn(token)).To(Equal(w.held(token)))
		Expect(calls(token)).To(Equal(before + 2))
	})

	It("by an API server that refuses statuses costs no call for each retry", func() {
		token := w.synced("alice", alwaysFresh)
		w.timeline.advance(time.Minute)
		before := calls(token)
		w.operator.requests.fail(writeStatus, 5)
		askNow(token, "now")
		Eventually(func() string { return w.reload(token).Status.LastHandledRefreshRequest }, soon, often).Should(Equal("now"))
		Expect(calls(token)).To(Equal(before + 1))
	})

	It("by a Retry-After leaves a refresh request for later", func() {
		token := w.synced("alice")
		other := w.token("other")
		w.connect(other)
		w.upstream.Inject(workossim.Fault{Kind: workossim.FaultRateLimited, RetryAfter: "60", Times: 1})
		w.settled(other, v1alpha1.RateLimitedReason)
		before := calls(token)
		w.waitForPass(token, func() { askNow(token, "now") })
		Expect(w.reload(token).Status.LastHandledRefreshRequest).To(BeEmpty())
		Expect(calls(token)).To(Equal(before))
		w.timeline.advance(2 * time.Minute)
		Eventually(func() string { return w.reload(token).Status.LastHandledRefreshRequest }, soon, often).Should(Equal("now"))
		Expect(calls(token)).To(Equal(before + 1))
	})

	It("by somebody who will not stop editing the Secret costs ever fewer calls", func() {
		for name, vandal := range map[string]func(*corev1.Secret){
			"edits":   func(s *corev1.Secret) { s.Data["access_token"] = []byte("forged") },
			"orphans": func(s *corev1.Secret) { s.OwnerReferences = nil },
			"wipes":   func(s *corev1.Secret) { s.Data, s.Annotations = nil, nil },
		} {
			By(name)
			token := w.synced("user-" + name)
			before := calls(token)
			for range 60 {
				if secret := w.secret(token); secret != nil {
					w.edit(secret, func() { vandal(secret) })
				}
				w.timeline.advance(10 * time.Second)
			}
			Expect(calls(token) - before).To(BeNumerically("<=", 12))
			w.timeline.advance(10 * time.Minute)
			w.waitForReason(token, v1alpha1.TokenSyncedReason)
			Expect(w.tokenIn(token)).To(Equal(w.held(token)))
		}
	})

	It("by a quota is told in the API server's words, and mended by an edit of the template at once", func() {
		token := w.token("alice")
		w.connect(token)
		w.operator.requests.refuse(createSecret, "exceeded quota: secrets, requested: secrets=1, used: secrets=1, limited: secrets=1")
		w.settled(token, v1alpha1.SecretRejectedReason)
		Expect(token.Status.Conditions[0].Message).To(ContainSubstring("exceeded quota"))
		w.operator.requests.refuse("", "")
		w.timeline.advance(time.Hour - time.Minute)
		w.edit(token, func() {
			token.Spec.SecretTemplate = &v1alpha1.SecretTemplate{Labels: map[string]v1alpha1.LabelValue{"team": "a"}}
		})
		w.waitForReason(token, v1alpha1.TokenSyncedReason)
	})

	It("by an admission webhook that quotes the token withholds the webhook's words", func() {
		token := w.token("alice")
		w.connect(token)
		w.operator.requests.refuse(createSecret, `admission webhook "nosy.example.com" denied the request: I have seen `+w.held(token))
		w.settled(token, v1alpha1.SecretRejectedReason)
		Expect(token.Status.Conditions[0].Message).To(HaveSuffix(
			`admission webhook "nosy.example.com" denied the request (the rest is withheld because it may quote the token)`))
	})

	It("by an admission webhook that does not quote the token is told in the webhook's words", func() {
		token := w.token("alice")
		w.connect(token)
		w.operator.requests.refuse(createSecret, `admission webhook "strict.example.com" denied the request: label "team" is missing`)
		w.settled(token, v1alpha1.SecretRejectedReason)
		Expect(token.Status.Conditions[0].Message).To(HaveSuffix(`denied the request: label "team" is missing`))
	})

	It("by a policy that protects the Secret does not hide that the grant is gone", func() {
		token := w.synced("alice")
		before := w.secret(token)
		w.operator.requests.refuse(patchSecret, "not allowed to patch")
		environment := w.environment()
		w.edit(environment, func() { environment.Spec.Grants = nil })
		w.waitForReasonOnly(token, v1alpha1.NotGrantedReason)
		Expect(token.Status.Conditions[0].Message).To(ContainSubstring("The token is still in the Secret"))
		Expect(w.secret(token)).To(Equal(before))
		w.operator.requests.refuse("", "")
		Eventually(func() map[string][]byte { return w.secret(token).Data }, soon, often).Should(BeEmpty())
		Eventually(func() string { return w.reload(token).Status.Conditions[0].Message }, soon, often).ShouldNot(ContainSubstring("still in the Secret"))
	})

	It("by a policy against labels does not keep the token from being renewed", func() {
		token := w.synced("alice", alwaysFresh)
		first := w.tokenIn(token)
		w.operator.requests.refuse(patchSecret, "no labels here")
		w.edit(token, func() {
			token.Spec.SecretTemplate = &v1alpha1.SecretTemplate{Labels: map[string]v1alpha1.LabelValue{"team": "a"}}
		})
		Eventually(func() []string { return conditionsOf(w.reload(token)) }, soon, often).Should(
			ContainElements("Ready=True/TokenSynced", "RenewalFailed=True/SecretRejected"))
		w.operator.requests.refuse("", "")
		w.timeline.advance(20 * time.Second)
		Eventually(func() map[string]string { return w.secret(token).Labels }, soon, often).Should(HaveKey("team"))
		w.timeline.advance(time.Hour)
		Expect(w.tokenIn(token)).NotTo(Equal(first))
	})

	It("by a condition of somebody else's is ignored", func() {
		token := w.synced("alice")
		foreign := w.reload(token).DeepCopy()
		foreign.Status.Conditions = append(foreign.Status.Conditions, metav1.Condition{
			Type: "Audited", Status: metav1.ConditionTrue, Reason: "Seen", Message: "x", LastTransitionTime: metav1.Now()})
		Expect(user.Status().Patch(w.ctx, foreign, client.MergeFrom(token))).To(Succeed())
		spent := w.costFrom(token)
		secret := w.secret(token)
		w.waitForPass(token, func() { w.edit(secret, func() { secret.Labels["team"] = "a" }) })
		spent.is(0)
	})

	It("by an orphaned Secret of another type is told", func() {
		orphan := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "alice", Namespace: w.tenant, Labels: map[string]string{
			v1alpha1.ManagedByLabel: v1alpha1.ManagedByValue, v1alpha1.TokenLabel: "alice"}}}
		w.create(orphan)
		// An operator whose cache does not have it yet finds it by its first write, and asks again
		// five seconds later.
		w.awaitCached(orphan)
		token := w.token("alice")
		token.Spec.SecretTemplate = &v1alpha1.SecretTemplate{Type: v1alpha1.SecretTypeBasicAuth,
			Data: map[string]v1alpha1.DataTemplate{"password": "{{ .AccessToken }}"}}
		w.connect(token)
		w.settled(token, v1alpha1.SecretRejectedReason)
		Expect(w.secret(token)).To(Equal(orphan))
	})

	It("by an older answer of another replica does not take a newer token away", func() {
		token := w.token("bob")
		w.connect(token, func(c *workossim.Connection) { c.State = workossim.NotInstalled })
		release := held()
		w.create(token)
		Eventually(func() int { return calls(token) }, soon, often).Should(Equal(1))
		slow := w.timeline
		w.timeline = newTimeline(w.clock)
		w.upstream.SetState(idOf(token), workossim.Connected)
		w.start()
		w.waitForReason(token, v1alpha1.TokenSyncedReason)
		before := w.secret(token)
		release()
		slow.settle()
		Expect(w.secret(token)).To(Equal(before))
		slow.advance(time.Second)
		w.waitForReason(token, v1alpha1.TokenSyncedReason)
		Expect(w.secret(token)).To(Equal(before))
	})
})

// faults are the faults that a test injects into an operator's requests to the API server.
type faults struct {
	failing  string
	failures atomic.Int32
	refusing atomic.Pointer[refusal]
}

// refusal is the answer to every request of some kinds.
type refusal struct {
	code    int32
	message string
	notes   []string
}

// fail makes the next requests of that kind fail, as many as times says, as an overloaded API
// server would.
func (r *requests) fail(note string, times int32) {
	r.faults.failing = note
	r.faults.failures.Store(times)
}

// refuse makes the API server refuse every request of that kind with that message. An empty kind
// ends the refusal.
func (r *requests) refuse(note, message string) {
	r.refuseWith(http.StatusForbidden, message, note)
}

// refuseWith makes the API server answer every request of those kinds with that code and message.
func (r *requests) refuseWith(code int32, message string, notes ...string) {
	r.faults.refusing.Store(&refusal{code, message, notes})
}

// answer returns the answer to a request that must not reach the API server; nil if it must reach
// it.
func (f *faults) answer(request *http.Request, note string) *http.Response {
	if f.failures.Load() > 0 && note == f.failing && f.failures.Add(-1) >= 0 {
		return respond(request, http.StatusInternalServerError, metav1.StatusReasonInternalError, "the test says no")
	}
	if refused := f.refusing.Load(); refused != nil && note != "" && slices.Contains(refused.notes, note) {
		return respond(request, refused.code, reasons[refused.code], refused.message)
	}
	return nil
}

var reasons = map[int32]metav1.StatusReason{
	http.StatusForbidden: metav1.StatusReasonForbidden, http.StatusTooManyRequests: metav1.StatusReasonTooManyRequests,
	http.StatusInternalServerError: metav1.StatusReasonInternalError, http.StatusServiceUnavailable: metav1.StatusReasonServiceUnavailable,
	http.StatusGatewayTimeout: metav1.StatusReasonTimeout,
}

func respond(request *http.Request, code int32, reason metav1.StatusReason, message string) *http.Response {
	body, err := json.Marshal(metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure,
		Code: code, Reason: reason, Message: message,
	})
	if err != nil {
		panic(err)
	}
	return &http.Response{
		StatusCode: int(code), Status: http.StatusText(int(code)), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: request,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(body)),
	}
}
