package workos

import (
	"time"
)

// A circuit opens when an integration fails for several connections. Then a hundred thousand
// other connections need not make a request to find out. Each failure since the last answer has
// a weight, and the circuit opens at tripWeight.
const (
	// provenWeight is the weight of a connection that has returned tokens before. newWeight is
	// that of a connection that never has: its failure may well be the user's own trouble. The
	// weight is multiplied by repeatFactor when the connection fails again and no connection
	// has been answered in between.
	provenWeight, newWeight, repeatFactor = 10, 1, 2
	// tripWeight is the weight of five proven connections, or of fifty new ones.
	tripWeight = 50
	// shareWeight is the most that one share (namespace) adds to the sum that opens the circuit
	// for everybody. One namespace alone therefore holds back only itself.
	shareWeight = 20
)

const (
	// slowCall is how long a call may be under way before it counts as failed until it is
	// answered.
	slowCall = 2 * time.Second
	// urgentProbe is the least time between two probes while a token is expired, missing or
	// about to expire. A connection that is known to fail waits twice as long, so that another
	// connection can probe first.
	urgentProbe = 2 * time.Second
	// longestProbe bounds the time between two probes while no token is urgent. That time
	// begins at urgentProbe and doubles with each failed probe.
	longestProbe = 30 * time.Second
	// longestAlone is the bound for connections that are known to fail. They must probe, too:
	// possibly no other connection asks.
	longestAlone = 5 * time.Minute
	// urgentBefore is how long before its expiry a token becomes urgent.
	urgentBefore = time.Minute
	// failureLife is how long a connection is remembered after its last failure.
	failureLife = 15 * time.Minute
	// maxNewcomers is how many callers between two probes are treated as newcomers, which means
	// that they are held back for the first time. Newcomers come back newcomerGap apart.
	// Further callers stand in line with the others.
	maxNewcomers, newcomerGap = 100, 2 * time.Millisecond
	// maxFailing bounds how many failed connections a circuit remembers. The failures of
	// further connections do not count.
	maxFailing = 4096
)

// integration identifies a circuit: one slug at one base URL.
type integration struct{ base, slug string }

// circuit holds back the callers of an integration that is down. While it is open, single calls
// probe whether the integration is still down. The first answer closes the circuit. A circuit
// may be open for some shares only.
type circuit struct {
	// failing has the connections whose last call failed.
	failing map[call]failing
	// row counts answers. WorkOS gave no answer between two failures of the same row.
	row int
	// weights has, for each share, the sum of the weights of its failures in this row.
	weights map[string]int
	// everybody and shares say for whom the circuit is open.
	everybody bool
	shares    map[string]bool
	// probed is when the last probe left, or when the circuit opened. prober is the share of
	// the last probe. misses counts the probes that have failed in a row.
	probed time.Time
	prober string
	misses int
	// newcomers counts the callers that were held back for the first time since the last probe.
	newcomers int
	// lines spread the times at which held-back callers come back. firsts has the time that a
	// caller was given when it was held back for the first time, or zero once that time has
	// passed.
	lines  lines
	firsts map[call]time.Time
}

// failing describes a connection whose last call failed: the row in which it failed first, and
// the time of its last failure.
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

// failed reports whether an outcome counts as a failure: it is not an answer of WorkOS.
func failed(outcome Outcome) bool {
	return outcome == OutcomeUnavailable || outcome == OutcomeUnreadable
}

// isOpen reports whether the circuit is open for everybody or for at least one share.
func (c *circuit) isOpen() bool { return c.everybody || len(c.shares) > 0 }

// holds reports whether the circuit is open for a share.
func (c *circuit) holds(share string) bool { return c.everybody || c.shares[share] }

// concernsSeveral reports whether more than one connection has failed since the last answer.
// The failures of a single connection may be its own trouble.
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

// fail records that a call has failed. A connection that failed already before the last answer
// adds no weight: it fails while others work.
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

// trip opens the circuit for a share, or for everybody, if the weights of this row are high
// enough.
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

// answer records that WorkOS has answered a call, closes the circuit, and reports whether it
// was open.
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

// forget drops connections whose last failure is older than failureLife, and reports whether
// the circuit has nothing left to remember.
func (c *circuit) forget(now time.Time) (empty bool) {
	for asked, f := range c.failing {
		if now.Sub(f.at) > failureLife {
			delete(c.failing, asked)
		}
	}
	return len(c.failing) == 0 && now.Sub(c.probed) > failureLife
}

// probe records that a call leaves while the circuit is open for it.
func (c *circuit) probe(turn Turn, now time.Time) {
	c.probed, c.prober, c.newcomers = now, turn.Share, 0
}

// miss records that a probe has failed.
func (c *circuit) miss() { c.misses++ }

// wait returns how long a call has to wait until it may probe; zero means that it may leave.
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

// stepsBack reports whether other calls should probe first: the connection is known to fail, or
// the last probe was for the same share although other shares wait as well.
func (c *circuit) stepsBack(asking call, turn Turn) bool {
	_, known := c.failing[asking]
	return known || c.everybody && c.prober == turn.Share
}

// hold returns how long a caller that may not leave has to stay away. Callers that are held
// back for the first time come back just before the others. The latest of them comes first,
// because it is the least likely to be a connection that fails. The other callers stand in line
// with callers that are like them.
func (c *circuit) hold(asking call, turn Turn, now time.Time) time.Duration {
	wait := c.holdInLine(asking, turn, now)
	if urgent := turn.Deadline.Add(-urgentBefore).Sub(now); !turn.Deadline.IsZero() && urgent > 0 {
		return min(wait, urgent) // then the call may probe more often
	}
	return wait
}

func (c *circuit) holdInLine(asking call, turn Turn, now time.Time) time.Duration {
	first, seen := c.firsts[asking]
	if left := first.Sub(now); seen && left > c.wait(asking, turn, now) {
		return left // the caller comes before its time
	}
	if seen {
		c.firsts[asking] = time.Time{} // the caller came at its time, but another call probed first
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
