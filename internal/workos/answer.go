package workos

import (
	"slices"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/redact"
)

// Outcome says what came of asking. The set is closed (Outcomes), and its values do as metric labels.
type Outcome string

// The outcomes, and what leads to each. Statuses are those of WorkOS's public OpenAPI specification, August 2026.
const (
	// OutcomeToken: a usable token (2xx, active true).
	OutcomeToken Outcome = "token"
	// OutcomeNotInstalled: the user never connected the integration, or disconnected it (2xx, active false).
	OutcomeNotInstalled Outcome = "not_installed"
	// OutcomeNeedsReauthorization: the user has to authorize the integration again (2xx, active false).
	OutcomeNeedsReauthorization Outcome = "needs_reauthorization"
	// OutcomeInactive: active false for a reason that this package does not know, or none.
	OutcomeInactive Outcome = "inactive"
	// OutcomeKeyRejected: the API key is wrong (401), or was a moment ago and has not been tried again (Sent is
	// false).
	OutcomeKeyRejected Outcome = "key_rejected"
	// OutcomeNotFound: no such integration, user or organization (404).
	OutcomeNotFound Outcome = "not_found"
	// OutcomeAccountSelectionRequired: several connections match (409, or active false, with that code).
	OutcomeAccountSelectionRequired Outcome = "account_selection_required"
	// OutcomeAuthMethodMismatch: the connected account is not an OAuth one (422 with that code).
	OutcomeAuthMethodMismatch Outcome = "auth_method_mismatch"
	// OutcomeBusy: another request changes the connection just now (409 with any other code or none, 503 with the code
	// concurrent_request). It concerns this connection alone, and passes: it closes no gate, and counts as an answer.
	OutcomeBusy Outcome = "busy"
	// OutcomeRejected: any other 4xx, and every 3xx, because redirects are never followed.
	OutcomeRejected Outcome = "rejected"
	// OutcomeRateLimited: WorkOS asks for patience (429), or did so a moment ago (Sent is false).
	OutcomeRateLimited Outcome = "rate_limited"
	// OutcomeUnavailable: 5xx, 407, 408, 421, 425, a timeout, no connection; or a 503 asked for patience a moment ago (Sent is false).
	OutcomeUnavailable Outcome = "unavailable"
	// OutcomeUnreadable: an answer that is none: a 2xx without the promised JSON, a token that cannot be one.
	OutcomeUnreadable Outcome = "unreadable"
	// OutcomeHeld: nothing was sent, because the key's own requests per minute are used up.
	OutcomeHeld Outcome = "held"
)

// Outcomes returns all outcomes, in the order of their declaration: for metrics that start at zero, and for tests.
func Outcomes() []Outcome {
	return []Outcome{
		OutcomeToken, OutcomeNotInstalled, OutcomeNeedsReauthorization, OutcomeInactive, OutcomeKeyRejected,
		OutcomeNotFound, OutcomeAccountSelectionRequired, OutcomeAuthMethodMismatch, OutcomeBusy,
		OutcomeRejected, OutcomeRateLimited, OutcomeUnavailable, OutcomeUnreadable, OutcomeHeld,
	}
}

// Authoritative says whether WorkOS has read the request with a good API key, and spoken of its
// connection. Whatever else came may be of a proxy on the way.
func (o Outcome) Authoritative() bool {
	switch o {
	case OutcomeToken, OutcomeNotInstalled, OutcomeNeedsReauthorization, OutcomeInactive,
		OutcomeNotFound, OutcomeAccountSelectionRequired, OutcomeAuthMethodMismatch:
		return true
	default:
		return false
	}
}

// Token is an access token as WorkOS returned it.
type Token struct {
	// Value is the token: 1 to 65536 visible ASCII characters.
	Value redact.String
	// ExpiresAt is the expiry as sent, in UTC, fractions of a second included. Zero: none is known.
	ExpiresAt time.Time
	// Scopes that the token has, and MissingScopes that are configured for the integration but were not granted:
	// each at most MaxScopes, of at most 512 printable characters, and about 16 KiB in all (Truncated); nil when there are none.
	Scopes, MissingScopes []string
}

// bytes is about what it takes in memory.
func (t Token) bytes() int {
	size := len(t.Value.Reveal())
	for _, scopes := range [][]string{t.Scopes, t.MissingScopes} {
		for _, scope := range scopes {
			size += len(scope)
		}
	}
	return size
}

// Answer is what came of asking for a token.
type Answer struct {
	Outcome Outcome
	// Token is set for OutcomeToken only.
	Token Token
	// Message is for people, at most 256 printable characters, and empty for OutcomeToken. It is a fixed text of
	// this package, or what WorkOS's JSON says in "message" and "errors", or in "error_description"; for OutcomeInactive
	// it names the reason that WorkOS gave. It never is a response body, and never holds the key or what looks like a
	// credential. When Sent is false it is a fixed text: what WorkOS says of one connection is not for others.
	Message string
	// RequestID is WorkOS's X-Request-ID, what its support asks for: at most 128 of [A-Za-z0-9._:-]. Empty when there
	// is none, and when Sent is false.
	RequestID string
	// RetryAfter greater than zero says not to ask again before: what 429 or 503 sent, 30 s after a 401, or what is
	// left of the wait for a closed gate, an open circuit or the budget. At most an hour. Callers that are held back
	// are spread over some time, and Upstream.OnRecovery calls them back before it when they may leave.
	RetryAfter time.Duration
	// Until is the time that WorkOS has asked for with 429 or 503, in whole seconds, if that is a minute or more. It is
	// the same for everybody who is held back by it. Zero: there is none.
	Until time.Time
	// Down says that the integration counts as down. RetryAfter then says when this connection may find out whether it
	// still is, in place of any back-off of the caller.
	Down bool
	// Epoch moves when calls that were held back may leave: Client.Epoch tells.
	Epoch uint64
	// ClockSkew is WorkOS's clock (the Date header, whole seconds) less the local one at receipt. Zero when unknown.
	ClockSkew time.Duration
	// ClockDoubt is by how much more it may be: the header has whole seconds, and is written at some time between the
	// request and its receipt. Zero when nothing is known.
	ClockDoubt time.Duration
	// Sent says whether a request was attempted for this answer. False: a gate was closed, or the budget used up.
	// Callers that shared one request all see true.
	Sent bool
}

// Trouble is why calls are held back, for everybody to read: it holds nothing that WorkOS has said to one connection.
type Trouble struct {
	// Outcome is OutcomeUnavailable: WorkOS is down, or an integration of it; or OutcomeRateLimited, up to a minute ago.
	Outcome Outcome
	// Until is Answer.Until.
	Until time.Time
}

// clone detaches the slices, because identical calls share an answer.
func (a Answer) clone() Answer {
	a.Token.Scopes = slices.Clone(a.Token.Scopes)
	a.Token.MissingScopes = slices.Clone(a.Token.MissingScopes)
	return a
}
