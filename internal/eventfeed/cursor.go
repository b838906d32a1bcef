package eventfeed

import (
	"time"

	"github.com/pipes-operator/pipes-operator/internal/workos"
)

const (
	// Replay is how far back a process looks that has just started. Slow polls find what is older:
	// they come once an hour while events are followed.
	Replay = time.Hour
	// overlap is how much of a time that was asked for before is asked for again. WorkOS does not
	// promise that an event can be seen at the moment that it was created.
	overlap = time.Minute
	// longestCursor is how long the ID of an event is used. WorkOS keeps events for 90 days, and
	// returns at most those of 30 days for one request.
	longestCursor = 7 * 24 * time.Hour
)

// cursor is the place in the list of events up to which all events are known.
type cursor struct {
	// after is the ID of the last event. Empty: none has come yet.
	after string
	// moved is when after was received.
	moved time.Time
	// complete is when the end of the list was last reached. Zero: never.
	complete time.Time
}

// query returns what to ask for next.
func (c cursor) query(now time.Time) workos.EventsQuery {
	switch {
	case c.after != "" && now.Sub(c.moved) < longestCursor:
		return workos.EventsQuery{After: c.after}
	case c.complete.IsZero() || now.Sub(c.complete) > Replay:
		return workos.EventsQuery{Since: now.Add(-Replay)}
	default:
		return workos.EventsQuery{Since: c.complete.Add(-overlap)}
	}
}

// received returns the cursor after an answer.
func (c cursor) received(answer workos.EventsAnswer, now time.Time) cursor {
	if answer.Last != "" {
		c.after, c.moved = answer.Last, now
	}
	if !answer.More {
		c.complete = now
	}
	return c
}
