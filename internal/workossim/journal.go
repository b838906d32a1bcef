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
	// ResultToken is an answer with a token.
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
	// ResultUnknownPath is a URL that is not the token endpoint.
	ResultUnknownPath = "unknown_path"
	// ResultMethodNotAllowed is a method other than POST.
	ResultMethodNotAllowed = "method_not_allowed"
)

// Request is one request as the simulated WorkOS saw it. It contains neither key nor token.
type Request struct {
	// Time is when the request arrived, by the clock of the simulator.
	Time time.Time `json:"time"`
	// ID is the connection, as far as the request names it.
	ID
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

// Requests returns all requests since the start or the last ResetRequests, in the order in
// which they were decided.
func (s *Simulator) Requests() []Request { return s.RequestsAfter(0) }

// RequestsAfter returns Requests without the first n.
func (s *Simulator) RequestsAfter(n int) []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.journal.requests[n:])
}

// RequestsFor returns the requests that asked for exactly this connection.
func (s *Simulator) RequestsFor(id ID) []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	var requests []Request
	for _, i := range s.journal.byID[id] {
		requests = append(requests, s.journal.requests[i])
	}
	return requests
}

// total returns the number of requests.
func (s *Simulator) total() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.journal.requests)
}

// ResetRequests forgets all requests so far.
func (s *Simulator) ResetRequests() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.journal.requests, s.journal.byID = nil, nil
}

// journal is the list of requests, with an index for RequestsFor. A benchmark calls RequestsFor
// once per connection.
type journal struct {
	requests []Request
	byID     map[ID][]int
	// numbered counts all requests. It is never reset, unlike the list, so that request IDs
	// stay unique.
	numbered int
}

func (j *journal) add(r Request) {
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
		slog.String("slug", r.Slug),
		slog.String("user", r.UserID),
		slog.String("organization", r.OrganizationID),
		slog.String("key", r.Key),
		slog.Int("status", r.Status),
		slog.String("result", r.Result),
		slog.Int("tokenSerial", r.TokenSerial),
	)
}
