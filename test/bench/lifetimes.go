package main

import (
	"time"
)

// rotations are what the calls of a span say of renewal.
type rotations struct {
	// count is how many tokens were followed by another.
	count int
	// calls are how many each of those tokens took: those after it was obtained, up to the one that brought the next. By lifetime: first
	// that of each object's first rotation in the span.
	calls [][]float64
	// lateness is how long after the renewalTime in the status the first call of each lifetime came, in seconds.
	lateness []float64
	// early are calls that came before it.
	early int
	// expired is for how long a PipesToken had nothing but an expired token to offer, until its status showed the next, in seconds and of
	// all together.
	expired float64
}

// timerGrain is by how much a call may come early and still count as on time: timers and instants come from two clocks.
const timerGrain = 100 * time.Millisecond

// rotationsBetween goes through all calls since the beginning, oldest first, and tells of those of the span. A PipesToken without a
// history is gone, and its calls with it.
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

// follow goes through the calls of one object.
func (r *rotations) follow(begin, end time.Time, calls []call, h history) {
	var holding call // that brought the token held; the zero call when there is none
	asked, lifetime := 0, 0
	for _, c := range calls {
		within := !c.at.Before(begin) && !c.at.After(end)
		asked++
		if due, known := h.renewalOf(holding.expires); within && known {
			switch late := c.at.Sub(due); {
			case late < -timerGrain:
				r.early++
			case asked == 1:
				r.lateness = append(r.lateness, max(0, late.Seconds()))
			}
		}
		if c.serial <= holding.serial {
			continue
		}
		if within && holding.serial > 0 {
			r.count++
			for len(r.calls) <= lifetime {
				r.calls = append(r.calls, nil)
			}
			r.calls[lifetime] = append(r.calls[lifetime], float64(asked))
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

// overlap is how much of the span from begin to end lies between the two instants.
func overlap(begin, end, from, to time.Time) time.Duration {
	if from.Before(begin) {
		from = begin
	}
	if to.After(end) {
		to = end
	}
	return max(0, to.Sub(from))
}

// seenAt is when the status first showed the token with that expiry; otherwise, where it did not.
func (h history) seenAt(expires, otherwise time.Time) time.Time {
	for _, token := range h.tokens {
		if token.expires.Equal(expires.Truncate(time.Second)) {
			return token.seen
		}
	}
	return otherwise
}

// renewalOf is when the token with that expiry was to be renewed, as the status said. Statuses have whole seconds.
func (h history) renewalOf(expires time.Time) (due time.Time, known bool) {
	for _, token := range h.tokens {
		if token.expires.Equal(expires.Truncate(time.Second)) {
			return token.renewal, true
		}
	}
	return time.Time{}, false
}
