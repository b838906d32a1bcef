package renewal_test

import (
	"math"
	"testing"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/renewal"
)

// isOfThisEra reports whether the instants lie in an era in which the difference of any two
// fits into a Duration. A token has only instants of this era, so the guarantees for tokens are
// checked only for these. For other instants the tests only check that each function returns.
func isOfThisEra(instants ...time.Time) bool {
	for _, instant := range instants {
		if instant.Year() < 1970 || instant.Year() > 2199 {
			return false
		}
	}
	return true
}

// scales turn durations in seconds, which the fuzzer changes little, into minutes, days and
// years.
var scales = []int64{1, 61, 3607, 86_413, 7_776_011}

// endless panics if a target still runs after 10 seconds; a target takes microseconds. The
// caller must call the returned function, which stops the timer.
func endless() func() bool {
	return time.AfterFunc(10*time.Second, func() { panic("a decision is being made for ever") }).Stop
}

func isWhole(t time.Time) bool { return t.Nanosecond() == 0 }

// FuzzTime checks that a renewal comes one lead before the expiry, at most a fifth of the lead
// later, and never sooner than 5 seconds after the token was obtained.
func FuzzTime(f *testing.F) {
	f.Add(start.Unix(), int64(0), int64(3600), int64(0), "uid")
	f.Fuzz(func(t *testing.T, obtained, fraction, lifetime, renewBefore int64, seed string) {
		defer endless()()
		for _, scale := range scales {
			token := renewal.Token{Obtained: time.Unix(obtained, fraction), Expires: time.Unix(obtained+lifetime*scale, fraction/2), Seed: seed}
			for _, unit := range []time.Duration{1, time.Second, time.Minute} {
				expectTime(t, token, time.Duration(renewBefore)*unit)
			}
		}
	})
}

func expectTime(t *testing.T, token renewal.Token, renewBefore time.Duration) {
	t.Helper()
	at := renewal.Time(token, renewBefore)
	if again := renewal.Time(token, renewBefore); !again.Equal(at) {
		t.Errorf("%v, then %v", at, again)
	}
	if never := renewal.Time(renewal.Token{Obtained: token.Obtained, Seed: token.Seed}, renewBefore); !never.IsZero() {
		t.Errorf("a token without expiry is renewed at %v", never)
	}
	if !isOfThisEra(token.Obtained, token.Expires) {
		return
	}
	expires, soonest := token.Expires, token.Obtained.Truncate(time.Second).Add(5*time.Second)
	lead := documentedLead(expires.Sub(token.Obtained), renewBefore)
	earliest, latest := expires.Add(-lead), expires.Add(-lead+lead/5+time.Second)
	if at.Before(soonest) || !at.Equal(soonest) && (at.Before(earliest) || at.After(latest) || at.After(expires)) || !isWhole(at) && !at.Equal(expires) {
		t.Errorf("renewed at %v, not between %v and %v, from %v on", at, earliest, latest, soonest)
	}
	if at.Equal(soonest) && earliest.After(soonest) {
		t.Errorf("renewed at %v, before %v", at, earliest)
	}
}

// documentedLead is the first rule of docs/explanation/renewal.md, written independently of the
// code under test.
func documentedLead(lifetime, renewBefore time.Duration) time.Duration {
	lead := lifetime / 5
	if lead < 2*time.Minute {
		lead = 2 * time.Minute
	}
	if lead > 30*time.Minute {
		lead = 30 * time.Minute
	}
	if renewBefore > 0 {
		lead = renewBefore
	}
	if lead > lifetime/2 {
		lead = lifetime / 2
	}
	if lead < 0 {
		return 0
	}
	return lead
}

// FuzzRetry checks that the next attempt after any failure comes later than now, after seconds
// and not hours, and not after the expiry of a valid token.
func FuzzRetry(f *testing.F) {
	f.Add(start.Unix(), int64(500), int64(3600), 1, int64(0), "uid")
	f.Fuzz(func(t *testing.T, seconds, fraction, left int64, failures int, retryAfter int64, seed string) {
		defer endless()()
		expectBackoff(t, failures, seed)
		now := time.Unix(seconds, fraction)
		for _, scale := range scales {
			expires := time.Unix(seconds+left*scale, 0)
			token := renewal.Token{Expires: expires, Seed: seed}
			probe := renewal.Probe(token, now, failures, renewal.Estimate{}, renewal.Estimate{})
			retry := renewal.Retry(now, expires, failures, time.Duration(retryAfter), seed)
			if isOfThisEra(now, expires) {
				expectProbe(t, now, expires, probe)
				expectGuidedProbe(t, token, now, failures, time.Duration(retryAfter))
				expectRetry(t, now, expires, retry, time.Duration(retryAfter))
			}
		}
	})
}

func expectProbe(t *testing.T, now, expires, probe time.Time) {
	t.Helper()
	if !probe.After(now) || expires.After(now) && probe.After(expires) {
		t.Errorf("at %v, with a token until %v, the next probe is at %v", now, expires, probe)
	}
	wait, left := probe.Sub(now), expires.Sub(now)
	if left > 0 && probe.Before(expires) && (wait < 14*time.Second || wait > max(left/2, 15*time.Second)) {
		t.Errorf("with %v left the next probe comes after %v", left, wait)
	}
	if left <= 0 && wait > 5*time.Minute {
		t.Errorf("with no token left the next probe comes after %v", wait)
	}
}

