package renewal

import "time"

// Habit is what has been learned of how early an upstream hands out the next token: with how much of the last one's life left.
// The zero Habit knows nothing. It is learned from renewals that were due, and only from these: a user who connects again gets a
// token at any time.
type Habit struct {
	// Granted is the most that a token had left when its successor was handed out, if Known.
	Granted time.Duration
	Known   bool
	// Refused is the least that a token had left when it was returned once more. Zero: none was.
	Refused time.Duration
}

// Lead is how early to ask, and whether that is known.
func (h Habit) Lead() (lead time.Duration, known bool) {
	return h.Granted, h.Known
}

// After is the habit after one more answer: whether a token with so much left was renewed. An answer that contradicts what was
// known outweighs it: upstreams change.
func (h Habit) After(left time.Duration, renewed bool) Habit {
	left = max(left, 0)
	switch {
	case renewed && (h.Known || h.closeTo(left)):
		h.Granted, h.Known = max(h.Granted, left), true
		if h.Refused <= h.Granted {
			h.Refused = 0
		}
	case renewed, left == 0:
		// It is renewed as early as anybody has asked, or might have been any time before; and that a token which has expired is
		// returned tells of clocks, or of trouble.
	case h.Refused == 0 || left < h.Refused:
		h.Refused = left
		if h.Granted >= left {
			h.Granted, h.Known = 0, false
		}
	}
	return h
}

// closeTo says whether a refusal came so shortly before that a renewal with so much left tells since when there has been another
// token: not longer than Probe waits. Otherwise nobody was there to ask.
func (h Habit) closeTo(left time.Duration) bool {
	return left < h.Refused && h.Refused <= 2*(left+minProbe)
}

// exploreShare of the renewals ask earlier than is known to work, so that it shows when more would: one in 40. Each of them that asks
// in vain costs a call.
const exploreShare = 1. / 40

// learnedLead is how early to ask for the successor of t, given the lead that t would have without anything learned.
func learnedLead(t Token, lead time.Duration) time.Duration {
	if t.Lead == nil || *t.Lead >= lead {
		return lead
	}
	learned := max(0, *t.Lead)
	if draw(t.Seed+"explore", t.Expires.Unix()) < exploreShare {
		far := draw(t.Seed+"how early", t.Expires.Unix())
		learned += time.Duration(far * far * far * float64(lead-learned)) // mostly not far: that finds seconds as well as minutes
	}
	return learned
}
