package workos

import (
	"encoding/json"
	"regexp"
	"strings"
	"time"
)

// EventKind says what has happened to a connection.
type EventKind string

// The kinds of events. WorkOS has each of them in two families of types.
const (
	// EventConnected: the user has connected, or has connected again.
	EventConnected EventKind = "connected"
	// EventDisconnected: the connection is gone.
	EventDisconnected EventKind = "disconnected"
	// EventReauthorizationNeeded: the user has to connect again.
	EventReauthorizationNeeded EventKind = "reauthorization_needed"
	// EventConnectionFailed: an attempt of the user to connect has failed.
	EventConnectionFailed EventKind = "connection_failed"
	// EventOther is an event of a type that this package does not know.
	EventOther EventKind = "other"
)

// EventKinds returns all kinds. Metrics use it to start each kind at zero.
func EventKinds() []EventKind {
	return []EventKind{
		EventConnected, EventDisconnected, EventReauthorizationNeeded, EventConnectionFailed, EventOther,
	}
}

// Event says that something may have happened to a connection. It is a hint: only the answer to a
// request for the token is the truth.
type Event struct {
	// ID is 1 to 128 characters of [A-Za-z0-9_-].
	ID   string
	Kind EventKind
	// CreatedAt is by WorkOS's clock.
	CreatedAt time.Time
	// Slug, UserID and OrganizationID name the connection. UserID is empty for a connection of an
	// organization. They come from outside: nothing says that such a connection exists.
	Slug, UserID, OrganizationID string
}

const (
	basicFamily = "pipes.connected_account."
	newerFamily = "pipes.account_connection."
)

// basicTypes are known to every WorkOS environment, and newerTypes only to some. An environment
// may refuse a request that names a type which it does not know.
var (
	basicTypes = []string{
		basicFamily + "connected", basicFamily + "disconnected",
		basicFamily + "reauthorization_needed", basicFamily + "connection_failed",
	}
	newerTypes = []string{
		newerFamily + "connected", newerFamily + "disconnected", newerFamily + "reauthorization_needed",
		newerFamily + "connection_failed", newerFamily + "add_failed",
	}
)

// eventID is the pattern of the IDs that are sent back to WorkOS.
var eventID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

// maxName bounds the slug and the IDs of an event, in bytes. The CRD allows no longer ones.
const maxName = 128

// readEvent reads an event. If it returns false, the event cannot be used, but its ID may be.
func readEvent(raw json.RawMessage) (event Event, ok bool) {
	object, err := readMembers(raw)
	if err != nil {
		return Event{}, false
	}
	if id, _ := object.text("id"); eventID.MatchString(id) {
		event.ID = id
	}
	kind, _ := object.text("event")
	event.Kind = kindOf(kind)
	created, _ := object.text("created_at")
	if event.CreatedAt, err = parseExpiry(created); err != nil {
		return event, false
	}
	data, err := readMembers(object["data"])
	if err != nil {
		return event, false
	}
	event.Slug, _ = data.text("provider_slug")
	event.UserID, _ = data.text("user_id")
	event.OrganizationID, _ = data.text("organization_id")
	return event, event.ID != "" && event.names()
}

// names reports whether the event names a connection that a PipesToken can name.
func (e Event) names() bool {
	return slugPattern.MatchString(e.Slug) && len(e.Slug) <= maxName && len(e.UserID) <= maxName &&
		len(e.OrganizationID) <= maxName && (e.UserID != "" || e.OrganizationID != "")
}

func kindOf(name string) EventKind {
	for _, family := range []string{basicFamily, newerFamily} {
		kind, ok := strings.CutPrefix(name, family)
		if !ok {
			continue
		}
		switch known := EventKind(kind); known {
		case EventConnected, EventDisconnected, EventReauthorizationNeeded, EventConnectionFailed:
			return known
		default:
			return EventOther
		}
	}
	return EventOther
}

func isList(raw json.RawMessage) bool { return len(raw) > 0 && raw[0] == '[' }
