package renewal

import "time"

// Skew is by how much another clock is ahead of ours, as far as answers with a date have shown. The
// zero Skew knows nothing, and counts the clocks as the same.
//
// What answers have shown for a while is settled. Answers that differ from it make a claim, which counts at once if
// the other clock is further ahead by it: whoever renews too early asks again soon, and finds out. A claim that it
// is further behind would end the asking; so it counts only once it has settled, and a date that is wrong for a
// moment costs no token.
type Skew struct {
	known bool
	// wild: the last sample was beyond what is believed.
	wild    bool
	settled span
	claim   *claim
	// asOf is our clock at the last sample, with its monotonic reading.
	asOf time.Time
}

// claim is what samples say in a row that differ from what is settled.
type claim struct {
	span
	since   time.Time
	samples int
}

// span is what is possible: each answer leaves less of it. What counts is the least of it: to ask a moment too
// early for the next token costs seconds, since WorkOS returns the same one.
type span struct{ least, most time.Duration }

// agrees says whether both may be right.
func (s span) agrees(other span) bool {
	return s.least-skewSlack <= other.most && other.least-skewSlack <= s.most
}

// within is what both leave; what the later one says if that is nothing.
func (s span) within(later span) span {
	both := span{max(s.least, later.least), min(s.most, later.most)}
	if both.least > both.most {
		return later
	}
	return both
}

func (s span) plus(d time.Duration) span { return span{s.least + d, s.most + d} }

// Sample is what one answer says of the other clock: between AtLeast and AtMost ahead of ours. A date
// header has whole seconds, and is written at some time between request and answer.
type Sample struct {
	AtLeast, AtMost time.Duration
	// At is our clock when the answer came.
	At time.Time
}

const (
	// skewSlack is a difference of clocks that is not worth telling from none.
	skewSlack = 500 * time.Millisecond
	// maxSkew bounds what is believed. With clocks further apart than that, no certificate can be trusted either.
	maxSkew = 24 * time.Hour
	// settleSamples over settleTime settle a claim.
	settleSamples = 3
	settleTime    = time.Minute
)

// Learn takes note of a sample. expected says that the clocks are known to differ, from before this
// Skew was begun: then its first sample is settled at once.
func (s *Skew) Learn(sample Sample, expected bool) {
	if s.wild = max(sample.AtLeast, -sample.AtMost) > maxSkew; s.wild {
		return
	}
	s.rebase(sample.At)
	first := !s.known
	s.known = true
	switch said := (span{sample.AtLeast, sample.AtMost}); {
	case s.settled.agrees(said):
		s.settled, s.claim = s.settled.within(said), nil
	case s.claim == nil || !s.claim.agrees(said):
		s.claim = &claim{span: said, since: sample.At, samples: 1}
	default:
		s.claim.span = s.claim.within(said)
		s.claim.samples++
	}
	if s.claim != nil && (first && expected || s.claim.isSettled(sample.At)) {
		s.settled, s.claim = s.claim.span, nil
	}
}

func (c *claim) isSettled(now time.Time) bool {
	return c.samples >= settleSamples && now.Sub(c.since) >= settleTime
}

// At is by how much the other clock is ahead when ours shows now, with or without a monotonic reading. If ours has
// been set back since the last sample, that is taken into account. If it has been set forward, it is not: the
// machine may have been asleep.
func (s *Skew) At(now time.Time) time.Duration {
	if s.claim != nil {
		return max(s.settled.least, s.claim.least) + s.setBack(now)
	}
	return s.settled.least + s.setBack(now)
}

// Known says whether there has been a sample that could be believed.
func (s *Skew) Known() bool { return s.known }

// Wild says whether the clocks were more than a day apart in the last sample. Such a one changes
// nothing.
func (s *Skew) Wild() bool { return s.wild }

// rebase makes now the instant that the next set-back is told from.
func (s *Skew) rebase(now time.Time) {
	back := s.setBack(now)
	s.settled, s.asOf = s.settled.plus(back), now
	if s.claim != nil {
		s.claim.span = s.claim.plus(back)
	}
}

// setBack is by how much our clock has been set back since the last sample.
func (s *Skew) setBack(now time.Time) time.Duration {
	if !s.known {
		return 0
	}
	monotonic, wall := now.Sub(s.asOf), now.Round(0).Sub(s.asOf.Round(0))
	if back := monotonic - wall; back > skewSlack {
		return back
	}
	return 0
}
