// Package renewal decides when to ask WorkOS next. Every function is pure: instants and knobs in, an instant or a duration
// out, with no clock, no client and no random draw of its own. Instants are whole seconds, because that is what metav1.Time
// stores, but for the expiry of a token: an upstream that hands out the next one only then has no use for being asked within the
// same second before it.
//
// The policy, for a token obtained at T0 that expires at E (R = E - T0):
//
//  1. The lead is renewBefore, or R/5 held between 2 and 30 minutes; in either case at most R/2.
//  2. The token is renewed at E - lead, moved up to a fifth of the lead closer to E by a stable jitter.
//  3. WorkOS may return the same token until it expires. Then the next probe comes after half of what is left, but not
//     sooner than 15 seconds; the last one at E, and none just before it; and after E with growing delays. How early it
//     hands out the next one is learned from that (Habit), and replaces a longer lead from then on, so that in the long run
//     there is one call for each token. One renewal in 40 asks earlier than that, to see whether it still is so.
//  4. Failures wait 2 seconds, doubling up to 5 minutes; but never past E, so that a token's last second sees one more try.
//  5. What only a human can mend is polled after a fifth of the time that it has lasted, 30 seconds to 10 minutes.
package renewal

import (
	"encoding/binary"
	"hash/fnv"
	"time"
)

const (
	// minLead is what a running pod needs: kubelet shows a changed Secret in a mounted volume within about 90 seconds.
	minLead = 2 * time.Minute
	maxLead = 30 * time.Minute
	// leadShare of the lifetime is the default lead: a fifth.
	leadShare = 5
	// jitterShare of the lead is the most that the jitter postpones a renewal: a fifth.
	jitterShare = 5

	// MinInterval is the least time between two calls for one token, whatever lifetimes WorkOS sends: it keeps
	// tokens that live for seconds, or that somebody else keeps destroying, from becoming a hot loop.
	MinInterval = 5 * time.Second
	minProbe    = 15 * time.Second

	firstBackoff = 2 * time.Second
	maxBackoff   = 5 * time.Minute

	// pollShare of the time since the transition is the wait between two slow polls: a fifth.
	pollShare = 5
	minPoll   = 30 * time.Second
	maxPoll   = 10 * time.Minute

	// Ceiling is the longest that an object is left alone. Timers run on the monotonic clock, which stands still while
	// a machine is suspended; the ceiling bounds how late that can make a renewal.
	Ceiling = 30 * time.Minute
)

// Token is what renewal needs to know of a token.
type Token struct {
	// Obtained is when this token was first obtained. WorkOS sends no time of issue.
	Obtained time.Time
	// Expires is the token's expiry. Zero: it has none that is known.
	Expires time.Time
	// Seed makes the jitter differ between objects and stay the same for one: the object's UID.
	Seed string
	// Lead is how early the upstream was known to hand out the next token when it handed out this one. Nil: that was not known.
	Lead *time.Duration
}

// Time is when to ask for the token that follows t. renewBefore zero means the default lead. The zero time means never: the
// token has no expiry.
func Time(t Token, renewBefore time.Duration) time.Time {
	if t.Expires.IsZero() {
		return time.Time{}
	}
	lead := learnedLead(t, lead(t.Expires.Sub(t.Obtained), renewBefore))
	return latest(t.before(lead), t.Obtained.Truncate(time.Second).Add(MinInterval))
}

// before is an instant by so much before the expiry, moved up to a fifth of that closer to it by a stable jitter. Rounding moves it
// closer too: a token that is handed out so early is not handed out any earlier.
func (t Token) before(lead time.Duration) time.Time {
	jitter := time.Duration(draw(t.Seed, t.Expires.Unix()) * float64(lead/jitterShare))
	exact := t.Expires.Add(jitter - lead)
	return earliest(exact.Add(time.Second-1).Truncate(time.Second), t.Expires)
}

// lead is how long before its expiry a token of that lifetime is renewed.
func lead(lifetime, renewBefore time.Duration) time.Duration {
	lead := renewBefore
	if lead <= 0 {
		lead = min(max(lifetime/leadShare, minLead), maxLead)
	}
	return max(0, min(lead, lifetime/2))
}

