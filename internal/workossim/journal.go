package workossim

import (
	"context"
	"log/slog"
	"slices"
	"time"
)

// What Request.Result says beside the names of fault kinds and the states of connections that are not connected.
const (
	// ResultToken is an answer with a token.
	ResultToken = "token"
	// ResultUnauthorized is a missing or unknown API key.
	ResultUnauthorized = "unauthorized"
	// ResultBadRequest is a body that is no JSON.
	ResultBadRequest = "bad_request"
	// ResultInvalid is a body that lacks what is required.
	ResultInvalid = "invalid"
	// ResultUnknownSlug is an integration that does not exist.
	ResultUnknownSlug = "unknown_slug"
	// ResultUnknownUser is a user or an organization that does not exist; see Options.UnknownUserNotFound.
	ResultUnknownUser = "unknown_user"
	// ResultUnknownPath is a URL that is not the token endpoint.
	ResultUnknownPath = "unknown_path"
	// ResultMethodNotAllowed is another method than POST.
	ResultMethodNotAllowed = "method_not_allowed"
)

// Request is one request as the simulated WorkOS saw it. It holds neither key nor token.
type Request struct {
	// Time at which it arrived, by the simulator's clock.
	Time time.Time `json:"time"`
	// ID as far as the request gave it.
	ID
	// Key is the Fingerprint of the API key, empty without one.
	Key string `json:"key,omitempty"`
	// Status of the answer, 0 when the fault is that there is none. It was decided when the request arrived: a caller
	// that gave up in the meantime has not seen it.
	Status int `json:"status"`
	// Result is one of the Result constants, the state of a connection that is not connected, or the FaultKind that made
	// the answer what it is.
	Result string `json:"result"`
	// TokenSerial counts a connection's tokens from 1; 0: the answer held no token.
	TokenSerial int `json:"tokenSerial,omitempty"`
	// TokenExpiresAt is when that token expires, as WorkOS knows it; zero: it does not, or there is none. A fault may have made
	// the answer say otherwise.
	TokenExpiresAt time.Time `json:"tokenExpiresAt,omitzero"`
	// UserAgent of the caller.
	UserAgent string `json:"userAgent,omitempty"`
	// RequestID is the X-Request-ID of the answer.
	RequestID string `json:"requestID"`
	// Proto is the HTTP version, such as HTTP/1.1.
	Proto string `json:"proto"`
}

// Requests are all requests since the start or the last ResetRequests, in the order in which they were decided.
func (s *Simulator) Requests() []Request { return s.RequestsAfter(0) }

// RequestsAfter are those of Requests that came after the first n.
func (s *Simulator) RequestsAfter(n int) []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.journal.requests[n:])
}

// RequestsFor are those of Requests that asked for exactly this connection.
func (s *Simulator) RequestsFor(id ID) []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	var requests []Request
	for _, i := range s.journal.byID[id] {
		requests = append(requests, s.journal.requests[i])
	}
	return requests
}

// total is how many requests there are.
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

// journal is the list of requests, with an index for RequestsFor: a benchmark asks it once per connection.
type journal struct {
	requests []Request
	byID     map[ID][]int
	numbered int // requests ever; unlike the list it is never reset, so that request IDs stay unique
}

func (j *journal) add(r Request) {
	if j.byID == nil {
		j.byID = map[ID][]int{}
	}
	j.byID[r.ID] = append(j.byID[r.ID], len(j.requests))
	j.requests = append(j.requests, r)
}

// nextNumber counts requests.
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
