package workos

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/redact"
)

// PageSize is the largest number of events in one answer. WorkOS allows no more.
const PageSize = 100

// EventsQuery says which events to ask for: those after an event, or those since a time.
type EventsQuery struct {
	// After is the ID of the last event that is known. If it is empty, Since counts.
	After string
	// Since is a time of at most 30 days ago, by WorkOS's clock.
	Since time.Time
	// Basic asks only for the types of events that every WorkOS environment knows.
	Basic bool
}

// EventsAnswer is the result of asking for events.
type EventsAnswer struct {
	// Answer tells how WorkOS answered. Its Outcome is OutcomeEvents on success. It never has a
	// token.
	Answer
	// Events are in WorkOS's order: the oldest first.
	Events []Event
	// Last is the ID of the last event, also if that event cannot be read. Empty: there is none.
	Last string
	// More says that there may be more events after these.
	More bool
	// Misunderstood says that WorkOS refuses the request itself (400 or 422): it does not know a
	// type of event, or the event of EventsQuery.After.
	Misunderstood bool
}

// Events asks for events, if it is the call's turn: within the requests per minute of the API
// key, and not while WorkOS asks to wait. As with Token, the error is not nil only when ctx has
// ended, or for a programming error.
func (c *Client) Events(ctx context.Context, query EventsQuery) (answer EventsAnswer, err error) {
	defer func() {
		if p := recover(); p != nil {
			answer, err = EventsAnswer{}, panicError(p)
		}
	}()
	poll := call{base: c.base.String(), poller: c.owner}
	if refusal, refused := c.state.admit(poll, Turn{}, c.upstream.clock.Now()); refused {
		return EventsAnswer{Answer: refusal}, nil
	}
	defer func() { c.state.ended(poll, c.upstream.clock.Now()) }()
	request, err := c.newEventsRequest(ctx, query)
	if err != nil {
		return EventsAnswer{}, fmt.Errorf("asking WorkOS for events: %w", err)
	}
	got := c.send(request)
	if err := ctx.Err(); err != nil {
		return EventsAnswer{}, fmt.Errorf("asking WorkOS for events: %w", err)
	}
	answer = decodeEvents(got, c.key)
	settled, releases := c.state.settle(poll, answer.Answer, c.upstream.clock.Now())
	answer.Answer = settled
	c.upstream.report(releases)
	return answer, nil
}

func (c *Client) newEventsRequest(ctx context.Context, query EventsQuery) (*http.Request, error) {
	types := append([]string{}, basicTypes...)
	if !query.Basic {
		types = append(types, newerTypes...)
	}
	values := url.Values{
		"events": {strings.Join(types, ",")}, "order": {"asc"}, "limit": {strconv.Itoa(PageSize)},
	}
	if query.After != "" {
		values.Set("after", query.After)
	} else {
		values.Set("range_start", query.Since.UTC().Format("2006-01-02T15:04:05.000Z"))
	}
	target := c.base.JoinPath("..", "events")
	target.RawQuery = values.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("building the request: %w", err)
	}
	return request, nil
}

// decodeEvents reads the response to a request for events.
func decodeEvents(got response, key redact.String) EventsAnswer {
	answer := EventsAnswer{Answer: got.answer}
	if answer.Outcome != "" {
		return answer
	}
	if got.status < 200 || got.status > 299 {
		refused := decode(got.status, got.body, got.readErr, key, MethodOAuth)
		answer.Outcome, answer.Message = refused.Outcome, refused.Message
		answer.Misunderstood = got.status == http.StatusBadRequest || got.status == http.StatusUnprocessableEntity
		return answer
	}
	page, err := readMembers(got.body)
	if got.readErr != nil || err != nil || !isList(page["data"]) {
		answer.Outcome, answer.Message = OutcomeUnreadable, "the answer is not a list of events"
		return answer
	}
	items := list(page["data"])
	for _, item := range items {
		event, ok := readEvent(item)
		if event.ID != "" {
			answer.Last = event.ID
		}
		if ok {
			answer.Events = append(answer.Events, event)
		}
	}
	if len(items) > 0 && answer.Last == "" {
		answer.Outcome, answer.Message = OutcomeUnreadable, "the events of the answer have no usable IDs"
		return answer
	}
	metadata, _ := readMembers(page["list_metadata"])
	answer.Outcome, answer.More = OutcomeEvents, metadata.has("after") || len(items) >= PageSize
	return answer
}