// Probe is when to ask again after WorkOS, asked at now, returned the token that is already there. failures counts such
// answers since the token expired, this one included. own is what this connection has shown, others all those like it.
func Probe(t Token, now time.Time, failures int, own, others Habit) time.Time {
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

// InheritedProbe is when to ask for the successor of t, after somebody else has done so in vain, nobody knows when: now, unless it is
// known to be too early.
func InheritedProbe(t Token, now time.Time, own, others Habit) time.Time {
	return latest(now, t.guided(own, others))
}

// guided is when the upstream is known to hand out the successor of t; the zero time when that is not known.
func (t Token) guided(own, others Habit) time.Time {
	lead, known := own.Granted, own.Known
	if !known {
		lead, known = others.Lead()
	}
	if !known {
		return time.Time{}
	}
	return t.before(lead)
}

// Retry is when to ask again after the given number of failures in a row, the last one at now. expires is the expiry of the
// token that is still there: the retry never comes later, unless WorkOS itself asked for more patience (retryAfter).
// A zero or past expires bounds nothing.
func Retry(now, expires time.Time, failures int, retryAfter time.Duration, seed string) time.Time {
	retry := now.Add(Backoff(failures, seed))
	if expires.After(now) {
		retry = earliest(retry, expires)
	}
	return latest(retry, now.Add(retryAfter))
}

// Backoff is the delay after the given number of failures in a row: 2 s, 4 s, 8 s ... 5 min, each shortened by up to a fifth
// by a stable jitter, in whole seconds: rounded up, so that what is left is never less than that.
func Backoff(failures int, seed string) time.Duration {
	delay := firstBackoff
	for range min(failures-1, 16) {
		delay = min(2*delay, maxBackoff)
	}
	jitter := time.Duration(draw(seed, int64(failures)) * float64(delay/jitterShare))
	return (delay - jitter + time.Second - 1).Truncate(time.Second)
}

const (
	// ShortestLife is the least that a token must have left to live for it to replace another: a kubelet
	// takes longer to show it to a pod, and renewing it would be a call each few seconds.
	ShortestLife = 15 * time.Second

	maxWriteBackoff = 20 * time.Second
	// writers is how many objects of a namespace try their writes within maxWriteBackoff.
	writers = 4
)

// Useless says whether a token that has just arrived expires too soon to be of use. expires zero: never.
func Useless(expires, now time.Time) bool {
	return !expires.IsZero() && expires.Sub(now) < ShortestLife
}

// WriteRetry is the delay until the next attempt to write a Secret that the API server does not take:
// 2 s, doubling up to 20 s. Where many wait in a namespace, about four of them try within 20 s, in no
// order: the first that succeeds calls the others. wasted counts the calls in a row whose token could not be written,
// although the API server had accepted the write without it: the second one has to wait 5 minutes.
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

// SlowPoll is the delay until the next look at something that has been waiting for a human since the given instant: fresh
// after the change, patient later, and with no counter to store.
func SlowPoll(now, since time.Time) time.Duration {
	return min(max(now.Sub(since)/pollShare, minPoll), maxPoll).Truncate(time.Second)
}

// NextRefresh is when to look at a token without expiry again: at the next multiple of interval since it was obtained,
// after the last look, moved by a stable part of the interval so that tokens obtained together are not polled together.
// It is always later than last: an instant cut to whole seconds afterwards might not be, and would be due again at once.
func NextRefresh(t Token, last time.Time, interval time.Duration) time.Time {
	interval = max(interval.Truncate(time.Second), MinInterval)
	jitter := time.Duration(draw(t.Seed, 0) * float64(interval/jitterShare))
	first := t.Obtained.Add(interval - jitter).Truncate(time.Second)
	if last.Before(first) {
		return first
	}
	return last.Add(interval - last.Sub(first)%interval).Truncate(time.Second)
}

// Wait is how long from now until the earliest of the given instants, zero instants ignored: at least a millisecond, so that
// what is due now is not forgotten, and at most Ceiling.
func Wait(now time.Time, instants ...time.Time) time.Duration {
	wait := Ceiling
	for _, instant := range instants {
		if !instant.IsZero() {
			wait = min(wait, instant.Sub(now))
		}
	}
	return max(wait, time.Millisecond)
}

// CatchUp is when to make a renewal that fell due while nobody was there. began is when somebody came: within three seconds of that, or
// half of what is left of the token's life if that is less, and those that have waited longest first. Until their turn, whoever has come
// looks at all the others, which may have waited longer. The budget of the API key sees to the rest.
func CatchUp(now, began, due, expires time.Time) time.Time {
	const longest = 3 * time.Second
	const half = 10 * time.Second // who has waited that long has half of the three seconds to wait
	within := max(0, min(longest, expires.Sub(began)/2))
	waited := max(0, began.Sub(due))
	turn := began.Add(time.Duration(float64(within) * half.Seconds() / (half.Seconds() + waited.Seconds())))
	if turn.Before(now) || turn.Sub(now) > longest { // it is past; or the clock has been set back
		return now
	}
	return turn
}

// draw is a number in [0,1) that depends on nothing but its arguments.
func draw(seed string, n int64) float64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(seed))
	_ = binary.Write(h, binary.BigEndian, n)
	// FNV leaves the high bits of short inputs alike; multiply them up before taking 53 of them.
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
