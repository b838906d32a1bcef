package workossim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// ServeHTTP implements http.Handler.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a, request := s.decide(readCall(r))
	request.log(r.Context(), s.logger)
	s.deliver(w, r, a)
}

// decide makes the decision of WorkOS about a call, including faults, and records it. It does
// both in one step, so that the order of the journal is the order in which tokens were issued.
func (s *Simulator) decide(c call) (*answer, Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	a := c.stray
	if a == nil {
		a = s.answerWithFaults(c, now)
	}
	if a.status == http.StatusMethodNotAllowed {
		a.allow = c.endpoint.method()
	}
	a.requestID = fmt.Sprintf("req_sim_%08d", s.journal.nextNumber())
	request := Request{
		Time: now, ID: c.id, Endpoint: c.endpoint, Query: c.rawQuery,
		Key: Fingerprint(c.key), Status: a.status, Result: a.result,
		TokenSerial: a.token.serial, TokenExpiresAt: a.token.expires, Events: a.items,
		UserAgent: c.userAgent, RequestID: a.requestID, Proto: c.proto,
	}
	s.journal.add(request)
	return a, request
}

// answerWithFaults returns the answer to a call of an endpoint, after all faults that match the
// call.
func (s *Simulator) answerWithFaults(c call, now time.Time) *answer {
	a := s.answerOrFault(c, now)
	for _, f := range s.faults.onTop(c.endpoint, c.id) {
		delay(a, f)
		s.faults.use(f)
	}
	return a
}

// answerOrFault returns the answer to a call after the one fault that decides it.
func (s *Simulator) answerOrFault(c call, now time.Time) *answer {
	f := s.faults.first(c.endpoint, c.id)
	if f != nil && (f.Kind.class() == replaces || f.Kind.class() == silences) {
		a := s.replacement(f)
		s.befall(a, f, now)
		return a
	}
	a := s.genuine(c, now)
	if a.encode(f, now) {
		s.befall(a, f, now)
	}
	return a
}

// genuine returns the answer to a call without faults. It refreshes the token if needed.
func (s *Simulator) genuine(c call, now time.Time) *answer {
	switch {
	case c.endpoint == EndpointCredentials && s.noCredentials:
		return messageAnswer(http.StatusNotFound, ResultUnknownPath, "Not Found")
	case !s.keys[digestOf(c.key)]:
		return statusAnswer(http.StatusUnauthorized, ResultUnauthorized)
	case c.flaw != nil:
		return c.flaw
	case len(c.invalid) > 0:
		return s.invalidAnswer(c)
	case c.endpoint == EndpointEvents:
		return s.listEvents(c.query, now)
	case c.id.Slug != "" && !s.slugs[c.id.Slug]:
		return messageAnswer(http.StatusNotFound, ResultUnknownSlug, "The data integration was not found.")
	case s.unknownUserNotFound && !s.knowsOwner(c.id):
		return messageAnswer(http.StatusNotFound, ResultUnknownUser, "The user or organization was not found.")
	case c.id.Owner == OwnerOrganization && !s.isMember(c.id):
		return messageAnswer(http.StatusForbidden, ResultForbidden,
			"The user is not an active member of the organization.")
	default:
		return s.answerEndpoint(c, now)
	}
}

// answerEndpoint returns the answer to a call that is well formed and allowed.
func (s *Simulator) answerEndpoint(c call, now time.Time) *answer {
	switch c.endpoint {
	case EndpointAuthorize:
		return s.authorizeAnswer(c)
	case EndpointConnectedAccounts:
		return s.connectedAccountAnswer(c)
	case EndpointDataProviders:
		return s.dataProvidersAnswer(c)
	default:
		return s.vend(c, now)
	}
}

// invalidAnswer reports wrong parameters. The authorize endpoint promises no 422.
func (s *Simulator) invalidAnswer(c call) *answer {
	if c.endpoint == EndpointAuthorize {
		first := c.invalid[0]
		return messageAnswer(http.StatusBadRequest, ResultInvalid, first.Field+" is "+first.Code+".")
	}
	return s.validationAnswer(ResultInvalid, c.invalid...)
}

// befall applies the fields of a fault that do not depend on its kind, and counts the fault.
func (s *Simulator) befall(a *answer, f *Fault, now time.Time) {
	if f.Status != 0 {
		a.status = f.Status
	}
	if f.Body != "" {
		a.body = []byte(f.Body)
		if json.Valid(a.body) {
			a.contentType = typeJSON
		}
	}
	a.retryAfter = f.RetryAfter
	if f.RetryAfterDate != 0 {
		a.retryAfter = now.Add(f.RetryAfterDate).Format(http.TimeFormat)
	}
	delay(a, f)
	s.faults.use(f)
}

// delay adds the latency, the hold and the date offset of a fault.
func delay(a *answer, f *Fault) {
	a.latency += f.Latency
	a.dateOffset += f.DateOffset
	if f.Hold != nil {
		a.holds = append(a.holds, f.Hold)
	}
}
