package workos

import (
	"time"
)

// A circuit opens when an integration fails for so many that a hundred thousand others need not
// find out for themselves. Each failure since the last answer has a weight; the circuit opens at
// tripWeight.
const (
	// provenWeight is for a connection that has returned tokens before, and newWeight for one that
	// never has: it may well be the user's own trouble. A connection that fails once more, with no
	// answer for anybody in between, weighs repeatFactor as much.
	provenWeight, newWeight, repeatFactor = 10, 1, 2
	// tripWeight is five proven connections, or fifty new ones.
	tripWeight = 50
	// shareWeight is the most that one share adds to the circuit of all: one namespace alone holds
	// back nobody but itself.
	shareWeight = 20
)

const (
	// slowCall is how long a call may take before it counts as failed until it is answered.
	slowCall = 2 * time.Second
	// urgentProbe is the least time between two probes while a token is expired, missing or about
	// to expire. A connection that is known to fail waits twice as long, so that another one goes
	// first if there is one.
	urgentProbe = 2 * time.Second
	// longestProbe bounds the time between two probes while nobody is urgent: it begins at
	// urgentProbe and doubles.
	longestProbe = 30 * time.Second
	// longestAlone bounds it for connections that are known to fail: no other one may be there to
	// probe.
	longestAlone = 5 * time.Minute
	// urgentBefore is how long before its expiry a token is urgent.
	urgentBefore = time.Minute
	// failureLife is how long a failed connection is remembered that nobody asks for any more.
	failureLife = 15 * time.Minute
	// maxNewcomers is how many can be held back for the first time between two probes before they
	// go into line with the others.
	maxNewcomers, newcomerGap = 100, 2 * time.Millisecond
	// maxFailing bounds how many failed connections a circuit remembers. Those beyond it count for
	// nothing.
	maxFailing = 4096
)

// integration is what a circuit is for: one slug at one base URL.
type integration struct{ base, slug string }

// circuit holds back the callers of an integration that is down. While it is open, single calls
// probe whether it still is; the first answer closes it. It may be open for single shares only.
type circuit struct {
	// failing are the connections whose last call has failed.
	failing map[call]failing
	// row counts answers: what failed in one row failed with no answer in between.
	row int
	// weights are those of the failures of this row, by share.
	weights map[string]int
	// everybody and shares say for whom the circuit is open.
	everybody bool
	shares    map[string]bool
	// probed is when the last probe left, or when the circuit opened; prober is the share that it
	// was for, and misses counts probes that have failed in a row.
	probed time.Time
	prober string
	misses int
	// newcomers counts those that were held back for the first time since the last probe.
	newcomers int
	// lines spread those who are told to come back. firsts is when those come who were told so for
	// the first time.
	lines  lines
	firsts map[call]time.Time
}

// failing says of a connection whose last call has failed in which row it failed first, and when it
// failed last.
type failing struct {
	row int
	at  time.Time
}

func newCircuit() *circuit {
	return &circuit{
		failing: map[call]failing{}, weights: map[string]int{}, shares: map[string]bool{},
		lines: lines{}, firsts: map[call]time.Time{},
	}
}

// failed says whether an outcome is none that WorkOS has decided on.
func failed(outcome Outcome) bool {
	return outcome == OutcomeUnavailable || outcome == OutcomeUnreadable
}

// isOpen says whether the circuit is open for anybody.
func (c *circuit) isOpen() bool { return c.everybody || len(c.shares) > 0 }

// holds says whether it is open for a share.
func (c *circuit) holds(share string) bool { return c.everybody || c.shares[share] }

// concernsSeveral says whether more than one connection has failed since the last answer. What one
// connection alone meets with may be its own trouble.
func (c *circuit) concernsSeveral() bool {
	found := 0
	for _, connection := range c.failing {
		if connection.row == c.row {
			found++
		}
		if found > 1 {
			return true
		}
	}
	return false
}

// fail learns that a call has failed. A connection that had failed before the last answer tells
// nothing: it fails while others work.
func (c *circuit) fail(asked call, turn Turn, now time.Time) {
	before, known := c.failing[asked]
	if !known && len(c.failing) >= maxFailing {
		return
	}
	weight := newWeight
	if turn.proven() {
		weight = provenWeight
	}
	switch {
	case !known:
		before.row = c.row
	case before.row == c.row:
		weight *= repeatFactor
	default:
		weight = 0
	}
	c.failing[asked] = failing{before.row, now}
	c.weights[turn.Share] += weight
	c.trip(turn.Share, now)
}

