package workos

import "time"

const (
	// tripsAfter is how many connections of an integration in a row have to fail, with no answer in between, for it to count as down.
	tripsAfter = 5
	// firstTrip is how long nobody asks then; each time that the one call which finds out has failed too, twice as long.
	firstTrip = 2 * time.Second
	// longestTrip bounds that: so late an end of an outage may be noticed.
	longestTrip = 30 * time.Second
	// staleTrouble is how long after its gate's time an outage is told of that nobody has looked at since.
	staleTrouble = 10 * time.Minute
)

// breaker notices that an integration is down, or all of WorkOS: not one connection of one user, but so many in a row that a hundred
// thousand others need not find out for themselves. It is dropped with the first answer.
type breaker struct {
	failed map[call]struct{} // until it trips
	trips  int               // in a row
}

// failed says whether an outcome is none that WorkOS has decided on.
func failed(outcome Outcome) bool {
	return outcome == OutcomeUnavailable || outcome == OutcomeUnreadable
}

// trip learns from a call that has failed, and returns for how long to hold back everybody; 0: not at all.
func (b *breaker) trip(c call) time.Duration {
	if b.trips == 0 {
		if b.failed[c] = struct{}{}; len(b.failed) < tripsAfter {
			return 0
		}
		b.failed = nil
	}
	b.trips++
	return min(firstTrip<<min(b.trips-1, 8), longestTrip)
}
