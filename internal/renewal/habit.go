package renewal

import "time"

// Habit is what has been learned of how early an upstream hands out the next token: with how much of the last one's life left.
// The zero Habit knows nothing. It is learned from renewals that were due, and only from these: a user who connects again gets a
// token at any time.
type Habit struct {
	// Granted is the most that a token had left when its successor was handed out. Known: a little more was too early.
	Granted time.Duration
	Known   bool
	// Unconfirmed counts the renewals that tell of Granted while it is not Known.
	Unconfirmed int
	// Refused is the least that a token had left when it was returned once more. Zero: none was.
	Refused time.Duration
	// Trust grows with each renewal that fits what is known, and falls by much more with each answer that does not: one bad hour, or a
	// connection that is unlike others, must not teach to ask so late that a token expires.
	Trust int
}

const (
	// trusted is the Trust that it takes to ask later than the policy would.
	trusted = 2
	// contradiction is what a contradiction costs. An upstream that changes once, after a while, is followed at once; one that
	// contradicts itself in more than one answer of nine is trusted no more.
	contradiction = 8
	leastTrust    = -64
)

// MaxTrust is the Trust of what has been confirmed many times: a single contradiction leaves it known.
const MaxTrust = 2 * contradiction

// Lead is how early to ask, and whether that is known.
func (h Habit) Lead() (lead time.Duration, known bool) {
	return h.Granted, h.Known && h.Trust >= trusted
}

// After is the habit after one more answer: whether a token with so much left was renewed. An answer that contradicts what was
// known outweighs it: upstreams change.
func (h Habit) After(left time.Duration, renewed bool) Habit {
	left = max(left, 0)
	contradicted := renewed && h.Refused > 0 && left >= h.Refused || !renewed && left > 0 && h.Known && left <= h.Granted
	if contradicted {
		h.Trust = max(h.Trust-contradiction, leastTrust)
	}
	switch {
	case renewed && (h.Known || h.closeTo(left)):
		if !contradicted {
			h.Trust = min(h.Trust+1, MaxTrust)
		}
		h.Granted, h.Known, h.Unconfirmed = max(h.Granted, left), true, 0
		if h.Refused <= h.Granted {
			h.Refused = 0
		}
	case left == 0:
		// It might have been renewed any time before; and that a token which has expired is returned tells of clocks, or of trouble.
	case h.Refused > 0 && left >= h.Refused:
		// That it is too early so long before is known; and a renewal that says otherwise has cost its Trust.
	case renewed:
		// It is renewed as early as anybody has asked.
		h.Granted, h.Unconfirmed = max(h.Granted, left), min(h.Unconfirmed+1, MaxTrust)
	default:
		h.Refused = left
		switch {
		case h.Granted >= left:
			h.Granted, h.Known, h.Unconfirmed = 0, false, 0
		case h.Unconfirmed > 0 && left <= 2*h.Granted: // somebody was there to ask about then
			h.Known, h.Trust, h.Unconfirmed = true, min(h.Trust+h.Unconfirmed, MaxTrust), 0
		}
	}
	return h
}

// Own is the habit of one connection after one more answer, where others are a guide to when to ask again after a refusal (Probe): that
// nobody asked in between is then no reason not to learn from a renewal by the time that they are known for; and as they all say the same,
// one such renewal is enough. One that came late, because it was probed or somebody was busy, does not teach to be late.
func (h Habit) Own(left time.Duration, renewed bool, others Habit) Habit {
	left = max(left, 0)
	lead, known := others.Lead()
	asOthers := known && renewed && left <= lead && lead < h.Refused
	if asOthers && !h.Known {
		h.Granted, h.Known, h.Trust = left, true, min(h.Trust+trusted, MaxTrust)
	} else {
		h = h.After(left, renewed)
	}
	if asOthers {
		h.Granted = max(h.Granted, lead-lead/jitterShare)
	}
	if !h.Known { // one renewal early may have been a user who connected again
		h.Granted, h.Unconfirmed = 0, 0
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

// leastExplored leaves MinInterval for a call at the expiry, after jitter and rounding, when it turns out to be too early.
const leastExplored = (MinInterval + time.Second) * jitterShare / (jitterShare - 1)

// learnedLead is how early to ask for the successor of t, given the lead that t would have without anything learned.
func learnedLead(t Token, lead time.Duration) time.Duration {
	if t.Lead == nil || *t.Lead >= lead {
		return lead
	}
	learned := max(0, *t.Lead)
	if draw(t.Seed+"explore", t.Expires.Unix()) < exploreShare {
		far := draw(t.Seed+"how early", t.Expires.Unix())
		earlier := time.Duration(far * far * far * float64(lead-learned)) // mostly not far: that finds seconds as well as minutes
		learned = min(max(learned+earlier, leastExplored), lead)
	}
	return learned
}
