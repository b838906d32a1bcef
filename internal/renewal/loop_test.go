package renewal_test

import (
	"fmt"
	"math/rand"
	"testing"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/renewal"
)

// upstream returns tokens in the ways that WorkOS may use: the next token exists lead before
// expiry, only at expiry (lead is zero), or with every call (alwaysFresh).
type upstream struct {
	lifetime, lead time.Duration
	alwaysFresh    bool
	// fraction is the fraction of a second at which tokens expire.
	fraction time.Duration
	expires  time.Time
}

// token returns the expiry of the token that a call at now gets.
func (u *upstream) token(now time.Time) time.Time {
	if u.alwaysFresh || !now.Before(u.expires.Add(-u.lead)) {
		u.expires = now.Add(u.lifetime).Truncate(time.Second).Add(u.fraction)
	}
	return u.expires
}

// loop is the smallest controller that uses this package: it asks, and waits for as long as the
// answer requires.
type loop struct {
	seed     string
	current  renewal.Token
	lead     renewal.Estimate
	others   renewal.Estimate
	failures int
	calls    []call
	tokens   int
	// expired is how long the Secret held an expired token, up to the last call.
	expired time.Duration
}

type call struct {
	at time.Time
	// probed: an earlier call got the same token. atExpiry: this call came at the exact expiry.
	// retry: the previous call failed.
	probed, atExpiry, retry bool
}

// run lets the loop work against u until n calls have been made. On average one in failing
// calls fails. If failing is zero, no call fails.
func (l *loop) run(u *upstream, n int, random *rand.Rand, failing int) {
	now, next := start, start
	retry, probed := false, false
	for len(l.calls) < n {
		if wait := renewal.Wait(now, next); now.Before(next) {
			now = now.Add(wait)
			continue
		}
		l.calls = append(l.calls, call{at: now, probed: probed, retry: retry, atExpiry: now.Equal(l.current.Expires)})
		if !l.current.Expires.IsZero() && now.After(l.current.Expires) {
			l.expired += now.Sub(l.current.Expires)
		}
		failed := failing > 0 && random.Intn(failing) == 0
		next, retry, probed = l.answer(u, now, failed)
	}
}

// answer makes one call at now. It returns when to call again, and whether the call failed or
// returned the same token.
func (l *loop) answer(u *upstream, now time.Time, failed bool) (next time.Time, retry, probed bool) {
	if failed {
		l.failures++
		return renewal.Retry(now, l.current.Expires, l.failures, 0, l.seed), true, false
	}
	expires := u.token(now)
	if l.tokens > 0 && l.failures == 0 {
		left, renewed := l.current.Expires.Sub(now), !expires.Equal(l.current.Expires)
		l.lead, l.others = l.lead.Own(left, renewed, l.others), l.others.After(left, renewed)
	}
	switch {
	case !expires.After(now): // expired on arrival
		l.failures++
		return renewal.Retry(now, l.current.Expires, l.failures, 0, l.seed), true, false
	case expires.Equal(l.current.Expires):
		l.failures = 0
		return renewal.Probe(l.current, now, 0, l.lead, l.others), false, true
	}
	l.failures = 0
	l.tokens++
	l.current = renewal.Token{Obtained: now.Truncate(time.Second), Expires: expires, Seed: l.seed}
	if lead, known := l.lead.Lead(); known {
		l.current.Lead = &lead
	}
	return renewal.Time(l.current, 0), false, false
}

var lifetimes = []time.Duration{
	time.Second, 3 * time.Second, 5 * time.Second, 7 * time.Second, 10 * time.Second, 16 * time.Second, 31 * time.Second,
	time.Minute, 3 * time.Minute, 10 * time.Minute, time.Hour, 8 * time.Hour, 24 * time.Hour, 30 * 24 * time.Hour,
}

