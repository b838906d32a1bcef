package workossim

import (
	"net/http"
	"time"
)

// vend returns the answer of the token and the credentials endpoint. It refreshes the token if
// needed.
func (s *Simulator) vend(c call, now time.Time) *answer {
	a, refusal := s.selectAccount(c)
	switch {
	case refusal != nil:
		return refusal
	case a == nil || !a.installed():
		return inactiveAnswer(NotInstalled)
	case c.endpoint == EndpointToken && a.AuthMethod != AuthOAuth:
		return statusAnswer(http.StatusUnprocessableEntity, string(FaultAuthMethodMismatch))
	}
	s.accounts[a.ID] = a // an account that exists only because everyone is connected
	switch {
	case a.State != Connected:
		return inactiveAnswer(a.State)
	case a.refreshesAt(now):
		s.issue(a)
	}
	if c.endpoint == EndpointCredentials {
		return credentialAnswer(a)
	}
	return tokenAnswer(a)
}

// selectAccount returns the account that a call is about, or the answer that refuses the call.
// Both are nil if no account exists.
func (s *Simulator) selectAccount(c call) (*account, *answer) {
	id := c.id.canonical()
	if c.id.AccountID != "" {
		a, found := s.find(id)
		if !found {
			return nil, messageAnswer(http.StatusNotFound, ResultUnknownAccount, "The connected account was not found.")
		}
		return a, nil
	}
	if c.plural {
		installed := s.installed(id)
		switch len(installed) {
		case 0:
		case 1:
			return installed[0], nil
		default:
			return nil, statusAnswer(http.StatusConflict, string(FaultAccountSelection))
		}
	}
	a, _ := s.find(id)
	return a, nil
}

// installed returns the installed accounts of a slug, user, organization and owner. The
// compatibility connection is the first.
func (s *Simulator) installed(group ID) []*account {
	var accounts []*account
	for _, id := range append([]ID{group}, s.others[group]...) {
		if a, found := s.find(id); found && a.installed() {
			accounts = append(accounts, a)
		}
	}
	return accounts
}
