// Package workossim simulates the part of WorkOS Pipes that pipes-operator depends on: the tokens
// and credentials of connections, the events about connections, and the endpoints around them
// (Endpoint). Tests, benchmarks and the demo use it in place of WorkOS.
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
	// Connections exist from the start. They have no events.
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
	// Members are the active members of organizations; see SetMembers.
	Members map[string][]string
	// NoCredentialsEndpoint answers 404 at the credentials endpoint, as an older environment.
	NoCredentialsEndpoint bool
	// ValidationCode answers wrong parameters in the newer form, with a code.
	ValidationCode bool
	// NoEvents records no events of changes. Benchmarks use it.
	NoEvents bool
	// EventFamilies are the families in which each change has an event. Default:
	// FamilyConnectedAccount.
	EventFamilies []EventFamily
	// KnownEventFamilies are the families whose types a request for events may name. A request
	// that names another type is refused. Default: both families.
	KnownEventFamilies []EventFamily
	// EventsForbidden answers 403 at the events endpoint.
	EventsForbidden bool
	// Logger logs each request, without keys and tokens. Default: no log.
	Logger *slog.Logger
}

// Simulator is a simulated WorkOS environment. All its methods may be called at any time from
// any goroutine. Each takes effect at once, for the next request that arrives.
type Simulator struct {
	clock               clock.PassiveClock
	tokenMarker         string
	unknownUserNotFound bool
	noCredentials       bool
	validationCode      bool
	since               time.Time // when the integrations were created
	logger              *slog.Logger

	// life ends with Close, which also ends every request that is held.
	life context.Context
	end  context.CancelFunc

	mu       sync.Mutex
	keys     map[keyDigest]bool
	slugs    map[string]bool
	accounts map[ID]*account
	// others are the accounts beside the compatibility connection, by the ID of it.
	others   map[ID][]ID
	everyone map[string]Connection      // by slug
	members  map[string]map[string]bool // by organization, then by user
	// serials are those of the last tokens issued. They outlive connections, so that no token
	// is issued twice.
	serials map[ID]int
	faults  faultQueue
	journal journal

	events          eventLog
	eventTypes      []EventType // that the environment knows
	eventsForbidden bool
	authorizations  int
}

// New makes a Simulator.
func New(o Options) *Simulator {
	s := &Simulator{
		clock:               o.Clock,
		tokenMarker:         cmp.Or(o.TokenMarker, DefaultTokenMarker),
		unknownUserNotFound: o.UnknownUserNotFound,
		noCredentials:       o.NoCredentialsEndpoint,
		validationCode:      o.ValidationCode,
		logger:              o.Logger,
		slugs:               map[string]bool{},
		accounts:            map[ID]*account{},
		others:              map[ID][]ID{},
		everyone:            map[string]Connection{},
		members:             map[string]map[string]bool{},
		serials:             map[ID]int{},
		eventsForbidden:     o.EventsForbidden,
	}
	s.life, s.end = context.WithCancel(context.Background())
	if s.clock == nil {
		s.clock = clock.RealClock{}
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	s.since = s.now()
	s.SetAPIKeys(o.APIKeys...)
	s.seed(o)
	return s
}

// seed creates the content of the options.
func (s *Simulator) seed(o Options) {
	for _, slug := range o.Slugs {
		s.slugs[slug] = true
	}
	for organization, users := range o.Members {
		s.SetMembers(organization, users...)
	}
	for _, c := range o.Everyone {
		s.slugs[c.Slug] = true
		s.everyone[c.Slug] = c.withDefaults()
	}
	s.events.off = true // the connections were there before
	for _, c := range o.Connections {
		s.Put(c)
	}
	s.events.off = o.NoEvents
	s.events.families = o.EventFamilies
	if len(s.events.families) == 0 {
		s.events.families = []EventFamily{FamilyConnectedAccount}
	}
	known := o.KnownEventFamilies
	if len(known) == 0 {
		known = []EventFamily{FamilyConnectedAccount, FamilyAccountConnection}
	}
	s.KnowEventFamilies(known...)
}

// Close ends the requests that are held (latency, timeout, endless body) without an answer, so
// that a server can stop. The Simulator continues to answer other requests. Close may be called
// twice.
func (s *Simulator) Close() {
	s.end()
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