// expectGuidedProbe checks the probes for a known lead. The next probe comes no earlier than
// the lead and no later than the expiry. InheritedProbe, which does not know the time of the
// last probe, returns now if the lead has already begun.
func expectGuidedProbe(t *testing.T, token renewal.Token, now time.Time, failures int, lead time.Duration) {
	t.Helper()
	if lead < 0 || lead > 24*time.Hour || !token.Expires.After(now) {
		return
	}
	own := renewal.Estimate{Granted: lead, Known: true}
	probe, inherited := renewal.Probe(token, now, failures, own, renewal.Estimate{}), renewal.InheritedProbe(token, now, own, renewal.Estimate{})
	known := token.Expires.Add(-lead)
	if !probe.After(now) || probe.After(token.Expires) || known.Sub(now) > 15*time.Second && (probe.Before(known) || probe.Sub(known) > lead/5+time.Second) {
		t.Errorf("at %v, with a token until %v that is replaced %v before, the next probe is at %v", now, token.Expires, lead, probe)
	}
	if inherited.Before(now) || inherited.After(token.Expires) || inherited.Before(known) || inherited.After(now) && inherited.Sub(known) > lead/5+time.Second {
		t.Errorf("at %v, with a token until %v that is replaced %v before, whoever comes probes at %v", now, token.Expires, lead, inherited)
	}
}

func expectRetry(t *testing.T, now, expires, retry time.Time, patience time.Duration) {
	t.Helper()
	wait := retry.Sub(now)
	if wait <= 0 || wait > max(5*time.Minute, patience) || wait < patience {
		t.Errorf("retry after %v, where patience is %v", wait, patience)
	}
	if expires.After(now) && retry.After(expires) && wait != patience {
		t.Errorf("retry at %v, after the expiry at %v", retry, expires)
	}
}

// expectBackoff checks for 2 s, 4 s, 8 s ... 5 min, less at most a fifth, in whole seconds.
func expectBackoff(t *testing.T, failures int, seed string) {
	t.Helper()
	nominal := 5 * time.Minute
	if failures <= 8 && failures > math.MinInt {
		nominal = min(nominal, time.Duration(1<<max(failures, 1))*time.Second)
	}
	got := renewal.Backoff(failures, seed)
	if got > nominal || got < nominal*4/5 || got%time.Second != 0 {
		t.Errorf("after %d failures the delay is %v, of %v", failures, got, nominal)
	}
}

// FuzzPace checks the delays of polls, refreshes and CatchUp for arbitrary instants.
func FuzzPace(f *testing.F) {
	f.Add(start.Unix(), int64(0), int64(-60), int64(-30), int64(3600), "uid")
	f.Fuzz(func(t *testing.T, seconds, fraction, since, obtained, interval int64, seed string) {
		defer endless()()
		now := time.Unix(seconds, fraction)
		for _, scale := range scales {
			other := time.Unix(seconds+since*scale, fraction/3)
			expectPoll(t, now, other)
			token := renewal.Token{Obtained: time.Unix(seconds+obtained*scale, fraction), Seed: seed}
			next := renewal.NextRefresh(token, other, time.Duration(interval)*time.Second)
			if isOfThisEra(now, other, token.Obtained) {
				expectCatchUp(t, now, token.Obtained, other, now.Add(time.Duration(interval)*time.Second))
				expectRefresh(t, token, other, next, time.Duration(interval)*time.Second)
			}
		}
	})
}

// expectPoll checks for every instant that no object waits too long and that no object is
// requeued in a hot loop.
func expectPoll(t *testing.T, now, other time.Time) {
	t.Helper()
	if poll := renewal.SlowPoll(now, other); poll < 30*time.Second || poll > 10*time.Minute || poll%time.Second != 0 {
		t.Errorf("a slow poll after %v", poll)
	}
	for _, instants := range [][]time.Time{nil, {other}, {now, other}, {time.Time{}, other, now.Add(time.Nanosecond)}} {
		if wait := renewal.Wait(now, instants...); wait < time.Millisecond || wait > 30*time.Minute {
			t.Errorf("waits %v for %v", wait, instants)
		}
	}
}

// expectCatchUp checks that an overdue renewal is made within three seconds, and within half of
// the remaining life. A renewal that is due later does not come sooner.
func expectCatchUp(t *testing.T, now, began, due, expires time.Time) {
	t.Helper()
	turn := renewal.CatchUp(now, began, due, expires)
	late, left := turn.Sub(now), expires.Sub(now)
	if late < 0 || late > 3*time.Second || !now.Before(began) && late > max(left/2, 0) {
		t.Errorf("with %v left, caught up after %v", left, late)
	}
	for _, later := range []time.Duration{1, time.Second, time.Hour} {
		if next := renewal.CatchUp(now, began, due.Add(later), expires); next.Before(turn) && now.Sub(began) >= 0 {
			t.Errorf("what was due at %v is caught up with at %v, and what was due %v later at %v", due, turn, later, next)
		}
	}
}

// expectRefresh checks that the next refresh is later than the last. It is at most one interval
// later, unless it is the first. The first one comes between four fifths of an interval and one
// interval after the token was obtained.
func expectRefresh(t *testing.T, token renewal.Token, last, next time.Time, interval time.Duration) {
	t.Helper()
	interval = max(interval, 5*time.Second)
	if !next.After(last) || !isWhole(next) {
		t.Errorf("after %v, the next refresh is at %v", last, next)
	}
	first := next.Sub(token.Obtained)
	isFirst := first <= interval && first > interval*4/5-time.Second
	if next.Sub(last) > interval && !isFirst {
		t.Errorf("with an interval of %v, obtained at %v, %v is followed by %v", interval, token.Obtained, last, next)
	}
}
