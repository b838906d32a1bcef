package main

import (
	"math"
	"slices"
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

// quantile returns the smallest value v for which at least the share q of the values is at most
// v. It returns NaN without values.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := int(math.Ceil(q*float64(len(sorted)))) - 1
	return sorted[min(max(rank, 0), len(sorted)-1)]
}

// mean returns the average. It returns NaN without values.
func mean(values []float64) float64 {
	total := 0.0
	for _, value := range values {
		total += value
	}
	return total / float64(len(values))
}

// mostWithin returns the maximum number of instants in a time span of this length. The end of
// the span is excluded.
func mostWithin(instants []time.Time, span time.Duration) int {
	sorted := slices.SortedFunc(slices.Values(instants), time.Time.Compare)
	most, first := 0, 0
	for last := range sorted {
		for sorted[last].Sub(sorted[first]) >= span {
			first++
		}
		most = max(most, last-first+1)
	}
	return most
}

// distribution returns the curve of the percentage of values that are at most x.
func distribution(values []float64) []point {
	sorted := slices.Sorted(slices.Values(values))
	curve := make([]point, 0, len(sorted))
	for i, value := range sorted {
		curve = append(curve, point{value, 100 * float64(i+1) / float64(len(sorted))})
	}
	return curve
}

// countOver returns the curve of the number of instants up to x seconds after start. An instant
// before start counts at x = 0, because start may have been detected late.
func countOver(instants []time.Time, start time.Time) []point {
	curve := []point{{0, 0}}
	for i, at := range slices.SortedFunc(slices.Values(instants), time.Time.Compare) {
		curve = append(curve, point{max(0, at.Sub(start).Seconds()), float64(i + 1)})
	}
	return curve
}
