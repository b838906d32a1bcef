package workossim

import (
	"fmt"
	"slices"
	"time"
)

// eventRetention is how long WorkOS keeps events.
const eventRetention = 90 * 24 * time.Hour

// eventRecord is an event in little memory: a benchmark connects many accounts.
type eventRecord struct {
	serial  int64 // the ID of the event, if emitted is nil
	at      int64 // when it was created, in Unix milliseconds
	kind    EventType
	state   State
	account *account
	emitted *Event // from Emit, instead of the fields above
}

func (r eventRecord) createdAt() time.Time { return time.UnixMilli(r.at).UTC() }

func (r eventRecord) event() Event {
	if r.emitted != nil {
		return *r.emitted
	}
	return Event{
		ID: eventID(r.serial), Type: r.kind, CreatedAt: r.createdAt(),
		Connection: r.account.ID, State: r.state, Scopes: r.account.Scopes,
		accountCreatedAt: time.UnixMilli(r.account.createdAt),
	}
}

func (r eventRecord) hasID(id string, serial int64) bool {
	if r.emitted != nil {
		return r.emitted.ID == id
	}
	return r.serial == serial
}

func (r eventRecord) typeOf() EventType {
	if r.emitted != nil {
		return r.emitted.Type
	}
	return r.kind
}

// eventID returns the ID of the event with the serial. IDs sort like serials.
func eventID(serial int64) string { return fmt.Sprintf("event_01%024d", serial) }

// serialOf returns the serial in an ID, or -1 if eventID did not make the ID.
func serialOf(id string) int64 {
	var serial int64
	if _, err := fmt.Sscanf(id, "event_01%d", &serial); err != nil || eventID(serial) != id {
		return -1
	}
	return serial
}

// eventLog is the list of events, in the order in which they became visible.
type eventLog struct {
	off      bool
	families []EventFamily

	records []eventRecord
	// late are the events that are not visible yet, sorted by the time at which they will be.
	late   []lateRecord
	serial int64
	// lose is the number of changes whose events are lost. delay is how late events of changes
	// become visible.
	lose  int
	delay time.Duration
}

type lateRecord struct {
	eventRecord
	due time.Time
}

// change records the change of an account. was is the state before it.
func (l *eventLog) change(a *account, was State, now time.Time) {
	kind, state := changeOf(was, a.State)
	if l.off || kind == "" {
		return
	}
	if l.lose > 0 {
		l.lose--
		return
	}
	for _, family := range l.families {
		l.serial++
		record := eventRecord{
			serial: l.serial, at: now.UnixMilli(), kind: kind.In(family), state: state, account: a,
		}
		l.add(record, l.delay, now)
	}
}

// changeOf returns the type of the event of a change, and the state in its data. The type is
// empty if the change has no event.
func changeOf(was, is State) (EventType, State) {
	switch {
	case is == Connected:
		return EventConnected, Connected
	case is == was:
		return "", ""
	case is == NeedsReauthorization:
		return EventReauthorizationNeeded, NeedsReauthorization
	case is == NotInstalled && was == NeedsReauthorization:
		return EventDisconnected, NeedsReauthorization
	case is == NotInstalled:
		return EventDisconnected, Connected
	default:
		return "", ""
	}
}

// emit adds an event of Emit, and returns its ID.
func (l *eventLog) emit(e Event, now time.Time) string {
	e = e.withDefaults(now)
	if e.ID == "" {
		l.serial++
		e.ID = eventID(l.serial)
	}
	l.add(eventRecord{at: e.CreatedAt.UnixMilli(), emitted: &e}, e.Delay, now)
	return e.ID
}

func (l *eventLog) add(r eventRecord, delay time.Duration, now time.Time) {
	l.advance(now)
	if delay <= 0 {
		l.records = append(l.records, r)
		return
	}
	due := now.Add(delay)
	after := slices.IndexFunc(l.late, func(other lateRecord) bool { return other.due.After(due) })
	if after < 0 {
		after = len(l.late)
	}
	l.late = slices.Insert(l.late, after, lateRecord{r, due})
}

// advance makes the events visible that are due, and forgets events after the retention.
func (l *eventLog) advance(now time.Time) {
	for len(l.late) > 0 && !l.late[0].due.After(now) {
		l.records = append(l.records, l.late[0].eventRecord)
		l.late = l.late[1:]
	}
	for len(l.records) > 0 && l.expired(l.records[0], now) {
		l.records = l.records[1:]
	}
}

func (l *eventLog) expired(r eventRecord, now time.Time) bool {
	return r.at < now.Add(-eventRetention).UnixMilli()
}

// find returns the position of the last event with the ID, or -1. The search begins at the end,
// because a poller has seen almost everything.
func (l *eventLog) find(id string, now time.Time) int {
	serial := serialOf(id)
	for i := len(l.records) - 1; i >= 0; i-- {
		if l.records[i].hasID(id, serial) && !l.expired(l.records[i], now) {
			return i
		}
	}
	return -1
}
