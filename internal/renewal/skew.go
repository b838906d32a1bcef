package renewal

import "time"

// Skew is by how much another clock is ahead of ours, as far as the dates of answers show. The
// zero Skew knows nothing and treats the clocks as equal.
//
// A value that samples have shown for a while is settled. Samples that differ from it make a
// claim. A claim that the other clock is further ahead counts at once: it makes renewals too
// early at worst, and the next answers correct it. A claim that the other clock is further
// behind would stop the requests, and with them the correction. It counts only once it has
// settled, so that a date that is wrong for a moment costs no token.
type Skew struct {
	known bool
	// wild says that the last sample was beyond maxSkew.
	wild    bool
	settled span
	claim   *claim
	// asOf is the reading of our clock at the last sample, including the monotonic reading.
	asOf time.Time
}

// claim is a series of samples that differ from the settled value.
type claim struct {
	span
	since   time.Time
	samples int
}

// span is a range of possible differences. Each answer narrows it. Only the lower end is used,
// because a request a moment too early costs seconds: WorkOS returns the same token.
type span struct{ least, most time.Duration }

// agrees reports whether both spans may be right.
func (s span) agrees(other span) bool {
	return s.least-skewSlack <= other.most && other.least-skewSlack <= s.most
}

// within returns the intersection of both spans, or later if that is empty.
func (s span) within(later span) span {
	both := span{max(s.least, later.least), min(s.most, later.most)}
	if both.least > both.most {
		return later
	}
	return both
}

func (s span) plus(d time.Duration) span { return span{s.least + d, s.most + d} }

// Sample is the information of one answer: the other clock is between AtLeast and AtMost ahead
// of ours. A Date header has whole seconds, and is written at some time between request and
// answer.
type Sample struct {
	AtLeast, AtMost time.Duration
	// At is the reading of our clock when the answer arrived.
	At time.Time
}

const (
	// skewSlack is the largest difference between clocks that is treated as none.
	skewSlack = 500 * time.Millisecond
	// maxSkew bounds the difference that is believed. With a larger difference, certificates
	// cannot be validated either.
	maxSkew = 24 * time.Hour
	// settleSamples samples over at least settleTime settle a claim.
	settleSamples = 3
	settleTime    = time.Minute
)

// Learn adds a sample. expected says that the clocks were known to differ before this Skew
// existed. The first sample is then settled at once.
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

// At returns by how much the other clock is ahead when ours shows now, with or without a
// monotonic reading. The result takes into account that our clock has been set back since the
// last sample. It does not take into account that our clock has been set forward, because the
// machine may have been suspended.
func (s *Skew) At(now time.Time) time.Duration {
	if s.claim != nil {
		return max(s.settled.least, s.claim.least) + s.setBack(now)
	}
	return s.settled.least + s.setBack(now)
}

// Known reports whether at least one sample was believed.
func (s *Skew) Known() bool { return s.known }

// Wild reports whether the clocks were more than a day apart in the last sample. That sample
// changes nothing else.
func (s *Skew) Wild() bool { return s.wild }

// rebase adds a set-back of our clock to the spans, and makes now the reference for the next
// set-back.
func (s *Skew) rebase(now time.Time) {
	back := s.setBack(now)
	s.settled, s.asOf = s.settled.plus(back), now
	if s.claim != nil {
		s.claim.span = s.claim.plus(back)
	}
}

// setBack returns by how much our clock has been set back since the last sample.
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
