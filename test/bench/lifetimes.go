package main

import (
	"time"
)

// rotations are the renewals within a time span, derived from the upstream calls.
type rotations struct {
	// count is the number of tokens that were replaced by a new token.
	count int
	// calls has the number of upstream calls for each replaced token: the calls after the token
	// was obtained, up to and including the call that returned the next token. calls[0] is for
	// the first rotation of each object in the span, calls[1] for the second, and so on.
	calls [][]float64
	// lateness has, for the first call of each lifetime, how many seconds it came after
	// status.renewalTime.
	lateness []float64
	// early is the number of calls before status.renewalTime.
	early int
	// expired is how long PipesTokens had only an expired token, until their status showed the
	// next token. It is in seconds, summed over all PipesTokens.
	expired float64
}

// timerGrain is how early a call may come and still count as on time, because timers and
// timestamps use different clocks.
const timerGrain = 100 * time.Millisecond

// rotationsBetween reads all calls since the start, oldest first, and returns the rotations in
// the span from begin to end. It ignores calls for a PipesToken without a history, which was
// deleted.
func rotationsBetween(begin, end time.Time, calls []call, histories map[int]history) rotations {
	byObject := map[int][]call{}
	for _, c := range calls {
		byObject[c.object] = append(byObject[c.object], c)
	}
	var r rotations
	for object, h := range histories {
		r.follow(begin, end, byObject[object], h)
	}
	return r
}

// follow processes the calls for an object.
func (r *rotations) follow(begin, end time.Time, calls []call, h history) {
	var holding call // returned the current token; zero if none exists
	asked, lifetime := 0, 0
	for _, c := range calls {
		within := !c.at.Before(begin) && !c.at.After(end)
		asked++
		if due, known := h.renewalOf(holding.expires); within && known {
			r.asked(c.at.Sub(due), asked == 1)
		}
		if c.serial <= holding.serial {
			continue
		}
		if within && holding.serial > 0 {
			r.rotated(lifetime, asked)
			lifetime++
		}
		if holding.serial > 0 {
			r.expired += overlap(begin, end, holding.expires, h.seenAt(c.expires, end)).Seconds()
		}
		holding, asked = c, 0
	}
	if holding.serial > 0 {
		r.expired += overlap(begin, end, holding.expires, end).Seconds()
	}
}

// asked counts a call that came so late after the renewal time.
func (r *rotations) asked(late time.Duration, first bool) {
	switch {
	case late < -timerGrain:
		r.early++
	case first:
		r.lateness = append(r.lateness, max(0, late.Seconds()))
	}
}

// rotated counts a rotation that took so many calls.
func (r *rotations) rotated(lifetime, calls int) {
	r.count++
	for len(r.calls) <= lifetime {
		r.calls = append(r.calls, nil)
	}
	r.calls[lifetime] = append(r.calls[lifetime], float64(calls))
}

// overlap returns how much of the interval between from and to is in the span from begin to end.
func overlap(begin, end, from, to time.Time) time.Duration {
	if from.Before(begin) {
		from = begin
	}
	if to.After(end) {
		to = end
	}
	return max(0, to.Sub(from))
}

// seenAt returns when the status first showed the token with this expiry. It returns otherwise
// if the status never showed it.
func (h history) seenAt(expires, otherwise time.Time) time.Time {
	for _, token := range h.tokens {
		if token.expires.Equal(expires.Truncate(time.Second)) {
			return token.seen
		}
	}
	return otherwise
}

// renewalOf returns the renewal time of the token with this expiry, from the status, which has
// whole seconds.
func (h history) renewalOf(expires time.Time) (due time.Time, known bool) {
	for _, token := range h.tokens {
		if token.expires.Equal(expires.Truncate(time.Second)) {
			return token.renewal, true
		}
	}
	return time.Time{}, false
}
