package workos

import (
	"math"
	"slices"
	"time"
)

const (
	// paceSpan is the minute over which requests are paced, and half a second more for how long they take. See budget.
	paceSpan = 60500 * time.Millisecond
	// ticketLife is how long after its time a place in the queue is kept.
	ticketLife = time.Minute
	// minWait is the least that anybody is told to wait, and twice as much each time that others have overtaken, up to 64 times:
	// those at the head would otherwise come back for each request that leaves.
	minWait      = 50 * time.Millisecond
	maxOvertaken = 6
	// recovery is how long the pace takes to grow from nothing to what the limit allows, after WorkOS has asked for less.
	recovery = time.Minute
	// slowest is the least part of the pace that is left.
	slowest = 1. / 16
)

// budget keeps the requests of a key within its requests per minute, n. It never sleeps: who cannot go now is told when its turn will
// come, and comes back for it. It has three parts.
//
// The pace is a token bucket of burst b = max(1, n/120), half a second's worth, and rate r = (n+1-b)/60.5s. Between
// two requests that are d apart a bucket lets at most b + r·d pass, the two included. So within 60 s it is at most
// b + (n+1-b)·60/60.5 < n+1, that is n, for every n from 1 on. A queue that is never empty gets 98 % of n, or more.
//
// The turns are the order of those who wait. Each is told to come back when the bucket will have had enough for all before
// it, and may come up to a minute later: the bucket holds as much more as there are tickets, so that nothing goes to waste
// while somebody waits. Who is overtaken meanwhile by more urgent calls is told again.
//
// The ceiling is what is never exceeded, at the other end of the wire: no more than n requests are under way or have ended in the last
// 60 s. Let WorkOS receive more than n within 60 s. When the last of these was sent, each of the others had been sent, and none had
// ended more than 60 s before, because none ends before it is received: n or more were counted, and the last was not sent. The pace
// alone would let through what is received closer together than it was sent, and a backlog of turns that are taken late. The half
// second keeps the ceiling from being reached while requests take less than that.
//
// When WorkOS itself asks for less (a 429), the pace is halved, and grows back within a minute.
type budget struct {
	limit   int
	tokens  float64
	filled  time.Time // when tokens was right
	turns   *turns
	cleaned time.Time // when turns were last gone through

	// underway is how many requests are, and ended when those of the last 60 s did, oldest first.
	underway int
	ended    []time.Time

	// throttle is the part of the pace that was left at throttled; 1 when WorkOS has not asked for less.
	throttle  float64
	throttled time.Time
}

func newBudget(requestsPerMinute int) *budget {
	return &budget{limit: requestsPerMinute, turns: newTurns(), throttle: 1}
}

// pace is the rate, in requests per second, when WorkOS has not asked for less, and the burst.
func (b *budget) pace() (rate, burst float64) {
	burst = float64(max(1, b.limit/120))
	return (float64(b.limit) + 1 - burst) / paceSpan.Seconds(), burst
}

// part is the part of the pace that holds now.
func (b *budget) part(now time.Time) float64 {
	return min(1, b.throttle+now.Sub(b.throttled).Seconds()/recovery.Seconds())
}

// paced is for how long the whole pace would have to be kept to do as much as is done within d from the instant on: less than d while
// the pace grows back.
func (b *budget) paced(from time.Time, d time.Duration) time.Duration {
	part := b.part(from)
	growing := time.Duration((1 - part) * float64(recovery))
	if d >= growing {
		return d - time.Duration((1-part)*float64(growing)/2)
	}
	return time.Duration(part*float64(d) + float64(d)*float64(d)/(2*float64(recovery)))
}

// slowDown halves the pace, because WorkOS has asked for patience.
func (b *budget) slowDown(now time.Time) {
	b.fill(now)
	b.throttle, b.throttled = max(b.part(now)/2, slowest), now
	b.tokens = min(b.tokens, 1)
}

