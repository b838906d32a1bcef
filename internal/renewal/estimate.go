package renewal

import "time"

// Estimate is the lead that has been learned: how long before expiry WorkOS returns the next
// token. The zero Estimate knows nothing. Only renewals that were due teach it, because a user who
// connects again gets a new token at any time.
type Estimate struct {
	// Granted is the longest remaining life at which WorkOS returned the next token. Known says
	// that Granted is close to the real lead: a request slightly earlier got the same token.
	Granted time.Duration
	Known   bool
	// unconfirmed counts the renewals that support Granted while Known is false.
	unconfirmed int
	// refused is the shortest remaining life at which WorkOS returned the same token again.
	// Zero means that no refusal is known.
	refused time.Duration
	// Trust grows by 1 with each renewal that agrees with the Estimate, and falls by contradiction
	// with each answer that does not. The fall is larger because one bad hour, or one
	// connection that differs from the others, must not delay a request until the token
	// expires.
	Trust int
}

const (
	// trusted is the Trust that is needed to ask later than the policy does.
	trusted = 2
	// contradiction is the Trust that one contradiction costs. With this value, a
	// well-confirmed Estimate follows a single change at once. A WorkOS that contradicts itself in
	// more than one answer of nine is no longer trusted.
	contradiction = 8
	leastTrust    = -64
)

// MaxTrust is the upper bound of Trust. An Estimate has it after many confirmations, and still
// trusts its lead after a single contradiction.
const MaxTrust = 2 * contradiction

// Lead returns the learned lead, and whether it is trusted enough to be used.
func (h Estimate) Lead() (lead time.Duration, known bool) {
	return h.Granted, h.Known && h.Trust >= trusted
}

// After returns the Estimate after one more answer: left is the remaining life of the token, and
// renewed says whether WorkOS returned another one. An answer that contradicts a known lead
// replaces it, because WorkOS may change its lead.
func (h Estimate) After(left time.Duration, renewed bool) Estimate {
	left = max(left, 0)
	contradicted := renewed && h.refused > 0 && left >= h.refused || !renewed && left > 0 && h.Known && left <= h.Granted
	if contradicted {
		h.Trust = max(h.Trust-contradiction, leastTrust)
	}
	switch {
	case renewed && (h.Known || h.closeTo(left)):
		if !contradicted {
			h.Trust = min(h.Trust+1, MaxTrust)
		}
		h.Granted, h.Known, h.unconfirmed = max(h.Granted, left), true, 0
		if h.refused <= h.Granted {
			h.refused = 0
		}
	case left == 0:
		// This answer teaches nothing. WorkOS may have had the next token for any length of
		// time. An expired token that is returned again points to a clock difference or to a
		// fault.
	case h.refused > 0 && left >= h.refused:
		// A refusal is nothing new: a later request was refused too. A renewal contradicts
		// refused, and has only reduced Trust above.
	case renewed:
		// The lead is at least left, but no refusal shortly before shows its exact value.
		h.Granted, h.unconfirmed = max(h.Granted, left), min(h.unconfirmed+1, MaxTrust)
	default:
		h.refused = left
		switch {
		case h.Granted >= left:
			h.Granted, h.Known, h.unconfirmed = 0, false, 0
		// The refusal came shortly enough before Granted to confirm it.
		case h.unconfirmed > 0 && left <= 2*h.Granted:
			h.Known, h.Trust, h.unconfirmed = true, min(h.Trust+h.unconfirmed, MaxTrust), 0
		}
	}
	return h
}

// Own is After for the Estimate of a single connection, where others guides the next probe after a
// refusal (Probe). Because of that guidance, no probe is made shortly before the lead of
// others. The connection learns from a renewal at that lead or later all the same. One renewal
// is enough, because others agree on the lead. A renewal that came late, after a probe or
// because the operator was busy, does not teach a late lead.
func (h Estimate) Own(left time.Duration, renewed bool, others Estimate) Estimate {
	left = max(left, 0)
	lead, known := others.Lead()
	asOthers := known && renewed && left <= lead && lead < h.refused
	if asOthers && !h.Known {
		h.Granted, h.Known, h.Trust = left, true, min(h.Trust+trusted, MaxTrust)
	} else {
		h = h.After(left, renewed)
	}
	if asOthers {
		h.Granted = max(h.Granted, lead-lead/jitterShare)
	}
	// A single early renewal may come from a user who connected again.
	if !h.Known {
		h.Granted, h.unconfirmed = 0, 0
	}
	return h
}

// closeTo reports whether a refusal came so shortly before a renewal with left to live that
// left is close to the real lead. Shortly means not longer than Probe waits. After a longer gap
// the next token may have existed for some time.
func (h Estimate) closeTo(left time.Duration) bool {
	return left < h.refused && h.refused <= 2*(left+minProbe)
}

// exploreShare is the share of renewals that ask earlier than the learned lead, one in 40. They
// find out whether the lead has become longer. Each of them that gets the same token costs one
// call.
const exploreShare = 1. / 40

// leastExplored is the shortest lead that is explored. After jitter and rounding it leaves
// MinInterval for another call at expiry, in case the first call is too early.
const leastExplored = (MinInterval + time.Second) * jitterShare / (jitterShare - 1)

// learnedLead returns how long before expiry to ask for the successor of t. lead is the lead of
// the policy, which uses nothing that was learned.
func learnedLead(t Token, lead time.Duration) time.Duration {
	if t.Lead == nil || *t.Lead >= lead {
		return lead
	}
	learned := max(0, *t.Lead)
	if draw(t.Seed+"explore", t.Expires.Unix()) < exploreShare {
		far := draw(t.Seed+"how early", t.Expires.Unix())
		// The cube makes most steps small, so that steps of seconds as well as of minutes
		// occur.
		earlier := time.Duration(far * far * far * float64(lead-learned))
		learned = min(max(learned+earlier, leastExplored), lead)
	}
	return learned
}
