// Package workossim simulates the part of WorkOS Pipes that pipes-operator depends on: POST
// /data-integrations/{slug}/token. Tests, benchmarks and the demo use it in place of WorkOS.
//
// A Simulator is an http.Handler. It keeps connections as WorkOS does, with tokens that expire
// and are refreshed by its clock. It gives the answers and errors that the public API
// description of WorkOS promises. It misbehaves on request (Inject), and records every request.
// Its tokens work nowhere and contain a marker, so that a search for the marker finds a leaked
// token.
package workossim

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// Options configure a Simulator. The zero value works, and rejects every caller because it has
// no key.
type Options struct {
	// Clock decides when tokens expire, and is the source of the Date header. Default: the wall
	// clock.
	Clock clock.PassiveClock
	// APIKeys are accepted. Without a key, every call is answered with 401.
	APIKeys []string
	// Slugs are integrations that exist, in addition to those of connections.
	Slugs []string
	// Connections exist from the start.
	Connections []Connection
	// Everyone contains at most one connection for each slug. A caller who has no connection
	// gets a connection like this one, with a token that is issued at that moment. Benchmarks
	// use it, because they have too many users for a list. UserID and OrganizationID are empty
	// here.
	Everyone []Connection
	// TokenMarker is part of every token. Default: DefaultTokenMarker.
	TokenMarker string
	// UnknownUserNotFound answers 404 for a user or an organization that no connection names,
	// as the emulator of WorkOS does. Default: 200 not_installed.
	UnknownUserNotFound bool
	// Logger logs each request, without keys and tokens. Default: no log.
	Logger *slog.Logger
}

// Simulator is a simulated WorkOS environment. All its methods may be called at any time from
// any goroutine. Each takes effect at once, for the next request that arrives.
type Simulator struct {
	clock               clock.PassiveClock
	tokenMarker         string
	unknownUserNotFound bool
	logger              *slog.Logger

	// life ends with Close, which also ends every request that is held.
	life context.Context
	end  context.CancelFunc

	mu       sync.Mutex
	keys     map[keyDigest]bool
	slugs    map[string]bool
	accounts map[ID]*account
	everyone map[string]Connection // by slug
	// serials are those of the last tokens issued. They outlive connections, so that no token
	// is issued twice.
	serials map[ID]int
	faults  faultQueue
	journal journal
}

// New makes a Simulator.
func New(o Options) *Simulator {
	s := &Simulator{
		clock:               o.Clock,
		tokenMarker:         o.TokenMarker,
		unknownUserNotFound: o.UnknownUserNotFound,
		logger:              o.Logger,
		slugs:               map[string]bool{},
		accounts:            map[ID]*account{},
		everyone:            map[string]Connection{},
		serials:             map[ID]int{},
	}
	s.life, s.end = context.WithCancel(context.Background())
	if s.clock == nil {
		s.clock = clock.RealClock{}
	}
	if s.tokenMarker == "" {
		s.tokenMarker = DefaultTokenMarker
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	for _, slug := range o.Slugs {
		s.slugs[slug] = true
	}
	s.SetAPIKeys(o.APIKeys...)
	for _, c := range o.Everyone {
		s.slugs[c.Slug] = true
		s.everyone[c.Slug] = c.withDefaults()
	}
	for _, c := range o.Connections {
		s.Put(c)
	}
	return s
}

// Close ends the requests that are held (latency, timeout, endless body) without an answer, so
// that a server can stop. The Simulator continues to answer other requests. Close may be called
// twice.
func (s *Simulator) Close() {
	s.end()
}

// Put creates or replaces a connection. If it is connected, it gets a new token now, even if it
// replaces a connection that had a token. Its slug is known from now on.
func (s *Simulator) Put(c Connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(c)
}

// SetState connects, disconnects or breaks a connection. A connection that becomes connected
// gets a new token. A connection that is no longer connected loses its token. A connection that
// does not exist is created with defaults. An empty state means Connected.
func (s *Simulator) SetState(id ID, state State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	state = cmp.Or(state, Connected)
	a, found := s.accounts[id]
	if !found {
		s.put(Connection{ID: id, State: state})
		return
	}
	if a.State != state {
		s.enter(a, state)
	}
}

// Expire lets the current token of a connection expire now. The next call gets a new token.
// Expire reports whether the connection had a token.
func (s *Simulator) Expire(id ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, found := s.accounts[id]
	if !found || a.token.serial == 0 {
		return false
	}
	a.token.expires = s.now().Truncate(time.Millisecond)
	return true
}

// Remove deletes a connection, as if the user had never connected, and reports whether it
// existed. The slug stays known. If everyone is connected at the slug (Options.Everyone), the
// next call makes a new connection.
func (s *Simulator) Remove(id ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, found := s.accounts[id]
	delete(s.accounts, id)
	return found
}

// CurrentToken returns the token that WorkOS holds now, expired or not. A zero expiresAt means
// no expiry. ok is false if the connection does not exist or is not connected. CurrentToken
// refreshes nothing and records nothing.
func (s *Simulator) CurrentToken(id ID) (token string, expiresAt time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, found := s.accounts[id]
	if !found || a.token.serial == 0 {
		return "", time.Time{}, false
	}
	return a.token.value, a.token.expires, true
}

// Available reports whether a call at that time, with an accepted key, would return a token
// that is valid at that time, and when that token would expire. A zero expiresAt means no
// expiry. Available uses the current connections, keys and faults. It changes nothing and
// records nothing. Latency does not count against availability; a fault with Hold does.
func (s *Simulator) Available(id ID, at time.Time) (expiresAt time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, found := s.find(id)
	if !found || len(s.keys) == 0 || s.faults.deny(id) {
		return time.Time{}, false
	}
	expiresAt, ok = a.offerAt(at)
	if !ok {
		return time.Time{}, false
	}
	return expiresAt, true
}

// SetAPIKeys replaces the keys that are accepted. Without a key, every call is answered with
// 401.
func (s *Simulator) SetAPIKeys(keys ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = map[keyDigest]bool{}
	for _, key := range keys {
		if key != "" {
			s.keys[digestOf(key)] = true
		}
	}
}

// now returns the time of the simulated WorkOS.
func (s *Simulator) now() time.Time {
	return s.clock.Now().UTC()
}

// find returns the account of a connection. An account that exists only because everyone is
// connected has no token yet, and is not stored. The caller must hold mu.
func (s *Simulator) find(id ID) (*account, bool) {
	if a, found := s.accounts[id]; found {
		return a, true
	}
	c, found := s.everyone[id.Slug]
	if !found {
		return nil, false
	}
	c.ID = id
	return &account{Connection: c}, true
}

// put is Put for callers that hold mu.
func (s *Simulator) put(c Connection) {
	c = c.withDefaults()
	s.slugs[c.Slug] = true
	a := &account{Connection: c}
	s.accounts[c.ID] = a
	s.enter(a, c.State)
}

// enter moves an account into a state. The caller must hold mu.
func (s *Simulator) enter(a *account, state State) {
	a.State = state
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
		value:  tokenValue(s.tokenMarker, a.Connection, serial),
		issued: issued{serial: serial, expires: a.expiryOfTokenIssuedAt(s.now())},
	}
}
