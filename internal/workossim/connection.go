package workossim

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// DefaultLifetime is how long a token lives when its Connection does not say.
const DefaultLifetime = time.Hour

// DefaultTokenMarker is part of every token unless Options.TokenMarker says otherwise. Whoever finds it in a log, an event
// or a status has found a leaked token.
const DefaultTokenMarker = "canary_"

// ID is what tells connections apart. The organization is part of it: the same user with and without an organization, or
// with two of them, has as many connections.
type ID struct {
	Slug           string `json:"slug"`
	UserID         string `json:"userID"`
	OrganizationID string `json:"organizationID,omitempty"`
}

// path is slug/user, and /organization where there is one. It is not String, which Connection and Request would inherit.
func (id ID) path() string {
	if id.OrganizationID == "" {
		return id.Slug + "/" + id.UserID
	}
	return id.Slug + "/" + id.UserID + "/" + id.OrganizationID
}

func (id ID) compare(other ID) int {
	return cmp.Or(
		strings.Compare(id.Slug, other.Slug),
		strings.Compare(id.UserID, other.UserID),
		strings.Compare(id.OrganizationID, other.OrganizationID),
	)
}

// State is what WorkOS says of a connection. Any text beside the three constants is answered as an inactive connection
// with that text as its `error`, as WorkOS might one day do.
type State string

const (
	// Connected is a connection with a token.
	Connected State = "connected"
	// NotInstalled is a user who never connected, or who disconnected.
	NotInstalled State = "not_installed"
	// NeedsReauthorization is a connection whose refresh token no longer works.
	NeedsReauthorization State = "needs_reauthorization"
)

// Connection is one user's account at one integration, and how the simulated WorkOS keeps its token.
type Connection struct {
	ID
	// State defaults to Connected.
	State State
	// Lifetime of each token, from the moment it is issued. Default: DefaultLifetime.
	Lifetime time.Duration
	// NoExpiry issues tokens without an expiry; Lifetime then does not matter.
	NoExpiry bool
	// RefreshLead is how early a call gets a newer token: once what remains of the current one is at most this. 0: only
	// after it has expired, which is what WorkOS's own emulator does.
	RefreshLead time.Duration
	// AlwaysFresh issues a new token on every call.
	AlwaysFresh bool
	// Scopes that were granted, and MissingScopes that the integration asks for and were not.
	Scopes, MissingScopes []string
	// TokenPrefix is what each token begins with, such as gho_.
	TokenPrefix string
}

// withDefaults is the connection as the simulator keeps it: defaults filled in, no memory shared with the caller.
func (c Connection) withDefaults() Connection {
	c.State = cmp.Or(c.State, Connected)
	c.Lifetime = cmp.Or(c.Lifetime, DefaultLifetime)
	c.Scopes = slices.Clone(c.Scopes)
	c.MissingScopes = slices.Clone(c.MissingScopes)
	return c
}

// expiryOfTokenIssuedAt is in whole milliseconds, the precision that WorkOS sends. Zero: no expiry.
func (c Connection) expiryOfTokenIssuedAt(at time.Time) time.Time {
	if c.NoExpiry {
		return time.Time{}
	}
	return at.Add(c.Lifetime).UTC().Truncate(time.Millisecond)
}

// accessToken is one token that was issued.
type accessToken struct {
	value string
	issued
}

// issued says which of a connection's tokens one is.
type issued struct {
	serial  int       // 1 for a connection's first; 0: there is no token
	expires time.Time // of that token; zero: never
}

func (t issued) validAt(at time.Time) bool {
	return t.serial > 0 && (t.expires.IsZero() || at.Before(t.expires))
}

// account is a connection with the token that WorkOS holds for it.
type account struct {
	Connection
	token accessToken
}

// refreshesAt says whether a call at that instant gets a newer token than the one held.
func (a *account) refreshesAt(at time.Time) bool {
	switch {
	case a.AlwaysFresh || a.token.serial == 0:
		return true
	case a.token.expires.IsZero():
		return false
	default:
		return a.token.expires.Sub(at) <= a.RefreshLead
	}
}

// offerAt is the expiry of the token that a call at that instant gets, and whether that token is valid then.
func (a *account) offerAt(at time.Time) (expires time.Time, valid bool) {
	if a.State != Connected {
		return time.Time{}, false
	}
	if !a.refreshesAt(at) {
		return a.token.expires, a.token.validAt(at)
	}
	expires = a.expiryOfTokenIssuedAt(at)
	return expires, expires.IsZero() || at.Before(expires)
}

// TokenValue is the token of a connection that has that serial, as every Simulator with the DefaultTokenMarker makes it: a
// server that is shown a token can tell whether it is one of the connection, without having been given any.
func TokenValue(c Connection, serial int) string {
	return tokenValue(DefaultTokenMarker, c, serial)
}

// tokenValue is the same for the same connection and serial on every run, different for all others, and recognisable:
// prefix, marker, slug, serial, and the start of a hash.
func tokenValue(marker string, c Connection, serial int) string {
	seed := strings.Join([]string{c.Slug, c.UserID, c.OrganizationID, strconv.Itoa(serial)}, "\x00")
	sum := sha256.Sum256([]byte(seed))
	return fmt.Sprintf("%s%s%s_%d_%s", c.TokenPrefix, marker, c.Slug, serial, hex.EncodeToString(sum[:8]))
}
