// Package renewal decides when to ask WorkOS for the next token. Every function is pure: times
// and settings in, a time or a duration out. The package has no clock, no client and no random
// source. Times are whole seconds, because metav1.Time stores whole seconds. The exception is
// the expiry of a token: if WorkOS returns the next token only at expiry, a request earlier in
// the same second gets the same token again.
//
// The policy, for a token obtained at T0 that expires at E (R = E - T0):
//
//  1. The lead is renewBefore, or by default R/5 with bounds of 2 and 30 minutes. In both cases it
//     is at most R/2.
//  2. The token is renewed at E - lead. A stable jitter moves that time closer to E, by up to a
//     fifth of the lead.
//  3. WorkOS may return the same token until it expires. The next probe then comes after half of
//     the remaining time, but not sooner than 15 seconds. A probe that would come just before E is
//     made at E. After E the probes back off. Estimate learns from the probes how early WorkOS returns
//     the next token. A learned lead replaces a longer lead of the policy, so that in the long run
//     each token costs one call. One renewal in 40 asks earlier, to find out whether the lead has
//     changed.
//  4. After failures the delay is 2 seconds, and doubles up to 5 minutes. A retry never comes later
//     than E while the token is valid, so that its last second sees one more attempt.
//  5. A problem that only a human can fix is polled. The delay is a fifth of the time that the
//     problem has lasted, at least 30 seconds and at most 10 minutes.
package renewal

import (
	"encoding/binary"
	"hash/fnv"
	"time"
)

const (
	// minLead gives a running pod time to see the new token: the kubelet updates a Secret in a
	// mounted volume within about 90 seconds.
	minLead = 2 * time.Minute
	maxLead = 30 * time.Minute
	// leadShare divides the lifetime to give the default lead: a fifth.
	leadShare = 5
	// jitterShare divides the lead to give the longest jitter: a fifth.
	jitterShare = 5

	// MinInterval is the shortest time between two calls for one token, whatever lifetimes
	// WorkOS sends. It prevents a hot loop for tokens that live for seconds, and for tokens
	// that another client keeps destroying.
	MinInterval = 5 * time.Second
	minProbe    = 15 * time.Second

	firstBackoff = 2 * time.Second
	maxBackoff   = 5 * time.Minute

	// pollShare divides the time since the transition to give the wait between two slow polls:
	// a fifth.
	pollShare = 5
	minPoll   = 30 * time.Second
	maxPoll   = 10 * time.Minute

	// ceiling is the longest time between two reconciles of an object. Timers use the monotonic
	// clock, which stops while a machine is suspended. ceiling bounds how late this can make a
	// renewal.
	ceiling = 30 * time.Minute
)

// Token holds the properties of a token that decide when to renew it.
type Token struct {
	// Obtained is when the operator first got this token. WorkOS does not send the time of
	// issue.
	Obtained time.Time
	// Expires is the expiry of the token. Zero means that no expiry is known.
	Expires time.Time
	// Seed is the UID of the object. The jitter differs between seeds and is stable for each of
	// them.
	Seed string
	// Lead is the learned lead at the time when WorkOS returned this token. Nil means that no
	// lead was known.
	Lead *time.Duration
}

// Time returns when to ask for the token that follows t. A renewBefore of zero selects the
// default lead. The zero time means never: the token has no expiry.
func Time(t Token, renewBefore time.Duration) time.Time {
	if t.Expires.IsZero() {
		return time.Time{}
	}
	lead := learnedLead(t, lead(t.Expires.Sub(t.Obtained), renewBefore))
	return latest(t.before(lead), t.Obtained.Truncate(time.Second).Add(MinInterval))
}

// before returns the instant that is lead before the expiry, moved closer to the expiry by a
// stable jitter of up to a fifth of lead. Rounding also moves it closer, because WorkOS does
// not return the next token any earlier than the lead.
func (t Token) before(lead time.Duration) time.Time {
	jitter := time.Duration(draw(t.Seed, t.Expires.Unix()) * float64(lead/jitterShare))
	exact := t.Expires.Add(jitter - lead)
	return earliest(exact.Add(time.Second-1).Truncate(time.Second), t.Expires)
}

// lead returns how long before its expiry the policy renews a token of that lifetime.
func lead(lifetime, renewBefore time.Duration) time.Duration {
	lead := renewBefore
	if lead <= 0 {
		lead = min(max(lifetime/leadShare, minLead), maxLead)
	}
	return max(0, min(lead, lifetime/2))
}

// Probe returns when to ask again after WorkOS, asked at now, returned the current token again.
// failures counts these answers since the token expired, including this one. own is the Estimate
// of this connection. others is the Estimate of all connections like it.
func Probe(t Token, now time.Time, failures int, own, others Estimate) time.Time {
	left := t.Expires.Sub(now)
	if left <= 0 {
		return now.Add(Backoff(failures, t.Seed))
	}
	if guided := t.guided(own, others); guided.Sub(now) > minProbe {
		return guided
	}
	probe := now.Add(max(left/2, minProbe)).Truncate(time.Second)
	if t.Expires.Sub(probe) < MinInterval {
		return t.Expires
	}
	return probe
}

// InheritedProbe returns when to ask for the successor of t if an earlier process asked for it
// without success at an unknown time. That is now, unless now is known to be too early.
func InheritedProbe(t Token, now time.Time, own, others Estimate) time.Time {
	return latest(now, t.guided(own, others))
}

