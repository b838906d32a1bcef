package workossim

import (
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
		a.allow = http.MethodPost
	}
	a.requestID = fmt.Sprintf("req_sim_%08d", s.journal.nextNumber())
	request := Request{
		Time: now, ID: c.id, Key: Fingerprint(c.key), Status: a.status, Result: a.result,
		TokenSerial: a.token.serial, TokenExpiresAt: a.token.expires,
		UserAgent: c.userAgent, RequestID: a.requestID, Proto: c.proto,
	}
	s.journal.add(request)
	return a, request
}

// answerWithFaults returns the answer to a call of the token endpoint, after all faults that
// match the call.
func (s *Simulator) answerWithFaults(c call, now time.Time) *answer {
	a := s.answerOrFault(c, now)
	for _, f := range s.faults.onTop(c.id) {
		delay(a, f)
		s.faults.use(f)
	}
	return a
}

// answerOrFault returns the answer to a call after the one fault that decides it.
func (s *Simulator) answerOrFault(c call, now time.Time) *answer {
	f := s.faults.first(c.id)
	if f != nil && (f.Kind.class() == replaces || f.Kind.class() == silences) {
		a := replacement(f)
		s.befall(a, f, now)
		return a
	}
	a := s.genuine(c, now)
	spoiled := f != nil && a.payload != nil && (a.payload.Active || f.Kind.class() == spoilsAnswer)
	if spoiled {
		a.result = string(f.Kind)
		spoilPayload(a, f.Kind, now)
	}
	if a.payload != nil {
		a.contentType, a.body = typeJSON, mustMarshal(a.payload)
	}
	if spoiled {
		spoilBody(a, f.Kind)
		s.befall(a, f, now)
	}
	return a
}

// genuine returns the answer to a call without faults. It refreshes the token if needed.
func (s *Simulator) genuine(c call, now time.Time) *answer {
	switch {
	case !s.keys[digestOf(c.key)]:
		return statusAnswer(http.StatusUnauthorized, ResultUnauthorized)
	case c.flaw != nil:
		return c.flaw
	case !s.slugs[c.id.Slug]:
		return messageAnswer(http.StatusNotFound, ResultUnknownSlug, "The data integration was not found.")
	case s.unknownUserNotFound && !s.knowsOwner(c.id):
		return messageAnswer(http.StatusNotFound, ResultUnknownUser, "The user or organization was not found.")
	}
	account, found := s.find(c.id)
	if !found {
		return inactiveAnswer(NotInstalled)
	}
	s.accounts[c.id] = account
	switch {
	case account.State != Connected:
		return inactiveAnswer(account.State)
	case account.refreshesAt(now):
		s.issue(account)
	}
	return tokenAnswer(account)
}

// knowsOwner reports whether connections, of any slug, name the user, and the organization if
// the call has an organization. If everyone is connected at the slug, the result is true.
func (s *Simulator) knowsOwner(id ID) bool {
	if _, everyone := s.everyone[id.Slug]; everyone {
		return true
	}
	user, organization := false, id.OrganizationID == ""
	for known := range s.accounts {
		user = user || known.UserID == id.UserID
		organization = organization || known.OrganizationID == id.OrganizationID
	}
	return user && organization
}

// befall applies the fields of a fault that do not depend on its kind, and counts the fault.
func (s *Simulator) befall(a *answer, f *Fault, now time.Time) {
	if f.Status != 0 {
		a.status = f.Status
	}
	if f.Body != "" {
		a.body = []byte(f.Body)
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
