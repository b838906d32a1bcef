package workossim

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// EventType is the type of an event.
type EventType string

// The types that every environment of WorkOS knows.
const (
	EventConnected             EventType = "pipes.connected_account.connected"
	EventDisconnected          EventType = "pipes.connected_account.disconnected"
	EventReauthorizationNeeded EventType = "pipes.connected_account.reauthorization_needed"
	EventConnectionFailed      EventType = "pipes.connected_account.connection_failed"
)

// EventAddFailed exists in FamilyAccountConnection only.
const EventAddFailed EventType = "pipes.account_connection.add_failed"

// EventFamily is one of the two groups of event types.
type EventFamily string

const (
	// FamilyConnectedAccount is the family that every environment knows.
	FamilyConnectedAccount EventFamily = "pipes.connected_account."
	// FamilyAccountConnection is the family that only newer environments know.
	FamilyAccountConnection EventFamily = "pipes.account_connection."
)

// In returns the type of the same name in a family.
func (t EventType) In(family EventFamily) EventType {
	return EventType(family) + t[strings.LastIndex(string(t), ".")+1:]
}

// EventTypes returns all types of the families.
func EventTypes(families ...EventFamily) []EventType {
	var types []EventType
	for _, family := range families {
		for _, t := range []EventType{EventConnected, EventDisconnected, EventReauthorizationNeeded, EventConnectionFailed} {
			types = append(types, t.In(family))
		}
		if family == FamilyAccountConnection {
			types = append(types, EventAddFailed)
		}
	}
	return types
}

// failed reports whether the data of the type is that of a connection that failed.
func (t EventType) failed() bool {
	return strings.HasSuffix(string(t), "_failed")
}

// state returns the state in the data of an event of the type.
func (t EventType) state() State {
	if t.In(FamilyConnectedAccount) == EventReauthorizationNeeded {
		return NeedsReauthorization
	}
	return Connected
}

// Event is one event, for Emit and from Events. Type is required.
type Event struct {
	// ID is unique, and later IDs are greater. Default: the next ID. Emit with the ID of an
	// earlier event repeats it.
	ID   string
	Type EventType
	// CreatedAt is now by default. It may be in the past or in the future.
	CreatedAt time.Time
	// Connection is the connection that the event names. It may not exist.
	Connection ID
	// State is the state in the data. WorkOS sends only Connected and NeedsReauthorization; the
	// state of a disconnected account is its last one. Default: the state that fits the type.
	State  State
	Scopes []string
	// ErrorCode belongs to a connection that failed.
	ErrorCode string
	// Data replaces the whole data, with any JSON.
	Data json.RawMessage
	// Delay makes the event visible this much later, behind all events that are visible then.
	Delay time.Duration

	// accountCreatedAt is when the account was created. Zero: CreatedAt.
	accountCreatedAt time.Time
}

type eventPayload struct {
	Object    string    `json:"object"`
	ID        string    `json:"id"`
	Event     EventType `json:"event"`
	Data      any       `json:"data"`
	CreatedAt string    `json:"created_at"`
}

type eventAccount struct {
	Object            string   `json:"object"`
	ID                string   `json:"id"`
	DataIntegrationID string   `json:"data_integration_id"`
	ProviderSlug      string   `json:"provider_slug"`
	UserID            *string  `json:"user_id"`
	OrganizationID    *string  `json:"organization_id"`
	Scopes            []string `json:"scopes"`
	State             State    `json:"state"`
	CreatedAt         string   `json:"created_at"`
	UpdatedAt         string   `json:"updated_at"`
}

type eventFailure struct {
	Object                   string  `json:"object"`
	DataIntegrationID        string  `json:"data_integration_id"`
	ProviderSlug             string  `json:"provider_slug"`
	UserID                   *string `json:"user_id"`
	OrganizationID           *string `json:"organization_id"`
	ErrorCode                string  `json:"error_code"`
	ErrorReason              *string `json:"error_reason"`
	ProviderError            *string `json:"provider_error"`
	ProviderErrorDescription *string `json:"provider_error_description"`
	CreatedAt                string  `json:"created_at"`
}

// payload returns the event as WorkOS sends it.
func (e Event) payload() eventPayload {
	return eventPayload{Object: "event", ID: e.ID, Event: e.Type, Data: e.data(), CreatedAt: formatTime(e.CreatedAt)}
}

func (e Event) data() any {
	id := e.Connection.canonical()
	switch {
	case e.Data != nil:
		return e.Data
	case e.Type.failed():
		return eventFailure{
			Object: "connection_failed", DataIntegrationID: integrationID(id.Slug), ProviderSlug: id.Slug,
			UserID: orNull(id.UserID), OrganizationID: orNull(id.OrganizationID),
			ErrorCode: e.ErrorCode, CreatedAt: formatTime(e.CreatedAt),
		}
	default:
		return eventAccount{
			Object: "connected_account", ID: AccountID(id),
			DataIntegrationID: integrationID(id.Slug), ProviderSlug: id.Slug,
			UserID: orNull(id.UserID), OrganizationID: orNull(id.OrganizationID),
			Scopes: append([]string{}, e.Scopes...), State: e.State,
			CreatedAt: formatTime(e.accountCreatedAt), UpdatedAt: formatTime(e.CreatedAt),
		}
	}
}

// withDefaults returns the event without memory that it shares with the caller.
func (e Event) withDefaults(now time.Time) Event {
	if e.CreatedAt.IsZero() {
		e.CreatedAt = now
	}
	e.CreatedAt = e.CreatedAt.UTC().Truncate(time.Millisecond)
	if e.State == "" {
		e.State = e.Type.state()
	}
	if e.ErrorCode == "" && e.Type.failed() {
		e.ErrorCode = "access_denied"
	}
	if e.accountCreatedAt.IsZero() {
		e.accountCreatedAt = e.CreatedAt
	}
	e.Connection = e.Connection.asked()
	e.Scopes, e.Data = slices.Clone(e.Scopes), slices.Clone(e.Data)
	return e
}

// integrationID returns the ID of the integration with the slug.
func integrationID(slug string) string {
	return "data_integration_" + digits(slug)
}

func formatTime(at time.Time) string {
	return at.UTC().Format(timeFormat)
}

func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