// guided returns when WorkOS is known to return the successor of t. It returns the zero time if
// that is not known.
func (t Token) guided(own, others Estimate) time.Time {
	lead, known := own.Granted, own.Known
	if !known {
		lead, known = others.Lead()
	}
	if !known {
		return time.Time{}
	}
	return t.before(lead)
}

// Retry returns when to ask again after the given number of failures in a row, the last one at
// now. expires is the expiry of the token in the Secret. The retry never comes later than that,
// unless WorkOS asked for a longer wait (retryAfter). A zero or past expires bounds nothing.
func Retry(now, expires time.Time, failures int, retryAfter time.Duration, seed string) time.Time {
	retry := now.Add(Backoff(failures, seed))
	if expires.After(now) {
		retry = earliest(retry, expires)
	}
	return latest(retry, now.Add(retryAfter))
}

// Backoff returns the delay after the given number of failures in a row: 2 s, 4 s, 8 s ... 5
// min. A stable jitter shortens each delay by up to a fifth. Rounding up to whole seconds never
// shortens it further.
func Backoff(failures int, seed string) time.Duration {
	delay := firstBackoff
	for range min(failures-1, 16) {
		delay = min(2*delay, maxBackoff)
	}
	jitter := time.Duration(draw(seed, int64(failures)) * float64(delay/jitterShare))
	return (delay - jitter + time.Second - 1).Truncate(time.Second)
}

const (
	// ShortestLife is the shortest remaining life with which a token may replace another one.
	// The kubelet takes longer than that to show it to a pod, and its renewal would cost a call
	// every few seconds.
	ShortestLife = 15 * time.Second

	maxWriteBackoff = 20 * time.Second
	// writers is the number of objects of a namespace that attempt their writes within
	// maxWriteBackoff.
	writers = 4
)

// Useless reports whether a token that has just arrived expires too soon to be useful. A zero
// expires means that the token does not expire.
func Useless(expires, now time.Time) bool {
	return !expires.IsZero() && expires.Sub(now) < ShortestLife
}

// WriteRetry returns the delay until the next attempt to write a Secret that the API server
// rejects: 2 s, doubling up to 20 s. crowd is the number of objects of the namespace that wait
// for this. If crowd is above four, about four of them attempt their write within 20 s, in
// random order. The first success requeues the others. wasted counts the calls in a row whose
// token could not be written although the API server had accepted the write without the token.
// From the second one on, the delay is up to 5 minutes.
func WriteRetry(failures, wasted, crowd int, seed string) time.Duration {
	if wasted > 1 {
		return Backoff(32, seed)
	}
	delay := min(Backoff(failures, seed), maxWriteBackoff)
	if crowd > writers {
		mean := min(maxWriteBackoff*time.Duration(crowd)/writers, maxBackoff)
		delay = time.Duration(2 * draw(seed, int64(failures)) * float64(mean)).Truncate(time.Second)
	}
	return max(delay, time.Second)
}

// NextRefresh returns when to fetch a token without an expiry again: at the next multiple of
// interval since it was obtained, after last. A stable jitter moves these times, so that tokens
// obtained together are not fetched together. The result is always later than last. The parts
// are truncated to whole seconds before the sum: a result that is truncated afterwards might
// not be later than last, and the token would be due again at once.
func NextRefresh(t Token, last time.Time, interval time.Duration) time.Time {
	interval = max(interval.Truncate(time.Second), MinInterval)
	jitter := time.Duration(draw(t.Seed, 0) * float64(interval/jitterShare))
	first := t.Obtained.Add(interval - jitter).Truncate(time.Second)
	if last.Before(first) {
		return first
	}
	return last.Add(interval - last.Sub(first)%interval).Truncate(time.Second)
}

// Wait returns the time from now until the earliest of the given instants. It ignores zero
// instants. The result is at least a millisecond, so that an object that is due now is
// requeued, and at most ceiling.
func Wait(now time.Time, instants ...time.Time) time.Duration {
	wait := ceiling
	for _, instant := range instants {
		if !instant.IsZero() {
			wait = min(wait, instant.Sub(now))
		}
	}
	return max(wait, time.Millisecond)
}

// CatchUp returns when to make a renewal that fell due while no replica was running. began is
// when this process made its first reconcile. The renewal comes within three seconds of began,
// or within half of the remaining life of the token if that is shorter. The most overdue
// renewals come first. In the meantime the process sees all other objects, which may be more
// overdue. The budget of the API key limits the rate of the calls.
func CatchUp(now, began, due, expires time.Time) time.Time {
	const longest = 3 * time.Second
	// A renewal that is overdue by half waits for half of the three seconds.
	const half = 10 * time.Second
	within := max(0, min(longest, expires.Sub(began)/2))
	waited := max(0, began.Sub(due))
	turn := began.Add(time.Duration(float64(within) * half.Seconds() / (half.Seconds() + waited.Seconds())))
	// The turn is past, or the clock has been set back.
	if turn.Before(now) || turn.Sub(now) > longest {
		return now
	}
	return turn
}

// draw returns a number in [0,1) that depends only on its arguments.
func draw(seed string, n int64) float64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(seed))
	_ = binary.Write(h, binary.BigEndian, n)
	// FNV leaves the high bits of similar short inputs alike. The multiplications mix them
	// before 53 of the bits are used.
	mixed := h.Sum64() * 0x9E3779B97F4A7C15
	mixed ^= mixed >> 32
	mixed *= 0x9E3779B97F4A7C15
	return float64(mixed>>11) / (1 << 53)
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
