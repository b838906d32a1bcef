package workos

import (
	"slices"
	"time"

	"golang.org/x/time/rate"
)

const (
	// paceSpan is the minute over which requests are paced, and a second more. See budget.
	paceSpan = 61 * time.Second
	// slotLife is how long after its time a slot can be collected.
	slotLife = time.Minute
)

// budget keeps the requests of a key within its requests per minute, n. It never sleeps: who cannot go now gets a
// slot, and comes back for it. It has three parts.
//
// The pace is a token bucket of burst b = max(1, n/120), half a second's worth, and rate r = (n+1-b)/61s. Between
// two requests that are d apart a bucket lets at most b + r·d pass, the two included. So within 60 s it is at most
// b + (n+1-b)·60/61 < n+1, that is n, for every n from 1 on. The 61st second is what lets that hold at the other
// end of the wire too, while latencies differ by less than a second. A queue that is never empty gets 97.5 % of n,
// or more.
//
// The slots are the bucket's future: whoever finds it empty reserves its next token, and passes at that time or up
// to a minute later. So calls are served in the order of their arrival, no token goes to waste while somebody
// waits, and those who wait come back one by one.
//
// The ceiling counts what went out in the last 60 s. As slots may be collected late, the pace alone would let a
// backlog of them out on top of those whose time it is. Who finds n counted gets a new slot.
type budget struct {
	limit   int
	pace    *rate.Limiter
	slots   map[call]time.Time
	sent    []time.Time // of the last 60 s, oldest first
	cleaned time.Time   // when slots were last gone through
}

func newBudget(requestsPerMinute int) *budget {
	r, b := pace(requestsPerMinute)
	return &budget{limit: requestsPerMinute, pace: rate.NewLimiter(r, b), slots: map[call]time.Time{}}
}

func pace(requestsPerMinute int) (rate.Limit, int) {
	burst := max(1, requestsPerMinute/120)
	return rate.Limit(float64(requestsPerMinute+1-burst) / paceSpan.Seconds()), burst
}

// setLimit changes the requests per minute. Slots that are given stay as they are; the ceiling moves at once.
func (b *budget) setLimit(requestsPerMinute int, now time.Time) {
	if requestsPerMinute == b.limit {
		return
	}
	r, burst := pace(requestsPerMinute)
	b.limit = requestsPerMinute
	b.pace.SetLimitAt(now, r)
	b.pace.SetBurstAt(now, burst)
}

// take lets the call pass and returns 0, or returns how long it has to wait for its slot.
func (b *budget) take(c call, now time.Time) time.Duration {
	b.forget(now)
	slot, held := b.slots[c]
	held = held && now.Sub(slot) <= slotLife
	if wait := slot.Sub(now); held && wait > 0 {
		return wait
	}
	wait := b.untilBelowCeiling(now)
	if !held || wait > 0 {
		wait = max(wait, b.pace.ReserveN(now, 1).DelayFrom(now))
	}
	if wait > 0 {
		b.slots[c] = now.Add(wait)
		return wait
	}
	delete(b.slots, c)
	b.sent = append(b.sent, now)
	return 0
}

// untilBelowCeiling returns how long it takes until fewer than limit requests lie within 60 s.
func (b *budget) untilBelowCeiling(now time.Time) time.Duration {
	if len(b.sent) < b.limit {
		return 0
	}
	return b.sent[len(b.sent)-b.limit].Add(time.Minute + 1).Sub(now)
}

// forget drops what no longer matters: requests of more than 60 s ago and, once a minute, slots that nobody
// collected.
func (b *budget) forget(now time.Time) {
	recent := slices.IndexFunc(b.sent, func(sent time.Time) bool { return now.Sub(sent) <= time.Minute })
	if recent < 0 {
		recent = len(b.sent)
	}
	b.sent = b.sent[recent:]
	if now.Sub(b.cleaned) < slotLife {
		return
	}
	b.cleaned = now
	for c, slot := range b.slots {
		if now.Sub(slot) > slotLife {
			delete(b.slots, c)
		}
	}
}

// idle says whether nothing was sent in the last 60 s.
func (b *budget) idle(now time.Time) bool {
	b.forget(now)
	return len(b.sent) == 0
}
