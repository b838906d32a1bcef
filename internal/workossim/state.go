package workossim

import (
	"cmp"
	"slices"
	"time"
)

// Put creates or replaces a connection. If it is connected, it gets a new token now, even if it
// replaces a connection that had a token. Its slug is known from now on. Put of a connection that
// is connected has an event, and so has each other change of a state. Connection.NoEvent prevents
// that.
func (s *Simulator) Put(c Connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(c)
}

// SetState connects, disconnects or breaks a connection. A connection that becomes connected
// gets a new token. A connection that is no longer connected loses its token. A connection that
// does not exist is created with defaults. An empty state means Connected. A change to
// Connected, NotInstalled or NeedsReauthorization has an event.
func (s *Simulator) SetState(id ID, state State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	state = cmp.Or(state, Connected)
	id = id.canonical()
	a, found := s.accounts[id]
	if !found {
		s.put(Connection{ID: id, State: state})
		return
	}
	if a.State != state {
		was := a.State
		s.enter(a, state)
		s.events.change(a, was, s.now())
	}
}

// Expire lets the current token of a connection expire now. The next call gets a new token.
// Expire reports whether the connection had a token that can expire.
func (s *Simulator) Expire(id ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, found := s.accounts[id.canonical()]
	if !found || a.token.serial == 0 || !a.AuthMethod.expires() {
		return false
	}
	a.token.expires = s.now().Truncate(time.Millisecond)
	return true
}

// RotateKey gives a connection its next API key or token now. It reports whether the connection
// is connected.
func (s *Simulator) RotateKey(id ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, found := s.accounts[id.canonical()]
	if !found || a.State != Connected {
		return false
	}
	s.issue(a)
	return true
}

// Remove deletes a connection, as if the user had never connected, and reports whether it
// existed. The slug stays known. The event is the same as for NotInstalled. If everyone is
// connected at the slug (Options.Everyone), the next call makes a new connection.
func (s *Simulator) Remove(id ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	id = id.canonical()
	a, found := s.accounts[id]
	if !found {
		return false
	}
	delete(s.accounts, id)
	s.others[id.group()] = slices.DeleteFunc(s.others[id.group()], func(other ID) bool { return other == id })
	if len(s.others[id.group()]) == 0 {
		delete(s.others, id.group())
	}
	gone := *a
	gone.State = NotInstalled
	s.events.change(&gone, a.State, s.now())
	return true
}

// CurrentToken returns the token that WorkOS holds now, expired or not. A zero expiresAt means
// no expiry. ok is false if the connection does not exist or is not connected. CurrentToken
// refreshes nothing and records nothing.
func (s *Simulator) CurrentToken(id ID) (token string, expiresAt time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, found := s.accounts[id.canonical()]
	if !found || a.token.serial == 0 {
		return "", time.Time{}, false
	}
	return a.token.value, a.token.expires, true
}

// Available reports whether a call at that time, with an accepted key, would return a token
// that is valid at that time, and when that token would expire. The call is one of the token
// endpoint, or of the credentials endpoint if the connection does not use OAuth. A zero
// expiresAt means no expiry. Available uses the current connections, keys and faults. It changes
// nothing and records nothing. Latency does not count against availability; a fault with Hold
// does.
func (s *Simulator) Available(id ID, at time.Time) (expiresAt time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, found := s.find(id.canonical())
	if !found || len(s.keys) == 0 {
		return time.Time{}, false
	}
	endpoint := EndpointToken
	if a.AuthMethod != AuthOAuth {
		endpoint = EndpointCredentials
	}
	if s.faults.deny(endpoint, id.asked()) || endpoint == EndpointCredentials && s.noCredentials {
		return time.Time{}, false
	}
	expiresAt, ok = a.offerAt(at)
	if !ok {
		return time.Time{}, false
	}
	return expiresAt, true
}

// find returns the account of a connection. An account that exists only because everyone is
// connected has no token yet, and is not stored. The caller must hold mu.
func (s *Simulator) find(id ID) (*account, bool) {
	if a, found := s.accounts[id]; found {
		return a, true
	}
	c, found := s.everyone[id.Slug]
	if !found || id.AccountID != "" || id.Owner != c.Owner {
		return nil, false
	}
	c.ID = id
	return &account{Connection: c, createdAt: s.since.UnixMilli(), updatedAt: s.since.UnixMilli()}, true
}

// put is Put for callers that hold mu.
func (s *Simulator) put(c Connection) {
	c = c.withDefaults()
	quiet := c.NoEvent
	c.NoEvent = false
	s.slugs[c.Slug] = true
	was, group := NotInstalled, c.group()
	if replaced, found := s.accounts[c.ID]; found {
		was = replaced.State
	} else if c.AccountID != "" {
		s.others[group] = append(s.others[group], c.ID)
	}
	a := &account{Connection: c, createdAt: s.now().UnixMilli()}
	s.accounts[c.ID] = a
	s.enter(a, c.State)
	if !quiet {
		s.events.change(a, was, s.now())
	}
}

// enter moves an account into a state. The caller must hold mu.
func (s *Simulator) enter(a *account, state State) {
	a.State = state
	a.updatedAt = s.now().UnixMilli()
	a.token = accessToken{}
	if state == Connected {
		s.issue(a)
	}
}

// issue gives an account its next token. The caller must hold mu.
func (s *Simulator) issue(a *account) {
	s.serials[a.ID]++
	serial := s.serials[a.ID]
	a.token = accessToken{
		value:  tokenValue(s.tokenMarker, a.ID, a.TokenPrefix, serial),
		issued: issued{serial: serial, expires: a.expiryOfTokenIssuedAt(s.now())},
	}
}