func upstreams() map[string]upstream {
	all := map[string]upstream{}
	for _, lifetime := range lifetimes {
		all[fmt.Sprintf("%v always fresh", lifetime)] = upstream{lifetime: lifetime, alwaysFresh: true}
		for _, lead := range []time.Duration{0, time.Second, time.Minute, 5 * time.Minute} {
			if lead < lifetime {
				all[fmt.Sprintf("%v refreshed %v before", lifetime, lead)] = upstream{lifetime: lifetime, lead: lead}
			}
		}
	}
	return all
}

// No lifetime and no upstream makes two calls come closer together than MinInterval. Only the
// call at the very second of expiry may follow a probe sooner, so that no pod keeps an expired
// token.
func TestLoopNeverCallsMoreOftenThanMinInterval(t *testing.T) {
	for name, u := range upstreams() {
		t.Run(name, func(t *testing.T) {
			l := &loop{seed: name}
			l.run(&u, 300, nil, 0)
			for i := 1; i < len(l.calls); i++ {
				gap := l.calls[i].at.Sub(l.calls[i-1].at)
				if gap < renewal.MinInterval && !(l.calls[i].atExpiry && l.calls[i].probed) {
					t.Fatalf("call %d comes %v after the one before", i, gap)
				}
			}
			expectCool(t, l.calls)
		})
	}
}

// Failures cause neither a hot loop nor a forgotten object.
func TestLoopIsNeverHotWhateverFails(t *testing.T) {
	for name, u := range upstreams() {
		for _, failing := range []int{1, 2, 5} { // all, half, a fifth of the calls
			t.Run(fmt.Sprintf("%s, 1 of %d fails", name, failing), func(t *testing.T) {
				l := &loop{seed: name}
				l.run(&u, 300, rand.New(rand.NewSource(int64(u.lifetime+u.lead))), failing)
				for i := 1; i < len(l.calls); i++ {
					gap := l.calls[i].at.Sub(l.calls[i-1].at)
					if gap < time.Second {
						t.Fatalf("call %d comes %v after the one before", i, gap)
					}
					if l.calls[i].retry && gap > 5*time.Minute {
						t.Fatalf("retry %d comes only after %v", i, gap)
					}
				}
				if failing == 1 {
					expectCool(t, l.calls)
				}
			})
		}
	}
}

// expectCool checks that a minute has at most 24 calls: the twelve that MinInterval allows, and
// as many again at expiry.
func expectCool(t *testing.T, calls []call) {
	t.Helper()
	const most = 24
	for i := most; i < len(calls); i++ {
		if span := calls[i].at.Sub(calls[i-most].at); span < time.Minute {
			t.Fatalf("%d calls within %v", most, span)
		}
	}
}

// With lifetimes that are long enough for the kubelet, the Secret never holds an expired token
// while WorkOS could have returned a valid one. Each token costs only a few calls, however late
// WorkOS replaces it.
func TestLoopNeverLeavesAnExpiredToken(t *testing.T) {
	for name, u := range upstreams() {
		if u.lifetime < 3*time.Minute {
			continue
		}
		t.Run(name, func(t *testing.T) {
			l := &loop{seed: name}
			l.run(&u, 300, nil, 0)
			if l.expired != 0 {
				t.Errorf("the Secret held an expired token for %v", l.expired)
			}
			// The longest lead is 30 minutes. Probes halve it down to 15 seconds.
			if perToken := float64(len(l.calls)) / float64(l.tokens); perToken > 9 {
				t.Errorf("%.1f calls for each token", perToken)
			}
		})
	}
}

func TestLoopAsksOnceInTheLifeOfATokenThatIsAlwaysFresh(t *testing.T) {
	for _, lifetime := range lifetimes {
		if lifetime < 2*renewal.MinInterval {
			continue
		}
		u := upstream{lifetime: lifetime, alwaysFresh: true}
		l := &loop{seed: "uid"}
		l.run(&u, 100, nil, 0)
		for i := 1; i < len(l.calls); i++ {
			if gap := l.calls[i].at.Sub(l.calls[i-1].at); gap < lifetime/2-time.Second {
				t.Fatalf("tokens of %v are asked for after %v", lifetime, gap)
			}
		}
	}
}
