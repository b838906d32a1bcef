package controllers_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/controllers/pipestoken"
	"github.com/pipes-operator/pipes-operator/internal/fairqueue"
	"github.com/pipes-operator/pipes-operator/internal/workos"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// lead is how long before the expiry WorkOS returns the next token of a slug. The operator cannot
// know it.
type lead struct {
	name, slug string
	set        func(*workossim.Connection)
}

var leads = []lead{
	{"none", "github", func(c *workossim.Connection) { c.RefreshLead = 0 }},
	{"60 s", "slack", func(c *workossim.Connection) { c.RefreshLead = time.Minute }},
	{"5 min", "linear", func(c *workossim.Connection) { c.RefreshLead = 5 * time.Minute }},
	{"always fresh", "notion", func(c *workossim.Connection) { c.AlwaysFresh = true }},
}

// rotating is one PipesToken of the long run.
type rotating struct {
	token     *v1alpha1.PipesToken
	lead      string
	lifetime  time.Duration
	rotations int
	expires   time.Time // of the token in the Secret
}

// This spec runs 2,000 rotations with lifetimes from 3 minutes to 8 hours on the stepped clock:
// every lifetime with every lead. The clock stops at every timer, so the content of the Secret is
// known for each second in between.
var _ = Describe("The long run", func() {
	It("never leaves an expired token in the Secret while WorkOS would have given a valid one", func() {
		const target = 2000
		lifetimes := []time.Duration{3 * time.Minute, 10 * time.Minute, 47 * time.Minute, time.Hour, 8 * time.Hour}
		w := newWorld()
		// The number of calls is checked below. With a long timeout, no call is made again
		// because the machine is busy.
		w.start(func(r *pipestoken.Reconciler) {
			r.Connections.Upstream = workos.New(workos.Options{Clock: w.clock, Timeout: time.Minute})
		})
		w.waitForEnvironment(v1alpha1.AvailableReason)
		var all []*rotating
		for _, lifetime := range lifetimes {
			for i, lead := range leads {
				token := w.token(fmt.Sprintf("user-%d-%d", int(lifetime.Minutes()), i))
				token.Spec.Slug = lead.slug
				// Real tokens expire at any fraction of a second.
				w.connect(token, func(c *workossim.Connection) { c.Lifetime = lifetime + 300*time.Millisecond }, lead.set)
				w.create(token)
				all = append(all, &rotating{token: token, lead: lead.name, lifetime: lifetime})
			}
		}
		for _, r := range all {
			w.waitForReason(r.token, v1alpha1.TokenSyncedReason)
			r.expires = r.token.Status.ExpirationTime.Time
		}
		w.upstream.ResetRequests()

		total := 0
		for _, r := range all {
			// Each object does its rotations alone. Otherwise objects with long lifetimes would
			// wait for those with short lifetimes.
			total += w.rotate(r, target/len(all))
		}
		Expect(total).To(BeNumerically(">=", target))
		report(w, all)
	})
})

var _ = Describe("Objects that come back at the same time", func() {
	It("are renewed by their expiry, before everything else", func() {
		w := running()
		priority := func(token *v1alpha1.PipesToken) int { return w.timeline.priorityOf(requestFor(token)) }
		missing := w.token("missing")
		w.connect(missing, func(c *workossim.Connection) { c.State = workossim.NotInstalled })
		w.settled(missing, v1alpha1.NotInstalledReason)
		later := w.synced("later", alwaysFresh, func(c *workossim.Connection) { c.Lifetime = 2 * time.Hour })
		sooner := w.synced("sooner", alwaysFresh)

		Expect(priority(missing)).To(Equal(fairqueue.Ordinary))
		Expect(priority(later)).To(Equal(fairqueue.Renewal(later.Status.ExpirationTime.Time)))
		Expect(priority(sooner)).To(BeNumerically(">", priority(later)))
		Expect(priority(sooner)).To(BeNumerically("<", fairqueue.Withdrawal))
	})
})

