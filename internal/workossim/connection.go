package workossim

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
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

// AuthMethod is the way in which a connection authenticates at the integration. Text other than
// the three constants is answered like AuthAPIKey, because WorkOS may add methods.
type AuthMethod string

const (
	// AuthOAuth is the only method for which the token endpoint has an answer.
	AuthOAuth AuthMethod = "oauth"
	// AuthAPIKey has a key without an expiry. Only RotateKey changes the key.
	AuthAPIKey AuthMethod = "api_key"
	// AuthClientCredentials has tokens that expire, as AuthOAuth has, and Metadata.
	AuthClientCredentials AuthMethod = "client_credentials"
)

// expires reports whether credentials of the method have an expiry and are refreshed.
func (m AuthMethod) expires() bool {
	return m == AuthOAuth || m == AuthClientCredentials
}

// Connection is the account of one user or organization at one integration, and the rules by
// which the simulated WorkOS keeps its token.
type Connection struct {
	ID
	// State is Connected by default.
	State State
	// Lifetime is the lifetime of each token from its issue. Default: DefaultLifetime.
	Lifetime time.Duration
	// ExpiryLayout is the layout of expires_at, for package time. WorkOS promises ISO 8601, which
	// has more forms than RFC 3339. Default: RFC 3339 with milliseconds.
	ExpiryLayout string
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
	// AuthMethod is AuthOAuth by default.
	AuthMethod AuthMethod
	// Metadata is sent with AuthClientCredentials only.
	Metadata map[string]any
	// Config is sent with credentials unless it is nil.
	Config map[string]string
	// NoEvent means that Put of the connection has no event, as if the user had connected long
	// ago. Later changes have events.
	NoEvent bool
}

// withDefaults returns the connection as the simulator stores it: with defaults, and without
// memory that it shares with the caller.
func (c Connection) withDefaults() Connection {
	c.ID = c.canonical()
	c.State = cmp.Or(c.State, Connected)
	c.AuthMethod = cmp.Or(c.AuthMethod, AuthOAuth)
	c.Lifetime = cmp.Or(c.Lifetime, DefaultLifetime)
	c.ExpiryLayout = cmp.Or(c.ExpiryLayout, timeFormat)
	c.Scopes = slices.Clone(c.Scopes)
	c.MissingScopes = slices.Clone(c.MissingScopes)
	c.Metadata = maps.Clone(c.Metadata)
	c.Config = maps.Clone(c.Config)
	return c
}

// expiryOfTokenIssuedAt returns the expiry in whole milliseconds, the precision of WorkOS. The
// zero time means no expiry.
func (c Connection) expiryOfTokenIssuedAt(at time.Time) time.Time {
	if c.NoExpiry || !c.AuthMethod.expires() {
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
	// createdAt and updatedAt are Unix milliseconds: a benchmark has many accounts.
	createdAt, updatedAt int64
}

// installed reports whether the user has connected the account and not disconnected it.
func (a *account) installed() bool { return a.State != NotInstalled }

// refreshesAt reports whether a call at that time gets a newer token than the current one.
func (a *account) refreshesAt(at time.Time) bool {
	switch {
	case a.token.serial == 0:
		return true
	case !a.AuthMethod.expires():
		return false
	case a.AlwaysFresh:
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
	return tokenValue(DefaultTokenMarker, c.canonical(), c.TokenPrefix, serial)
}

// tokenValue returns the same token for the same connection and serial on every run, and
// different tokens for all others. The token is recognisable: it consists of prefix, marker,
// slug, serial, and the start of a hash.
func tokenValue(marker string, id ID, prefix string, serial int) string {
	parts := []string{id.Slug, id.UserID, id.OrganizationID, strconv.Itoa(serial)}
	if id.Owner != "" || id.AccountID != "" {
		parts = append(parts, string(id.Owner), id.AccountID)
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return fmt.Sprintf("%s%s%s_%d_%s", prefix, marker, id.Slug, serial, hex.EncodeToString(sum[:8]))
}
