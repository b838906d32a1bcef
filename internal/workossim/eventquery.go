package workossim

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// eventRange is how many days of events WorkOS returns at most in one request.
const eventRange = 30 * 24 * time.Hour

// Limits of a page of events.
const (
	defaultEventLimit = 10
	maxEventLimit     = 100
)

// eventQuery is a request for events.
type eventQuery struct {
	types      []EventType
	ascending  bool
	limit      int
	after      string
	start, end time.Time // zero: no limit
}

type eventPage struct {
	Object       string         `json:"object"`
	Data         []eventPayload `json:"data"`
	ListMetadata struct {
		After *string `json:"after"`
	} `json:"list_metadata"`
}

// listEvents answers the events endpoint.
func (s *Simulator) listEvents(values url.Values, now time.Time) *answer {
	if s.eventsForbidden {
		return messageAnswer(http.StatusForbidden, ResultForbidden, "The API key may not read events.")
	}
	q, invalid := readEventQuery(values, now)
	if len(invalid) > 0 {
		return s.validationAnswer(ResultInvalid, invalid...)
	}
	for _, t := range q.types {
		if !slices.Contains(s.eventTypes, t) {
			return s.unknownTypeAnswer(t)
		}
	}
	return s.events.page(q, now)
}

// unknownTypeAnswer refuses a whole request because of one type.
func (s *Simulator) unknownTypeAnswer(t EventType) *answer {
	a := errorPayload{
		Code:    "unknown_event_type",
		Message: "Unknown event type: " + string(t),
		Errors:  []fieldError{{Code: "unknown_event_type", Field: "events"}},
	}
	return jsonError(http.StatusUnprocessableEntity, ResultUnknownEventType, a)
}

func readEventQuery(values url.Values, now time.Time) (eventQuery, []fieldError) {
	var b body // collects the errors
	q := eventQuery{limit: defaultEventLimit, after: values.Get("after")}
	if values.Get("events") == "" {
		b.reject("required", "events")
	}
	for name := range strings.SplitSeq(values.Get("events"), ",") {
		q.types = append(q.types, EventType(name))
	}
	switch values.Get("order") {
	case "asc":
		q.ascending = true
	case "", "desc", "normal":
	default:
		b.reject("invalid", "order")
	}
	if limit := values.Get("limit"); limit != "" {
		var err error
		if q.limit, err = strconv.Atoi(limit); err != nil || q.limit < 1 || q.limit > maxEventLimit {
			b.reject("invalid", "limit")
		}
	}
	q.start, q.end = b.eventRange(values, now)
	return q, b.invalid
}

// eventRange reads the range of a request. Without after and range_start, it is the last 30 days.
func (b *body) eventRange(values url.Values, now time.Time) (start, end time.Time) {
	if values.Has("after") {
		if values.Has("range_start") {
			b.reject("mutually_exclusive", "range_start")
		}
		return time.Time{}, time.Time{}
	}
	if !values.Has("range_start") {
		return now.Add(-eventRange), time.Time{}
	}
	start, err := parseISO8601(values.Get("range_start"))
	if err != nil {
		b.reject("invalid", "range_start")
	}
	return start, start.Add(eventRange)
}

// parseISO8601 reads the forms of ISO 8601 that callers use.
func parseISO8601(text string) (at time.Time, err error) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", time.DateOnly} {
		if at, err = time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	return time.Time{}, err
}

// page returns the answer to a request for events.
func (l *eventLog) page(q eventQuery, now time.Time) *answer {
	l.advance(now)
	step, next := 1, 0
	if !q.ascending {
		step, next = -1, len(l.records)-1
	}
	if q.after != "" {
		found := l.find(q.after, now)
		if found < 0 {
			return messageAnswer(http.StatusBadRequest, ResultUnknownEvent, "The event of after was not found.")
		}
		next = found + step
	}
	page := eventPage{Object: "list", Data: []eventPayload{}}
	for ; next >= 0 && next < len(l.records); next += step {
		record := l.records[next]
		if !q.wants(record) || l.expired(record, now) {
			continue
		}
		if len(page.Data) == q.limit {
			last := page.Data[q.limit-1].ID
			page.ListMetadata.After = &last
			break
		}
		page.Data = append(page.Data, record.event().payload())
	}
	a := plainAnswer(ResultEvents, page)
	a.items = len(page.Data)
	return a
}

func (q eventQuery) wants(r eventRecord) bool {
	at := r.createdAt()
	return slices.Contains(q.types, r.typeOf()) &&
		!at.Before(q.start.Truncate(time.Millisecond)) && (q.end.IsZero() || !at.After(q.end))
}
