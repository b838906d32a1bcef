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

// DefaultLifetime is the lifetime of a token whose Connection does not set Lifetime.
const DefaultLifetime = time.Hour

// DefaultTokenMarker is part of every token unless Options.TokenMarker is set. A log, an event
// or a status that contains the marker contains a leaked token.
const DefaultTokenMarker = "canary_"

// ID identifies a connection. The organization is part of it: a user without an organization,
// and the same user in each of two organizations, have three connections.
type ID struct {
	Slug           string `json:"slug"`
	UserID         string `json:"userID"`
	OrganizationID string `json:"organizationID,omitempty"`
}

// path returns slug/user, or slug/user/organization if there is an organization. The method is
// not String, because Connection and Request would inherit it.
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

// State is the state of a connection in WorkOS. Text other than the three constants is answered
// as an inactive connection with that text as its `error`, as WorkOS may do one day.
type State string

const (
	// Connected means that the connection has a token.
	Connected State = "connected"
	// NotInstalled means that the user never connected, or has disconnected.
	NotInstalled State = "not_installed"
	// NeedsReauthorization means that the refresh token of the connection no longer works.
	NeedsReauthorization State = "needs_reauthorization"
)

// Connection is the account of one user at one integration, and the rules by which the
// simulated WorkOS keeps its token.
type Connection struct {
	ID
	// State is Connected by default.
	State State
	// Lifetime is the lifetime of each token from its issue. Default: DefaultLifetime.
	Lifetime time.Duration
	// NoExpiry issues tokens without an expiry. Lifetime is then ignored.
	NoExpiry bool
	// RefreshLead is the remaining life of the current token at which a call gets the next
	// token. Zero means that a call gets the next token only after expiry, as in the emulator
	// of WorkOS.
	RefreshLead time.Duration
	// AlwaysFresh issues a new token on every call.
	AlwaysFresh bool
	// Scopes were granted. MissingScopes were not granted, although the integration asks for
	// them.
	Scopes, MissingScopes []string
	// TokenPrefix is the beginning of each token, such as gho_.
	TokenPrefix string
}

// withDefaults returns the connection as the simulator stores it: with defaults, and without
// memory that it shares with the caller.
func (c Connection) withDefaults() Connection {
	c.State = cmp.Or(c.State, Connected)
	c.Lifetime = cmp.Or(c.Lifetime, DefaultLifetime)
	c.Scopes = slices.Clone(c.Scopes)
	c.MissingScopes = slices.Clone(c.MissingScopes)
	return c
}

// expiryOfTokenIssuedAt returns the expiry in whole milliseconds, the precision of WorkOS. The
// zero time means no expiry.
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

// issued identifies one of the tokens of a connection.
type issued struct {
	serial  int       // 1 for the first token of a connection; 0: no token
	expires time.Time // zero: never
}

func (t issued) validAt(at time.Time) bool {
	return t.serial > 0 && (t.expires.IsZero() || at.Before(t.expires))
}

// account is a connection with the token that WorkOS holds for it.
type account struct {
	Connection
	token accessToken
}

// refreshesAt reports whether a call at that time gets a newer token than the current one.
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

// offerAt returns the expiry of the token that a call at that time gets, and whether the token
// is valid then.
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

// TokenValue returns the token of the connection that has that serial, as every Simulator with
// the DefaultTokenMarker makes it. With this, a server that receives a token can check that the
// token belongs to the connection, without a list of tokens.
func TokenValue(c Connection, serial int) string {
	return tokenValue(DefaultTokenMarker, c, serial)
}

// tokenValue returns the same token for the same connection and serial on every run, and
// different tokens for all others. The token is recognisable: it consists of prefix, marker,
// slug, serial, and the start of a hash.
func tokenValue(marker string, c Connection, serial int) string {
	seed := strings.Join([]string{c.Slug, c.UserID, c.OrganizationID, strconv.Itoa(serial)}, "\x00")
	sum := sha256.Sum256([]byte(seed))
	return fmt.Sprintf("%s%s%s_%d_%s", c.TokenPrefix, marker, c.Slug, serial, hex.EncodeToString(sum[:8]))
}