var _ = Describe("Renewals that fell due while nobody was there", func() {
	It("are made within three seconds, and those first that have waited longest", func() {
		w := running()
		var all []*v1alpha1.PipesToken
		for i := range 8 {
			all = append(all, w.synced(fmt.Sprintf("user-%d", i), func(c *workossim.Connection) {
				c.AlwaysFresh, c.Lifetime = true, time.Hour+time.Duration(i*37%8)*time.Minute
			}))
		}
		w.timeline.settle()
		w.operator.stop()
		w.clock.Step(58 * time.Minute)
		w.upstream.ResetRequests()
		w.start()
		waitForTimers(w, all...)
		Expect(w.upstream.Requests()).To(BeEmpty(), "whoever is seen first goes first")

		w.timeline.advance(3 * time.Second)
		due := map[string]time.Time{}
		for _, token := range all {
			due[token.Spec.UserID] = token.Status.RenewalTime.Time
		}
		var order []time.Time
		for _, call := range w.upstream.Requests() {
			order = append(order, due[call.UserID])
		}
		Expect(order).To(HaveLen(len(all)))
		Expect(slices.IsSortedFunc(order, time.Time.Compare)).To(BeTrue(), "caught up with in this order: %v", order)
	})

	It("are made when WorkOS hands out the next token, where another process has been told that it is too early", func() {
		// Their renewals fall due within two minutes. WorkOS returns the next tokens a minute
		// later.
		const tokens = 60
		w := running()
		var all []*v1alpha1.PipesToken
		for i := range tokens {
			all = append(all, w.synced(fmt.Sprintf("user-%d", i), func(c *workossim.Connection) {
				c.RefreshLead, c.Lifetime = time.Minute, 10*time.Minute+time.Duration(2*i)*time.Second
			}))
		}
		// counted counts the connections to which WorkOS has returned exactly these serials, in
		// this order.
		counted := func(serials ...int) (count int) {
			for _, token := range all {
				var handedOut []int
				for _, call := range w.upstream.RequestsFor(idOf(token)) {
					handedOut = append(handedOut, call.TokenSerial)
				}
				if slices.Equal(handedOut, serials) {
					count++
				}
			}
			return count
		}
		w.timeline.advance(9*time.Minute + 20*time.Second)
		w.operator.stop()
		w.clock.Step(10 * time.Second)
		inVain, renewed := counted(1, 1), counted(1, 1, 2)
		Expect(inVain).To(BeNumerically(">", tokens/3), "the process that is gone has been told so")
		Expect(renewed).To(BeNumerically(">", 0), "and has renewed some")
		w.start()
		waitForTimers(w, all...)
		w.timeline.advance(3 * time.Second)
		Expect(counted(1, 1, 2)).To(BeNumerically(">", renewed))
		Expect(counted(1, 1, 1)).To(BeNumerically("<=", inVain/2), "of %d it is told once more", inVain)
	})
})

// rotate waits for as many rotations of one token as times says, and returns their number. The
// timers of the other objects do not fire during that time.
func (w *world) rotate(r *rotating, times int) int {
	GinkgoHelper()
	for r.rotations < times {
		next := w.timeline.timerOf(requestFor(r.token))
		Expect(next).NotTo(BeZero(), "the object has been forgotten")
		w.expectNoGap(r, next)
		w.timeline.only(requestFor(r.token), next)
		secret := w.secret(r.token)
		expires, err := time.Parse(time.RFC3339, string(secret.Data["expires_at"]))
		Expect(err).NotTo(HaveOccurred())
		if !expires.Equal(r.expires) {
			r.rotations++
			r.expires = expires
		}
	}
	return r.rotations
}

// expectNoGap asserts for each second until next that the Secret holds a valid token, or that
// WorkOS had no valid token.
func (w *world) expectNoGap(r *rotating, next time.Time) {
	GinkgoHelper()
	for at := r.expires; at.Before(next.Truncate(time.Second)); at = at.Add(time.Second) {
		_, available := w.upstream.Available(idOf(r.token), at)
		Expect(available).To(BeFalse(), "lead %s, lifetime %s: at %s the token had expired %s before", r.lead, r.lifetime, at, at.Sub(r.expires))
	}
}

// report prints the calls per lifetime, and asserts that there is one call per lifetime. More calls
// are allowed only to learn when WorkOS returns the next token, and for the renewals that ask a
// little earlier to check this.
func report(w *world, all []*rotating) {
	lines := []string{"calls per lifetime:"}
	for _, r := range all {
		calls := len(w.upstream.RequestsFor(idOf(r.token)))
		lines = append(lines, fmt.Sprintf("  lifetime %-7s lead %-12s %4d rotations %5d calls  %.2f",
			r.lifetime, r.lead, r.rotations, calls, float64(calls)/float64(r.rotations)))
		const learning = 8
		Expect(calls).To(BeNumerically("<=", r.rotations+r.rotations/20+learning), strings.Join(lines, "\n"))
		if r.lead == "always fresh" {
			Expect(calls).To(Equal(r.rotations))
		}
	}
	slices.Sort(lines[1:])
	AddReportEntry("rotations", strings.Join(lines, "\n"))
}
