package workos

import "time"

const (
	// tripsAfter is how many connections in a row have to fail, with no answer in between, for WorkOS to count as down.
	tripsAfter = 5
	// firstTrip is how long nobody asks then; each time that the one call which finds out has failed too, twice as long.
	firstTrip = 2 * time.Second
	// longestTrip bounds that: so late an end of an outage may be noticed.
	longestTrip = 30 * time.Second
)

// breaker notices that WorkOS is down: not one connection of one user, nor one integration, but so many in a row that a hundred
// thousand others need not find out for themselves.
type breaker struct {
	failed map[call]struct{} // since the last answer
	trips  int               // in a row; 0: WorkOS answers
}

// after learns from a call that was sent, and returns for how long to hold back everybody; 0: not at all.
func (b *breaker) after(c call, outcome Outcome) time.Duration {
	if outcome != OutcomeUnavailable && outcome != OutcomeUnreadable {
		*b = breaker{}
		return 0
	}
	if b.failed == nil {
		b.failed = map[call]struct{}{}
	}
	if b.failed[c] = struct{}{}; b.trips == 0 && len(b.failed) < tripsAfter {
		return 0
	}
	b.failed = nil
	b.trips++
	return min(firstTrip<<min(b.trips-1, 8), longestTrip)
}
