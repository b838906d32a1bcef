package workossim

import (
	"context"
	"log/slog"
	"slices"
	"time"
)

// Values of Request.Result, beside the fault kinds and the states of connections that are not
// connected.
const (
	// ResultToken is an answer with a token or another credential.
	ResultToken = "token"
	// ResultUnauthorized is a missing or unknown API key.
	ResultUnauthorized = "unauthorized"
	// ResultBadRequest is a body that cannot be read, is not a JSON object, or does not have
	// the Content-Type application/json.
	ResultBadRequest = "bad_request"
	// ResultInvalid is a body in which a required field is missing, or a field is invalid.
	ResultInvalid = "invalid"
	// ResultUnknownSlug is an integration that does not exist.
	ResultUnknownSlug = "unknown_slug"
	// ResultUnknownUser is a user or an organization that does not exist; see
	// Options.UnknownUserNotFound.
	ResultUnknownUser = "unknown_user"
	// ResultUnknownAccount is a connected account that does not exist.
	ResultUnknownAccount = "unknown_account"
	// ResultForbidden is a user who is not a member of the organization, or a key that may not
	// read events.
	ResultForbidden = "forbidden"
	// ResultEvents is an answer with events.
	ResultEvents = "events"
	// ResultUnknownEvent is a cursor that is unknown or older than the retention.
	ResultUnknownEvent = "unknown_event"
	// ResultUnknownEventType is a type that the environment does not know.
	ResultUnknownEventType = "unknown_event_type"
	// ResultAuthorizeURL, ResultConnectedAccount and ResultDataProviders are the answers of the
	// endpoints of the same names.
	ResultAuthorizeURL     = "authorize_url"
	ResultConnectedAccount = "connected_account"
	ResultDataProviders    = "data_providers"
	// ResultUnknownPath is a URL that is not an endpoint, or is one that the environment does not
	// have.
	ResultUnknownPath = "unknown_path"
	// ResultMethodNotAllowed is a method other than that of the endpoint.
	ResultMethodNotAllowed = "method_not_allowed"
)

// Request is one request as the simulated WorkOS saw it. It contains neither key nor token.
type Request struct {
	// Time is when the request arrived, by the clock of the simulator.
	Time time.Time `json:"time"`
	// ID is the connection, as far as the request names it.
	ID
	// Endpoint is empty for a URL that is not an endpoint.
	Endpoint Endpoint `json:"endpoint,omitempty"`
	// Query is the query of a GET, as it was sent.
	Query string `json:"query,omitempty"`
	// Events is the number of events in the answer.
	Events int `json:"events,omitempty"`
	// Key is the Fingerprint of the API key. It is empty without a key.
	Key string `json:"key,omitempty"`
	// Status is the status of the answer, or 0 if a fault sends no answer. It was decided when
	// the request arrived. A caller that gave up in the meantime has not seen it.
	Status int `json:"status"`
	// Result is one of the Result constants, the state of a connection that is not connected,
	// or the FaultKind that decided the answer.
	Result string `json:"result"`
	// TokenSerial is the serial of the token in the answer. The first token of a connection has
	// serial 1. Zero means that the answer has no token.
	TokenSerial int `json:"tokenSerial,omitempty"`
	// TokenExpiresAt is when that token expires in WorkOS. Zero means that the token does not
	// expire, or that there is no token. A fault may have put another time into the answer.
	TokenExpiresAt time.Time `json:"tokenExpiresAt,omitzero"`
	// UserAgent is the User-Agent of the caller.
	UserAgent string `json:"userAgent,omitempty"`
	// RequestID is the X-Request-ID of the answer.
	RequestID string `json:"requestID"`
	// Proto is the HTTP version, such as HTTP/1.1.
	Proto string `json:"proto"`
}

// recordedApart reports whether requests of the endpoint are absent from Requests.
func (e Endpoint) recordedApart() bool { return e != "" && !e.vends() }

// Requests returns all requests for tokens and credentials, and all requests that are no call of
// an endpoint, since the start or the last ResetRequests, in the order in which they were
// decided. RequestsTo returns the requests of all other endpoints.
func (s *Simulator) Requests() []Request { return s.RequestsAfter(0) }

// RequestsAfter returns Requests without the first n.
func (s *Simulator) RequestsAfter(n int) []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.journal.requests[n:])
}

// RequestsFor returns those of Requests that asked for exactly this connection. The ID names the
// user who asked for the connection of an organization.
func (s *Simulator) RequestsFor(id ID) []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	var requests []Request
	for _, i := range s.journal.byID[id.asked()] {
		requests = append(requests, s.journal.requests[i])
	}
	return requests
}

// RequestsTo returns all requests of one endpoint.
func (s *Simulator) RequestsTo(e Endpoint) []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := s.journal.requests
	if e.recordedApart() {
		from = s.journal.apart
	}
	var requests []Request
	for _, r := range from {
		if r.Endpoint == e {
			requests = append(requests, r)
		}
	}
	return requests
}

// EventRequests returns all requests for events.
func (s *Simulator) EventRequests() []Request { return s.RequestsTo(EndpointEvents) }

// total returns the number of Requests.
func (s *Simulator) total() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.journal.requests)
}

// ResetRequests forgets all requests so far.
func (s *Simulator) ResetRequests() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.journal.requests, s.journal.byID, s.journal.apart = nil, nil, nil
}

// journal is the list of requests, with an index for RequestsFor. A benchmark calls RequestsFor
// once per connection.
type journal struct {
	requests []Request
	byID     map[ID][]int
	// apart are the requests of endpoints that do not vend.
	apart []Request
	// numbered counts all requests. It is never reset, unlike the list, so that request IDs
	// stay unique.
	numbered int
}

func (j *journal) add(r Request) {
	if r.Endpoint.recordedApart() {
		j.apart = append(j.apart, r)
		return
	}
	if j.byID == nil {
		j.byID = map[ID][]int{}
	}
	j.byID[r.ID] = append(j.byID[r.ID], len(j.requests))
	j.requests = append(j.requests, r)
}

// nextNumber returns the number of the next request.
func (j *journal) nextNumber() int {
	j.numbered++
	return j.numbered
}

// log writes a request to a log.
func (r Request) log(ctx context.Context, logger *slog.Logger) {
	logger.LogAttrs(ctx, slog.LevelInfo, "Request",
		slog.String("requestID", r.RequestID),
		slog.String("endpoint", string(r.Endpoint)),
		slog.String("slug", r.Slug),
		slog.String("user", r.UserID),
		slog.String("organization", r.OrganizationID),
		slog.String("key", r.Key),
		slog.Int("status", r.Status),
		slog.String("result", r.Result),
		slog.Int("tokenSerial", r.TokenSerial),
	)
}
