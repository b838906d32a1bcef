package renewal

import "time"

// Skew is by how much another clock is ahead of ours, as far as answers with a date have shown. The
// zero Skew knows nothing, and counts the clocks as the same.
type Skew struct {
	known bool
	// wild: the last sample was beyond what is believed.
	wild bool
	by   time.Duration
	// asOf is our clock when by was last confirmed, with its monotonic reading.
	asOf time.Time
	// doubt is a sample of a clock that is further behind; the next one replaces by if it agrees.
	doubt *Sample
}

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
)

// Learn takes note of a sample. The first one counts at once, and so does one by which the other clock is further
// ahead than is known: whoever renews too early asks again soon, and finds out. One by which it is further behind
// counts when the next one agrees.
func (s *Skew) Learn(sample Sample) {
	before, first := s.At(sample.At), !s.known
	if s.wild = max(sample.AtLeast, -sample.AtMost) > maxSkew; s.wild {
		return
	}
	s.known = true
	switch {
	case sample.holds(before):
		s.by, s.asOf, s.doubt = before, sample.At, nil
	case first || sample.AtLeast > before || s.doubt != nil && s.doubt.agrees(sample):
		// Not more than is certain: to ask a moment too early for the next token costs seconds, since
		// WorkOS returns the same one.
		s.by, s.asOf, s.doubt = sample.AtLeast, sample.At, nil
	default:
		s.doubt = &sample
	}
}

// At is by how much the other clock is ahead when ours shows now, with or without a monotonic reading. If ours has
// been set back since the last sample, that is taken into account. If it has been set forward, it is not: the
// machine may have been asleep.
func (s Skew) At(now time.Time) time.Duration {
	if !s.known {
		return 0
	}
	monotonic, wall := now.Sub(s.asOf), now.Round(0).Sub(s.asOf.Round(0))
	if back := monotonic - wall; back > skewSlack {
		return s.by + back
	}
	return s.by
}

// Known says whether there has been a sample that could be believed.
func (s Skew) Known() bool { return s.known }

// Wild says whether the clocks were more than a day apart in the last sample. Such a one changes
// nothing.
func (s Skew) Wild() bool { return s.wild }

func (s Sample) holds(by time.Duration) bool {
	return s.AtLeast-skewSlack <= by && by <= s.AtMost+skewSlack
}

func (s Sample) agrees(other Sample) bool {
	return s.AtLeast-skewSlack <= other.AtMost && other.AtLeast <= s.AtMost+skewSlack
}
