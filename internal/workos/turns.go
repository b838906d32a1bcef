package workos

import (
	"cmp"
	"slices"
	"time"
)

// Turn says how urgent a call is compared with other calls. This matters while the requests per
// minute of a key are not enough for all calls, and while calls are held back.
type Turn struct {
	// Deadline is the expiry of the token in use, which the call is to replace. Calls with a
	// deadline go first, the nearest deadline at their head. If it is zero or has passed, no
	// token is lost by waiting.
	Deadline time.Time
	// Idle says that the call only checks whether somebody has fixed a problem, or that its
	// token has no expiry. Idle calls go last.
	Idle bool
	// Share is a group of callers: a namespace. Among calls without a deadline the shares take
	// turns, no matter how many calls each share has.
	Share string
	// Asker identifies the caller by the UID of its object. Another asker of the same Share
	// gets the token that the same request has brought less than 5 s ago. Empty means no
	// particular asker.
	Asker string
	// Refresh says that a user wants a token from a call that leaves now. A token that was brought
	// before is no answer. The answer to a call that another asker has under way is none, either.
	Refresh bool
	// Proven says that the connection has returned a token before, which is still in use. A
	// failure of a proven connection says more about the integration than that of a new
	// connection. Expired says that this token has expired.
	Proven, Expired bool
}

func (t Turn) proven() bool { return t.Proven || t.Expired || !t.Deadline.IsZero() }

// lost reports whether the token in use has expired. Then its user has no valid token for as
// long as this call waits. An idle call does not count.
func (t Turn) lost() bool { return t.Expired && !t.Idle }

// urgent reports whether somebody waits for this call: the token is missing or expired, or is
// about to expire.
func (t Turn) urgent(now time.Time) bool {
	if t.Deadline.IsZero() {
		return t.lost() || !t.Idle && !t.Proven
	}
	return t.Deadline.Sub(now) <= urgentBefore
}

// rank is the first criterion for the order of turns.
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
	// deadline orders the tickets that have one. round orders the others: the n-th call of a
	// share is in its n-th round. If lost is true, the deadline is only a place among the
	// others, see lostPlace.
	deadline time.Time
	lost     bool
	round    int
	share    share
	number   int // in the order of arrival, for tickets that are otherwise equal
	// until is when the turn of the ticket should come, and overtaken counts how often it did
	// not come then. told is when the caller was told to come back. This is before until if the
	// turn may come sooner.
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

// turns are the waiting calls, in the order in which they will leave. An insertion moves all
// tickets behind it. That is 800 KiB of pointers for a hundred thousand calls, and takes less
// time than encoding one request.
type turns struct {
	waiting []*ticket
	byCall  map[call]*ticket
	rounds  map[share]int        // round of the last call of each share
	lost    map[string]time.Time // last lostPlace of each share
	now     [rankIdle + 1]int
	arrived int
}

func newTurns() *turns {
	return &turns{byCall: map[call]*ticket{}, rounds: map[share]int{}, lost: map[string]time.Time{}}
}

// lostDelay decides which renewal goes first. A valid token with less time left than lostDelay
// is renewed before a token that has already expired.
const lostDelay = 5 * time.Second

// lostPlace returns a place for the renewal of an expired token among the renewals of valid
// tokens. It is before those that have more than lostDelay left. But each share gets at most a
// quarter of the pace for expired tokens. gap is the time between two calls at the full pace.
func (q *turns) lostPlace(share string, gap time.Duration, now time.Time) time.Time {
	place := now.Add(lostDelay)
	if next := q.lost[share].Add(4 * gap); next.After(place) {
		place = next
	}
	q.lost[share] = place
	return place
}

// enter gives the call a place, or a new place if its rank or deadline has changed. It returns
// the ticket, and how many tickets are ahead of it. gap is the time between two calls at the
// pace of the key.
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

// served removes a ticket whose turn has come. Its rank goes on from the round of the ticket,
// so that a share that comes later begins there.
func (q *turns) served(held *ticket) {
	q.now[held.rank] = max(q.now[held.rank], held.round-1)
	q.leave(held)
}

func (q *turns) leave(held *ticket) {
	at := q.place(held)
	q.waiting = slices.Delete(q.waiting, at, at+1)
	delete(q.byCall, held.call)
}

// place returns how many tickets are ahead of this ticket.
func (q *turns) place(held *ticket) int {
	at, _ := slices.BinarySearchFunc(q.waiting, held, (*ticket).compare)
	return at
}

// forget drops tickets whose callers have not come back within patience after the time that
// they were told.
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

// expire removes tickets whose deadline has passed, so that tokens that can still be saved go
// first. The removed calls get another place when their callers come back. Tickets whose token
// had already expired stay.
func (q *turns) expire(now time.Time) {
	first := 0
	for ; first < len(q.waiting) && q.waiting[first].rank == rankDeadline &&
		!q.waiting[first].deadline.After(now); first++ {
		if late := q.waiting[first]; !late.lost {
			delete(q.byCall, late.call)
		}
	}
	kept := slices.DeleteFunc(q.waiting[:first:first], func(late *ticket) bool { return !late.lost })
	if gone := first - len(kept); gone > 0 {
		q.waiting = slices.Delete(q.waiting, len(kept), first)
	}
}
