package controllers_test

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/controllers/pipestoken"
	"github.com/pipes-operator/pipes-operator/internal/workos"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// WorkOS's clock decides when a token expires. The clock of the operator's node may differ.
var _ = Describe("While WorkOS's clock is", func() {
	const lifetime = 3 * time.Minute
	var w *world
	short := func(c *workossim.Connection) { c.Lifetime = lifetime + 300*time.Millisecond }
	upstreamNow := func() time.Time { return upstreamClock{w}.Now() }
	clockSkewed := func() string {
		environment := &v1alpha1.PipesEnvironment{}
		Expect(user.Get(w.ctx, types.NamespacedName{Namespace: w.home, Name: environmentID}, environment)).To(Succeed())
		if told := meta.FindStatusCondition(environment.Status.Conditions, v1alpha1.ClockSkewedCondition); told != nil {
			return told.Message
		}
		return ""
	}
	// watch lets time pass, and returns for how many seconds the Secret held an expired token.
	// The status has whole seconds, and tokens expire 300 ms later.
	watch := func(token *v1alpha1.PipesToken, span time.Duration) (expired int) {
		for range int(span.Seconds()) {
			w.timeline.advance(time.Second)
			if w.reload(token); token.Status.ExpirationTime.Time.Before(upstreamNow().Truncate(time.Second)) {
				expired++
			}
		}
		return expired
	}

	for _, entry := range []struct {
		name  string
		ahead time.Duration
		told  string
		leads int
	}{
		{"six hours behind", -6 * time.Hour, "The clock of WorkOS is about 6 hours behind the operator's", 1},
		{"150 seconds behind", -150 * time.Second, "The clock of WorkOS is about 3 minutes behind the operator's", 2},
		{"20 seconds behind", -20 * time.Second, "", 1},
		{"right", 0, "", 1},
		{"three seconds ahead", 3 * time.Second, "", 1},
		{"40 seconds ahead", 40 * time.Second, "The clock of WorkOS is about 30 seconds ahead of the operator's", 1},
		{"150 seconds ahead", 150 * time.Second, "The clock of WorkOS is about 3 minutes ahead of the operator's", 2},
		{"six hours ahead", 6 * time.Hour, "The clock of WorkOS is about 6 hours ahead of the operator's", 1},
	} {
		for _, lead := range leads[:entry.leads] {
			It(fmt.Sprintf("%s, and the next token comes %s early, no expired token stays in the Secret", entry.name, lead.name), func() {
				w = newWorld()
				w.ahead.Store(int64(entry.ahead))
				w.start()
				w.waitForEnvironment(v1alpha1.AvailableReason)
				token := w.token("alice")
				token.Spec.Slug = lead.slug
				w.connect(token, short, lead.set)
				w.create(token)
				waitForTimers(w, token)
				if entry.ahead < -10*time.Second {
					// A clock that is behind is believed after a minute and three answers.
					w.timeline.advance(2 * lifetime)
				}
				w.waitForReason(token, v1alpha1.TokenSyncedReason)
				Expect(token.Status.LastRefreshTime.Time).To(BeTemporally("~", upstreamNow(), 2*lifetime))
				Expect(readySince(token)).To(BeTemporally("~", w.clock.Now(), 2*lifetime), "conditions have the time of the cluster")
				if entry.told == "" {
					Consistently(clockSkewed, 50*time.Millisecond, often).Should(BeEmpty())
				} else {
					Eventually(clockSkewed, soon, often).Should(HavePrefix(entry.told))
				}

				w.upstream.ResetRequests()
				Expect(watch(token, 3*lifetime)).To(BeZero())
				Expect(len(w.upstream.RequestsFor(idOf(token)))).To(BeNumerically("<=", 8), "for three lifetimes")
				// With lead none, the next token becomes available exactly when the old token
				// expires.
				if lead.name != "none" {
					Expect(readySince(token)).To(BeTemporally("<", w.clock.Now().Add(-2*lifetime)), "Ready stays True")
				}
			})
		}
	}

	It("set while the operator is at work, answers put it right", func() {
		w = newWorld()
		// The spec knows until when tokens are valid. A call that times out on a busy machine would
		// change that.
		w.start(func(r *pipestoken.Reconciler) {
			r.Connections.Upstream = workos.New(workos.Options{Clock: w.clock, Timeout: time.Minute})
		})
		w.waitForEnvironment(v1alpha1.AvailableReason)
		alice, bob := w.synced("alice", short), w.synced("bob", short, alwaysFresh)
		// The clock is set back: a token that is valid by the old clock is valid for longer by
		// the new clock.
		w.ahead.Store(int64(-time.Hour))
		watch(alice, 2*lifetime)
		Eventually(clockSkewed, soon, often).Should(ContainSubstring("60 minutes behind"))
		for _, ahead := range []time.Duration{150 * time.Second, 0} {
			w.ahead.Store(int64(ahead))
			watch(alice, 2*lifetime)
			Expect(watch(alice, 2*lifetime)).To(BeZero())
			Expect(w.reload(bob).Status.ExpirationTime.After(upstreamNow())).To(BeTrue())
		}
		Eventually(clockSkewed, soon, often).Should(BeEmpty())
	})

	for _, ahead := range []time.Duration{-6 * time.Hour, 6 * time.Hour} {
		It(fmt.Sprintf("%v ahead, a restart costs a call for a few, and says nothing wrong", ahead), func() {
			w = newWorld()
			w.ahead.Store(int64(ahead))
			w.start()
			w.waitForEnvironment(v1alpha1.AvailableReason)
			first := w.token("first")
			w.connect(first)
			w.create(first)
			waitForTimers(w, first)
			w.timeline.advance(4 * time.Minute) // until the operator believes that the clock is behind
			all := []*v1alpha1.PipesToken{first}
			for n := range 40 {
				all = append(all, w.synced(fmt.Sprint("user-", n)))
			}
			Eventually(clockSkewed, soon, often).ShouldNot(BeEmpty())
			w.timeline.settle()
			w.operator.stop()
			w.clock.Step(time.Minute)
			w.upstream.ResetRequests()
			w.start()
			waitForTimers(w, all...)
			Expect(len(w.upstream.Requests())).To(BeNumerically("<=", workers))
			for _, token := range all {
				Expect(conditionsOf(w.reload(token))).To(ContainElement("Ready=True/TokenSynced"))
				Expect(readySince(token)).To(BeTemporally("<=", w.clock.Now().Add(-time.Minute)), "it has never been anything else")
			}
			Expect(clockSkewed()).NotTo(BeEmpty())
		})
	}
})

// readySince is when the Ready condition last changed its status.
func readySince(token *v1alpha1.PipesToken) time.Time {
	return meta.FindStatusCondition(token.Status.Conditions, v1alpha1.ReadyCondition).LastTransitionTime.Time
}