// setLimit changes the requests per minute. It holds at once.
func (b *budget) setLimit(requestsPerMinute int, now time.Time) {
	if requestsPerMinute != b.limit {
		b.fill(now)
		b.limit = requestsPerMinute
	}
}

// fill brings tokens up to date.
func (b *budget) fill(now time.Time) {
	rate, burst := b.pace()
	if b.filled.IsZero() {
		b.tokens = burst
	} else if passed := now.Sub(b.filled); passed > 0 {
		b.tokens = min(b.tokens+rate*b.paced(b.filled, passed).Seconds(), burst+float64(len(b.turns.waiting)))
	}
	b.filled = now
}

// take lets the call pass and returns 0, or returns how long it has to wait for its turn. Of each that has passed, end is told the end.
func (b *budget) take(c call, turn Turn, now time.Time) time.Duration {
	b.forget(now)
	b.fill(now)
	b.turns.expire(now)
	rate, _ := b.pace()
	held, ahead := b.turns.enter(c, turn, time.Duration(float64(time.Second)/rate), now)
	wait := max(b.untilFilled(ahead+1, now), b.untilBelowCeiling(now))
	if wait <= 0 {
		b.turns.served(held)
		b.tokens--
		b.underway++
		return 0
	}
	if !held.until.IsZero() && !now.Before(held.until) {
		held.overtaken = min(held.overtaken+1, maxOvertaken)
	}
	wait = max(wait, minWait<<held.overtaken)
	held.until = now.Add(wait)
	if held.rank == rankDeadline {
		wait = min(wait, max(held.deadline.Sub(now)/2, minWait)) // to see whether those ahead have been lost meanwhile
	}
	held.told = now.Add(min(wait, maxRetryAfter))
	return wait
}

// untilFilled returns how long it takes until there are so many tokens.
func (b *budget) untilFilled(tokens int, now time.Time) time.Duration {
	const rounding = 1e-6
	missing := float64(tokens) - b.tokens
	if missing <= rounding {
		return 0
	}
	rate, _ := b.pace()
	whole := time.Duration(missing / rate * float64(time.Second))
	part := b.part(now)
	growing := time.Duration((1 - part) * float64(recovery))
	if whole >= b.paced(now, growing) {
		return whole + time.Duration((1-part)*float64(growing)/2)
	}
	// The part that there is, and what it grows by, make up whole: part·t + t²/2 = whole, in units of recovery.
	units := math.Sqrt(part*part+2*whole.Seconds()/recovery.Seconds()) - part
	return time.Duration(units * float64(recovery))
}

// end notes that a request has ended, however it did.
func (b *budget) end(now time.Time) {
	b.underway--
	b.ended = append(b.ended, now)
}

// untilBelowCeiling returns how long it takes at least until fewer than limit requests are under way or have ended within 60 s.
func (b *budget) untilBelowCeiling(now time.Time) time.Duration {
	switch excess := b.underway + len(b.ended) - b.limit; {
	case excess < 0:
		return 0
	case excess < len(b.ended):
		return b.ended[excess].Add(time.Minute + 1).Sub(now)
	default: // One of those under way has to be over for a minute.
		return time.Minute
	}
}

// forget drops what no longer matters: requests of more than 60 s ago and, once a minute, those who have not come back.
func (b *budget) forget(now time.Time) {
	recent := slices.IndexFunc(b.ended, func(at time.Time) bool { return now.Sub(at) <= time.Minute })
	if recent < 0 {
		recent = len(b.ended)
	}
	b.ended = b.ended[recent:]
	if now.Sub(b.cleaned) >= ticketLife {
		b.cleaned = now
		b.turns.forget(now, ticketLife)
	}
}

// idle says whether nothing is under way, or was in the last 60 s.
func (b *budget) idle(now time.Time) bool {
	b.forget(now)
	return b.underway == 0 && len(b.ended) == 0
}