// trip opens the circuit for a share, or for everybody, if the failures of this row call for it.
func (c *circuit) trip(share string, now time.Time) {
	together := 0
	for _, weight := range c.weights {
		together += min(weight, shareWeight)
	}
	was := c.isOpen()
	c.everybody = c.everybody || together >= tripWeight
	if c.weights[share] >= tripWeight {
		c.shares[share] = true
	}
	if !was && c.isOpen() {
		c.probed, c.prober, c.misses, c.newcomers = now, "", 0, 0
	}
}

// answer learns that WorkOS has answered a call, and says whether that has closed the circuit.
func (c *circuit) answer(asked call) (closed bool) {
	closed = c.isOpen()
	delete(c.failing, asked)
	c.row++
	clear(c.weights)
	clear(c.shares)
	clear(c.lines)
	clear(c.firsts)
	c.everybody = false
	return closed
}

// forget drops connections that nobody asks for any more, and says whether nothing is left to
// remember.
func (c *circuit) forget(now time.Time) (empty bool) {
	for asked, f := range c.failing {
		if now.Sub(f.at) > failureLife {
			delete(c.failing, asked)
		}
	}
	return len(c.failing) == 0 && now.Sub(c.probed) > failureLife
}

// probe notes that a call leaves while the circuit is open for it.
func (c *circuit) probe(turn Turn, now time.Time) {
	c.probed, c.prober, c.newcomers = now, turn.Share, 0
}

// miss notes that a probe has failed.
func (c *circuit) miss() { c.misses++ }

// wait returns how long a call has to wait until it may probe; zero if it may leave.
func (c *circuit) wait(asking call, turn Turn, now time.Time) time.Duration {
	if !c.holds(turn.Share) {
		return 0
	}
	interval, longest := urgentProbe<<min(c.misses, 8), longestProbe
	if turn.urgent(now) {
		interval = urgentProbe
	}
	if c.stepsBack(asking, turn) {
		interval, longest = 2*interval, longestAlone
	}
	interval = min(interval, longest)
	if first, seen := c.firsts[asking]; seen && now.After(first.Add(lineGap)) {
		interval += maxNewcomers * newcomerGap
	}
	return max(0, c.probed.Add(interval).Sub(now))
}

// stepsBack says whether others should probe first: the connection is known to fail, or the last
// probe was for the same share while others wait as well.
func (c *circuit) stepsBack(asking call, turn Turn) bool {
	_, known := c.failing[asking]
	return known || c.everybody && c.prober == turn.Share
}

// hold returns when a call that may not leave shall come back: those that are held back for the
// first time just before the others, the latest of them first, because it is the least likely to be
// one of those that fail; and the others in a line with those that are like them.
func (c *circuit) hold(asking call, turn Turn, now time.Time) time.Duration {
	wait := c.holdInLine(asking, turn, now)
	if urgent := turn.Deadline.Add(-urgentBefore).Sub(now); !turn.Deadline.IsZero() && urgent > 0 {
		return min(wait, urgent) // from then on it probes more often
	}
	return wait
}

func (c *circuit) holdInLine(asking call, turn Turn, now time.Time) time.Duration {
	first, seen := c.firsts[asking]
	if left := first.Sub(now); seen && left > c.wait(asking, turn, now) {
		return left // it asks before its time
	}
	if seen {
		c.firsts[asking] = time.Time{} // its time has come, and another one was first
	}
	wait := c.wait(asking, turn, now)
	room := c.newcomers < maxNewcomers && len(c.firsts) < maxFailing
	if !seen && room && !c.stepsBack(asking, turn) {
		c.newcomers++
		wait += time.Duration(maxNewcomers-c.newcomers) * newcomerGap
		c.firsts[asking] = now.Add(wait)
		return wait
	}
	like := line{
		share: turn.Share, proven: turn.proven(), last: c.stepsBack(asking, turn), urgent: turn.urgent(now),
	}
	return c.lines.join(like, now, wait)
}
