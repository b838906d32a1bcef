package workos

import (
	"math"
	"slices"
	"time"
)

const (
	// paceSpan is the minute over which requests are paced, plus half a second, because
	// requests take time. See budget.
	paceSpan = 60500 * time.Millisecond
	// ticketLife is how long a ticket is kept after the time at which its caller should come back.
	ticketLife = time.Minute
	// minWait is the shortest wait that a caller is given. It doubles each time that other
	// calls have overtaken the caller, up to maxOvertaken times (to 64 times minWait).
	// Otherwise the callers at the head would come back for each request that leaves.
	minWait      = 50 * time.Millisecond
	maxOvertaken = 6
	// recovery is how long the pace takes to grow from zero to the full pace after a 429.
	recovery = time.Minute
	// slowest is the smallest part of the full pace that remains after any number of 429s.
	slowest = 1. / 16
)

// budget keeps the requests of an API key within n, its requests per minute. It never sleeps: a
// call that cannot leave now is told when its turn comes, and its caller comes back then. The
// budget has three parts.
//
// The pace is a token bucket with the burst b = max(1, n/120), which is half a second of
// requests, and the rate r = (n+1-b)/60.5s. Between two requests that are d apart, a bucket
// lets at most b + r·d requests pass, including these two. Within 60 s these are at most
// b + (n+1-b)·60/60.5 < n+1 requests, which means at most n, for every n from 1 on. A queue
// that is never empty gets at least 98 % of n.
//
// The turns are the order of the waiting calls. Each caller is told to come back when the bucket
// will hold enough for its call and for all calls ahead of it. The caller may come up to a minute
// later: the bucket may hold one more token for each ticket, so that no capacity is lost while a
// call waits. A caller that more urgent calls have overtaken in the meantime is given a new time.
//
// The ceiling is a limit that is never exceeded, even at the time when WorkOS receives the
// requests: at most n requests are under way or have ended within the last 60 s. Proof: suppose
// that WorkOS receives more than n requests within 60 s, and take the request that was sent
// last. When it was sent, all the others had been sent. None of them had ended more than 60 s
// before, because a request ends only after WorkOS has received it. Then at least n requests
// were counted when it asked to leave, so it was not sent: a contradiction.
//
// The pace alone is not enough for this: WorkOS may receive requests closer together than they
// were sent, and callers may take a backlog of turns late. The half second in the rate makes
// sure that requests do not reach the ceiling while each takes less than half a second.
//
// When WorkOS limits the rate (429), the pace is halved. It grows back within a minute.
type budget struct {
	limit   int
	tokens  float64
	filled  time.Time // when tokens was computed
	turns   *turns
	cleaned time.Time // when turns was last cleaned up

	// underway is the number of requests under way. ended has the end of each request that
	// ended within the last 60 s, oldest first.
	underway int
	ended    []time.Time

	// throttle is the part of the full pace that was left at the time throttled. It is 1 while
	// WorkOS has not limited the rate.
	throttle  float64
	throttled time.Time
}

func newBudget(requestsPerMinute int) *budget {
	return &budget{limit: requestsPerMinute, turns: newTurns(), throttle: 1}
}

// pace returns the burst, and the full rate in requests per second, without the effect of a 429.
func (b *budget) pace() (rate, burst float64) {
	burst = float64(max(1, b.limit/120))
	return (float64(b.limit) + 1 - burst) / paceSpan.Seconds(), burst
}

// part returns the part of the full pace that is allowed now, at most 1.
func (b *budget) part(now time.Time) float64 {
	return min(1, b.throttle+now.Sub(b.throttled).Seconds()/recovery.Seconds())
}

// paced returns the time in which the full pace allows as many requests as the actual pace
// allows in the time d after from. It is less than d while the pace grows back after a 429.
func (b *budget) paced(from time.Time, d time.Duration) time.Duration {
	part := b.part(from)
	growing := time.Duration((1 - part) * float64(recovery))
	if d >= growing {
		return d - time.Duration((1-part)*float64(growing)/2)
	}
	return time.Duration(part*float64(d) + float64(d)*float64(d)/(2*float64(recovery)))
}

// slowDown halves the pace, because WorkOS has limited the rate (429).
func (b *budget) slowDown(now time.Time) {
	b.fill(now)
	b.throttle, b.throttled = max(b.part(now)/2, slowest), now
	b.tokens = min(b.tokens, 1)
}

// setLimit changes the requests per minute, with immediate effect.
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

// take lets the call pass and returns 0, or returns how long the call has to wait for its turn.
// For each call that passes, the caller must call end when the request is over.
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
		// The caller comes back early to check its place: calls ahead of it leave the queue
		// when their deadline passes.
		wait = min(wait, max(held.deadline.Sub(now)/2, minWait))
	}
	held.told = now.Add(min(wait, maxRetryAfter))
	return wait
}

// untilFilled returns how long it takes until the bucket holds this number of tokens.
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
	// With the current part of the pace and its growth, the time t (in units of recovery)
	// solves part·t + t²/2 = whole.
	units := math.Sqrt(part*part+2*whole.Seconds()/recovery.Seconds()) - part
	return time.Duration(units * float64(recovery))
}

// end records that a request has ended, with or without success.
func (b *budget) end(now time.Time) {
	b.underway--
	b.ended = append(b.ended, now)
}

// untilBelowCeiling returns the least time until fewer than limit requests are under way or
// have ended within the last 60 s.
func (b *budget) untilBelowCeiling(now time.Time) time.Duration {
	switch excess := b.underway + len(b.ended) - b.limit; {
	case excess < 0:
		return 0
	case excess < len(b.ended):
		return b.ended[excess].Add(time.Minute + 1).Sub(now)
	// At least one request that is under way must end, and then a minute must pass.
	default:
		return time.Minute
	}
}

// forget drops requests that ended more than 60 s ago and, once a minute, tickets whose callers
// have not come back.
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

// idle reports whether no request is under way or has ended within the last 60 s.
func (b *budget) idle(now time.Time) bool {
	b.forget(now)
	return b.underway == 0 && len(b.ended) == 0
}
