package controllers_test

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// cost counts the calls to WorkOS and the requests to the API server from one time on.
type cost struct {
	w     *world
	token *v1alpha1.PipesToken
	calls int
	mark  int
}

func (w *world) costFrom(token *v1alpha1.PipesToken) *cost {
	w.timeline.settle()
	return &cost{w: w, token: token, calls: len(w.upstream.RequestsFor(idOf(token))), mark: w.operator.requests.mark()}
}

// is asserts the cost since costFrom, after the operator has settled.
func (c *cost) is(calls int, requests ...string) {
	GinkgoHelper()
	c.w.timeline.settle()
	Eventually(func() []string { return c.w.operator.requests.since(c.mark) }, soon, often).Should(ConsistOf(anys(requests)...))
	Expect(c.w.upstream.RequestsFor(idOf(c.token))).To(HaveLen(c.calls+calls), "calls of WorkOS")
	AddReportEntry("cost", fmt.Sprintf("%s: %d calls, %v", CurrentSpecReport().LeafNodeText, calls, requests))
}

func anys(values []string) []any {
	list := make([]any, 0, len(values))
	for _, v := range values {
		list = append(list, v)
	}
	return list
}

var _ = Describe("The budget of calls and writes", func() {
	var w *world
	BeforeEach(func() { w = running() })

	It("spends one call, the Secret, the status and one event on a new object", func() {
		token := w.token("alice")
		w.connect(token)
		spent := w.costFrom(token)
		w.create(token)
		w.waitForReason(token, v1alpha1.TokenSyncedReason)
		spent.is(1, createSecret, writeStatus, emitEvent)
	})

	It("spends one call, the Secret and the status on a rotation", func() {
		token := w.synced("alice", alwaysFresh)
		first := w.tokenIn(token)
		spent := w.costFrom(token)
		w.timeline.advance(token.Status.RenewalTime.Sub(w.clock.Now()))
		w.timeline.advance(time.Second)
		spent.is(1, tryOut, patchSecret, writeStatus)
		Expect(w.tokenIn(token)).NotTo(Equal(first))
	})

	It("spends one call and no write on a probe that brings the same token", func() {
		token := w.synced("alice")
		spent := w.costFrom(token)
		w.timeline.advance(token.Status.RenewalTime.Sub(w.clock.Now()) + time.Second)
		spent.is(1)
	})

	It("spends one call and no write on a poll of a token without expiry", func() {
		token := w.synced("alice", func(c *workossim.Connection) { c.NoExpiry = true })
		spent := w.costFrom(token)
		w.timeline.advance(time.Hour)
		spent.is(1)
	})

	It("spends one call and no write on a poll that finds nothing new", func() {
		token := w.token("alice")
		w.connect(token, func(c *workossim.Connection) { c.State = workossim.NotInstalled })
		w.settled(token, v1alpha1.NotInstalledReason)
		spent := w.costFrom(token)
		w.timeline.advance(30 * time.Second)
		spent.is(1)
	})

	It("spends nothing on a restart with 50 valid tokens", func() {
		var tokens []*v1alpha1.PipesToken
		for i := range 50 {
			token := w.token(fmt.Sprintf("user-%d", i))
			w.connect(token)
			w.create(token)
			tokens = append(tokens, token)
		}
		for _, token := range tokens {
			w.waitForReason(token, v1alpha1.TokenSyncedReason)
		}
		w.timeline.settle()
		w.upstream.ResetRequests()
		w.restart()
		waitForTimers(w, tokens...)
		Expect(w.upstream.Requests()).To(BeEmpty())
		Expect(w.operator.requests.since(0)).To(BeEmpty())
	})

	It("spends one call and the Secret, and the status for its new dates, on a foreign edit", func() {
		token := w.rested("alice")
		spent := w.costFrom(token)
		secret := w.secret(token)
		w.waitForPass(token, func() { w.edit(secret, func() { secret.Data["access_token"] = []byte("forged") }) })
		spent.is(1, patchSecret, writeStatus)
		Expect(w.tokenIn(token)).To(Equal(w.held(token)))
	})

	It("spends one call and the Secret, and the status for its new dates, on a foreign removal of a key", func() {
		token := w.rested("alice")
		spent := w.costFrom(token)
		secret := w.secret(token)
		w.waitForPass(token, func() { w.edit(secret, func() { delete(secret.Data, "scopes") }) })
		spent.is(1, patchSecret, writeStatus)
		Expect(w.secret(token).Data).To(HaveKey("scopes"))
	})

	It("spends one call and the Secret, and the status for its new dates, on a foreign key", func() {
		token := w.rested("alice")
		spent := w.costFrom(token)
		secret := w.secret(token)
		w.waitForPass(token, func() { w.edit(secret, func() { secret.Data["extra"] = []byte("x") }) })
		spent.is(1, patchSecret, writeStatus)
		Expect(w.secret(token).Data).NotTo(HaveKey("extra"))
	})

	It("spends one call and the Secret, and the status for its new dates, on a deletion of the Secret", func() {
		token := w.synced("alice")
		w.timeline.advance(time.Minute)
		spent := w.costFrom(token)
		w.waitForPass(token, func() { Expect(user.Delete(w.ctx, w.secret(token))).To(Succeed()) })
		spent.is(1, createSecret, writeStatus)
		Expect(w.tokenIn(token)).To(Equal(w.held(token)))
	})

	It("repairs the very bytes that somebody has written, and takes their ownership back", func() {
		token := w.synced("alice")
		original := w.secret(token).Data
		w.operator.stop()
		secret := w.secret(token)
		w.edit(secret, func() { secret.Data = map[string][]byte{"access_token": []byte("forged")} })
		w.edit(secret, func() { secret.Data = original })
		w.start()
		Eventually(func() int { return len(w.upstream.RequestsFor(idOf(token))) }, soon, often).Should(Equal(2))
		w.timeline.settle()
		w.restart()
		waitForTimers(w, token)
		Expect(w.upstream.RequestsFor(idOf(token))).To(HaveLen(2), "the Secret still looks altered")
		Expect(w.operator.requests.since(0)).To(BeEmpty())
	})

	It("spends nothing on a foreign label or annotation, which survives the next rotation", func() {
		token := w.synced("alice", alwaysFresh)
		spent := w.costFrom(token)
		secret := w.secret(token)
		w.waitForPass(token, func() {
			w.edit(secret, func() {
				secret.Labels["team"] = "a"
				secret.Annotations["note"] = "b"
			})
		})
		spent.is(0)
		w.timeline.advance(time.Hour)
		secret = w.secret(token)
		Expect(secret.Labels).To(HaveKeyWithValue("team", "a"))
		Expect(secret.Annotations).To(HaveKeyWithValue("note", "b"))
	})

	It("spends one call and the Secret when somebody takes our label away", func() {
		token := w.rested("alice")
		spent := w.costFrom(token)
		secret := w.secret(token)
		w.waitForPass(token, func() { w.edit(secret, func() { delete(secret.Labels, v1alpha1.ManagedByLabel) }) })
		// The create fails, because the name is taken. The list shows that the Secret is the
		// operator's own, without its label.
		spent.is(1, createSecret, listSecrets, patchSecret)
		Expect(w.secret(token).Labels).To(HaveKeyWithValue(v1alpha1.ManagedByLabel, v1alpha1.ManagedByValue))
	})

	It("spends only the status on an edit that does not change the Secret", func() {
		token := w.synced("alice")
		spent := w.costFrom(token)
		w.waitForPass(token, func() { w.edit(token, func() { token.Spec.RefreshInterval.Duration = 2 * time.Hour }) })
		spent.is(0, writeStatus)
	})

	It("spends nothing on a label of the PipesToken", func() {
		token := w.synced("alice")
		spent := w.costFrom(token)
		w.edit(token, func() { token.Labels = map[string]string{"team": "a"} })
		w.timeline.advance(time.Minute)
		spent.is(0)
	})

	It("spends no call on labels that the template adds to the Secret", func() {
		token := w.synced("alice")
		spent := w.costFrom(token)
		w.waitForPass(token, func() {
			w.edit(token, func() {
				token.Spec.SecretTemplate = &v1alpha1.SecretTemplate{Labels: map[string]v1alpha1.LabelValue{"team": "a"}}
			})
		})
		spent.is(0, patchSecret, writeStatus)
		Expect(w.secret(token).Labels).To(HaveKeyWithValue("team", "a"))
	})

	It("spends one call, the Secret and the status on a changed template", func() {
		token := w.rested("alice")
		spent := w.costFrom(token)
		w.waitForPass(token, func() {
			w.edit(token, func() {
				token.Spec.SecretTemplate = &v1alpha1.SecretTemplate{Data: map[string]v1alpha1.DataTemplate{".netrc": "password {{ .AccessToken }}"}}
			})
		})
		spent.is(1, tryOut, patchSecret, writeStatus)
		Expect(w.secret(token).Data).To(Equal(map[string][]byte{".netrc": []byte("password " + w.held(token))}))
	})

	It("spends one call and the status on a refresh on demand that brings the same token", func() {
		token := w.rested("alice")
		spent := w.costFrom(token)
		w.waitForPass(token, func() {
			w.edit(token, func() { token.Annotations = map[string]string{v1alpha1.RefreshRequestedAtAnnotation: "now"} })
		})
		spent.is(1, writeStatus)
		Expect(w.reload(token).Status.LastHandledRefreshRequest).To(Equal("now"))
	})

	It("leaves nothing behind when the PipesToken is deleted", func() {
		token := w.synced("alice")
		spent := w.costFrom(token)
		w.waitForPass(token, func() { Expect(user.Delete(w.ctx, token)).To(Succeed()) })
		spent.is(0)
		owners := w.secret(token).OwnerReferences
		Expect(owners).To(HaveLen(1), "garbage collection, which no test control plane runs, goes by this")
		Expect(owners[0].UID).To(Equal(token.UID))
		Expect(w.timeline.timerOf(requestFor(token))).To(BeZero())
	})
})

func alwaysFresh(c *workossim.Connection) { c.AlwaysFresh = true }

// held is the current token at WorkOS for the user of token.
func (w *world) held(token *v1alpha1.PipesToken) string {
	value, _, _ := w.upstream.CurrentToken(idOf(token))
	return value
}
