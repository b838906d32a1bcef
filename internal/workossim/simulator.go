// Package workossim simulates the part of WorkOS Pipes that pipes-operator depends on: POST
// /data-integrations/{slug}/token. Tests, benchmarks and the demo talk to it in place of WorkOS.
//
// A Simulator is an http.Handler. It keeps connections as WorkOS does, with tokens that expire and are refreshed by its
// clock, gives the answers and errors that WorkOS's public API description promises, misbehaves on request (Inject), and
// records every request. Its tokens work nowhere and carry a marker, so that a leaked one is found by searching for it.
package workossim

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// Options say what a Simulator starts with. The zero value works, and refuses every caller for want of a key.
type Options struct {
	// Clock decides when tokens expire and what the Date header says. Default: the wall clock.
	Clock clock.PassiveClock
	// APIKeys that are accepted. None: every call is answered 401.
	APIKeys []string
	// Slugs of integrations that exist, beside those of connections.
	Slugs []string
	// Connections that exist from the start.
	Connections []Connection
	// Everyone is connected like this, at most once for each slug: whoever calls without a connection of their own gets one, with
	// a token that is issued then. It is for benchmarks, whose users are too many to be listed. The user and the organization of
	// these are left out.
	Everyone []Connection
	// TokenMarker is part of every token. Default: DefaultTokenMarker.
	TokenMarker string
	// UnknownUserNotFound answers 404 for a user or an organization that no connection names, as WorkOS's emulator does.
	// Default: 200 not_installed.
	UnknownUserNotFound bool
	// Logger is told of each request, without keys and tokens. Default: nobody is told.
	Logger *slog.Logger
}

// Simulator is a simulated WorkOS environment. All its methods may be called at any time from any goroutine; each takes
// effect at once, for the next request that arrives.
type Simulator struct {
	clock               clock.PassiveClock
	tokenMarker         string
	unknownUserNotFound bool
	logger              *slog.Logger

	// life ends with Close, and with it every request that is being held.
	life context.Context
	end  context.CancelFunc

	mu       sync.Mutex
	keys     map[keyDigest]bool
	slugs    map[string]bool
	accounts map[ID]*account
	everyone map[string]Connection // by slug
	serials  map[ID]int            // of the last token issued; outlives the connection, so that no token comes twice
	faults   faultQueue
	journal  journal
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

// Close ends the requests that are being held (latency, timeout, endless body) without an answer, so that a server can
// stop. The Simulator goes on answering other requests. Calling it twice is fine.
func (s *Simulator) Close() {
	s.end()
}

// Put creates or replaces a connection. A connected one is issued its token now, a new one also when it replaces a
// connection that had one. Its slug is known from now on.
func (s *Simulator) Put(c Connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(c)
}

// SetState connects, disconnects or breaks a connection. One that was not connected and now is gets a new token; one that
// no longer is loses its token. A connection that does not exist is created with defaults; no state is Connected.
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

// Expire makes the current token of a connection expire now; the next call gets a new one. It says whether there was a
// token to expire.
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

// Remove forgets a connection, as if the user had never connected, and says whether it existed. The slug stays known. Where
// Options.Everyone is connected, the next call makes a new one.
func (s *Simulator) Remove(id ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, found := s.accounts[id]
	delete(s.accounts, id)
	return found
}

// CurrentToken is the token that WorkOS holds now, expired or not; a zero expiresAt means no expiry. It is not ok when the
// connection does not exist or is not connected. Nothing is refreshed, and nothing recorded.
func (s *Simulator) CurrentToken(id ID) (token string, expiresAt time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, found := s.accounts[id]
	if !found || a.token.serial == 0 {
		return "", time.Time{}, false
	}
	return a.token.value, a.token.expires, true
}

// Available says whether a call at that instant, with an accepted key, would be answered with a token that is valid at
// that instant, and when that token would expire; a zero expiresAt means no expiry. It goes by the connections, keys and
// faults of now, changes nothing and records nothing. Latency does not count against availability; a fault with Hold does.
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

// SetAPIKeys replaces the keys that are accepted. Without any, every call is answered 401.
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

// now is the simulated WorkOS's own time.
func (s *Simulator) now() time.Time {
	return s.clock.Now().UTC()
}

// find is the account of a connection, with mu held. One that is there only because everyone is connected holds no token yet, and
// is not kept.
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

// put, with mu held.
func (s *Simulator) put(c Connection) {
	c = c.withDefaults()
	s.slugs[c.Slug] = true
	a := &account{Connection: c}
	s.accounts[c.ID] = a
	s.enter(a, c.State)
}

// enter takes an account into a state, with mu held.
func (s *Simulator) enter(a *account, state State) {
	a.State = state
	a.token = accessToken{}
	if state == Connected {
		s.issue(a)
	}
}

// issue gives an account its next token, with mu held.
func (s *Simulator) issue(a *account) {
	s.serials[a.ID]++
	serial := s.serials[a.ID]
	a.token = accessToken{
		value:  tokenValue(s.tokenMarker, a.Connection, serial),
		issued: issued{serial: serial, expires: a.expiryOfTokenIssuedAt(s.now())},
	}
}
