package workos

import (
	"cmp"
	"slices"
	"time"
)

// Turn says how a call stands against others while the requests per minute of a key do not suffice for all of them.
type Turn struct {
	// Deadline is when the token in use expires that the call is to replace. Such calls go first, the nearest deadline at their
	// head. Zero, or past: no token is lost by waiting.
	Deadline time.Time
	// Idle: the call is a look whether somebody has done something. Such calls go last.
	Idle bool
	// Share names who shares with whom: among calls without a deadline each share gets one turn after the other, however many
	// calls another one has. A namespace.
	Share string
	// Asker is who asks: another one of the same Share gets the token that the same request has brought less than 5 s ago. The UID
	// of an object. Empty: nobody in particular.
	Asker string
	// Refresh: somebody wants a token from a call that leaves now. One that was brought before is no answer, nor is that of a call
	// of somebody else which is under way.
	Refresh bool
	// Proven: the connection has returned a token before, which is still in use. Its failures say more of the integration than those
	// of one that never has. Expired: that token has expired.
	Proven, Expired bool
}

func (t Turn) proven() bool { return t.Proven || t.Expired || !t.Deadline.IsZero() }

// lost says whether the token in use has expired, so that somebody is without one for as long as this call waits.
func (t Turn) lost() bool { return t.Expired && !t.Idle }

// urgent says whether somebody waits for this call: no token is there, or it is about to expire.
func (t Turn) urgent(now time.Time) bool {
	if t.Deadline.IsZero() {
		return t.lost() || !t.Idle && !t.Proven
	}
	return t.Deadline.Sub(now) <= urgentBefore
}

// rank is the order of turns, the first part of it.
type rank int

const (
	rankDeadline rank = iota
	rankOrdinary
	rankIdle
)

func (t Turn) rank(now time.Time) rank {
	switch {
	case t.Deadline.After(now), t.lost():
		return rankDeadline
	case t.Idle:
		return rankIdle
	default:
		return rankOrdinary
	}
}

// ticket is a call that waits for its turn.
type ticket struct {
	call call
	rank rank
	// deadline orders those that have one; round orders the others: the n-th call of a share is in its n-th round. lost: the deadline
	// is only a place among the others, see lostPlace.
	deadline time.Time
	lost     bool
	round    int
	share    share
	number   int // of arrival, which decides the rest
	// until is when its turn should come, and overtaken how often it has not. told is when it has been told to come back: before that,
	// if its turn may come sooner.
	until, told time.Time
	overtaken   int
}

func (t *ticket) compare(other *ticket) int {
	return cmp.Or(cmp.Compare(t.rank, other.rank), t.deadline.Compare(other.deadline),
		cmp.Compare(t.round, other.round), cmp.Compare(t.number, other.number))
}

// share is a Turn.Share among calls of one rank.
type share struct {
	rank rank
	name string
}

// turns are the calls that wait, in the order in which they will go. Insertion moves what is behind: 800 KiB of pointers for a
// hundred thousand calls, which takes less than the encoding of one request.
type turns struct {
	waiting []*ticket
	byCall  map[call]*ticket
	rounds  map[share]int        // of the last call of each share
	lost    map[string]time.Time // the last place of each share for a token that has expired
	now     [rankIdle + 1]int
	arrived int
}

func newTurns() *turns {
	return &turns{byCall: map[call]*ticket{}, rounds: map[share]int{}, lost: map[string]time.Time{}}
}

// lostDelay is how much time a token in use may have left to be renewed before one that has expired already.
const lostDelay = 5 * time.Second

// lostPlace puts the renewal of a token that has expired among the renewals of tokens that will: before those that have more than
// lostDelay left, but no more of each share than a quarter of the pace, which is one in every gap.
func (q *turns) lostPlace(share string, gap time.Duration, now time.Time) time.Time {
	place := now.Add(lostDelay)
	if next := q.lost[share].Add(4 * gap); next.After(place) {
		place = next
	}
	q.lost[share] = place
	return place
}

// enter gives the call a place, or another one if its turn is of another rank or deadline now. It returns the ticket and how many go
// before it. gap is the time between two calls at the pace of the key.
func (q *turns) enter(c call, turn Turn, gap time.Duration, now time.Time) (held *ticket, ahead int) {
	rank, deadline, lost := turn.rank(now), time.Time{}, turn.lost()
	held = q.byCall[c]
	switch {
	case lost && held != nil && held.lost:
		deadline = held.deadline
	case lost:
		deadline = q.lostPlace(turn.Share, gap, now)
	case rank == rankDeadline:
		deadline = turn.Deadline
	}
	if held != nil && (held.rank != rank || !held.deadline.Equal(deadline)) {
		q.leave(held)
		held = nil
	}
	if held != nil {
		return held, q.place(held)
	}
	held = &ticket{call: c, rank: rank, deadline: deadline, lost: lost, share: share{rank, turn.Share}, number: q.arrived}
	q.arrived++
	if rank != rankDeadline {
		held.round = max(q.now[rank], q.rounds[held.share]) + 1
		q.rounds[held.share] = held.round
	}
	ahead = q.place(held)
	q.waiting = slices.Insert(q.waiting, ahead, held)
	q.byCall[c] = held
	return held, ahead
}

// served takes a ticket whose turn has come. The round of its rank goes on from there: a share that comes later begins in it.
func (q *turns) served(held *ticket) {
	q.now[held.rank] = max(q.now[held.rank], held.round-1)
	q.leave(held)
}

func (q *turns) leave(held *ticket) {
	at := q.place(held)
	q.waiting = slices.Delete(q.waiting, at, at+1)
	delete(q.byCall, held.call)
}

// place is how many tickets go before this one.
func (q *turns) place(held *ticket) int {
	at, _ := slices.BinarySearchFunc(q.waiting, held, (*ticket).compare)
	return at
}

// forget drops those who have not come back for so long after the time that they were told.
func (q *turns) forget(now time.Time, patience time.Duration) {
	q.waiting = slices.DeleteFunc(q.waiting, func(held *ticket) bool {
		late := now.Sub(held.told) > patience
		if late {
			delete(q.byCall, held.call)
		}
		return late
	})
	clear(q.rounds)
	clear(q.lost)
	for _, held := range q.waiting {
		q.rounds[held.share] = max(q.rounds[held.share], held.round)
	}
}

// expire takes those whose deadline has passed out of the way of those that can still be saved. They get another place when they
// come back. A token that has expired already stays.
func (q *turns) expire(now time.Time) {
	first := 0
	for ; first < len(q.waiting) && q.waiting[first].rank == rankDeadline && !q.waiting[first].deadline.After(now); first++ {
		if late := q.waiting[first]; !late.lost {
			delete(q.byCall, late.call)
		}
	}
	kept := slices.DeleteFunc(q.waiting[:first:first], func(late *ticket) bool { return !late.lost })
	if gone := first - len(kept); gone > 0 {
		q.waiting = slices.Delete(q.waiting, len(kept), first)
	}
}
